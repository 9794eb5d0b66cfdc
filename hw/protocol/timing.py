"""DRAM timing: the parameters of a channel, in cycles."""

from dataclasses import dataclass, fields

__all__ = ["Timing"]

#: Parameters that follow from others unless they are given.
_OPTIONAL = ("nRC", "nRCDWR", "nRCDMAC")

#: Pairs of parameters of which the first must be at least the second.
_AT_LEAST = (
    ("nRAS", "nRCD"),
    ("nRRDL", "nRRDS"),
    ("nFAW", "nRRDS"),
    ("nCCDL", "nCCDS"),
    ("nWTRL", "nWTRS"),
    ("nRTPL", "nRTPS"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Timing parameters of one channel, in cycles of its clock; ``nRCD`` is tRCD in cycles.

    The defaults are those of the NeuPIMs evaluation at 1 GHz (NeuPIMs, ASPLOS 2024, table 2; CL,
    CWL, nRRDS, nWTR and nRTP from the HBM2 description published with its simulator).

    Attributes
    ----------
    nRCD, nRP, nRAS
        ACT to RD, PRE to ACT, ACT to PRE; same bank and row buffer.
    nRC, nRCDWR, nRCDMAC
        ACT to ACT, ACT to WR, and PIM_ACTIVATION to a column product. None stands for nRAS + nRP,
        nRCD and nRCD; :attr:`row_cycle`, :attr:`write_delay` and :attr:`product_delay` resolve it.
    nRRDS, nRRDL, nFAW
        ACT to ACT in another bank group and in the same one; ACT to the fourth ACT after it; same
        rank. PIM_ACTIVATION fills the window of its rank by itself.
    nCCDS, nCCDL
        Column command to column command in another bank group, and in the same one.
    nCL, nCWL, nBL
        RD to its data, WR to its data, and cycles that a burst holds the data bus.
    nWR, nWTRS, nWTRL, nRTPS, nRTPL
        End of write data to PRE and to RD (other, same bank group); RD to PRE without and with bank
        groups: ours always has them, so only nRTPL is used, by PIM too (from the last column to
        PIM_PRECHARGE).
    nPPD
        PRE to PRE of the same rank; 1 where nothing but the C/A bus keeps them apart.
    nREFI, nRFC
        From one refresh due to the next; REF to the next row command of its rank.
    nTURN
        Cycles that the data bus rests between drivers.

    Raises
    ------
    ValueError
        If a parameter is not a positive number of cycles, or contradicts another.
    """

    nRCD: int = 14
    nRP: int = 14
    nRAS: int = 34
    nRC: int | None = None
    nRCDWR: int | None = None
    nRCDMAC: int | None = None
    nRRDS: int = 4
    nRRDL: int = 6
    nFAW: int = 30
    nCCDS: int = 1
    nCCDL: int = 2
    nCL: int = 14
    nCWL: int = 4
    nBL: int = 2
    nWR: int = 16
    nWTRS: int = 6
    nWTRL: int = 8
    nRTPS: int = 4
    nRTPL: int = 6
    nPPD: int = 1
    nREFI: int = 3900
    nRFC: int = 260
    nTURN: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.name in _OPTIONAL:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{item.name} must be a positive number of cycles, not {value!r}")
        for name, least in _AT_LEAST:
            value, bound = getattr(self, name), getattr(self, least)
            if value < bound:
                raise ValueError(f"{name} must be at least {least} ({bound} cycles), not {value!r}")
        if self.row_cycle < self.nRAS + self.nRP:
            raise ValueError(
                f"nRC must be at least nRAS + nRP ({self.nRAS + self.nRP} cycles), not {self.nRC!r}"
            )
        if self.write_delay > self.nRAS:
            raise ValueError(
                f"nRCDWR must be at most nRAS ({self.nRAS} cycles), not {self.nRCDWR!r}"
            )
        if self.product_delay < self.nRCD:
            raise ValueError(
                f"nRCDMAC must be at least nRCD ({self.nRCD} cycles), not {self.nRCDMAC!r}"
            )
        if self.nREFI <= self.nRFC:
            raise ValueError(f"nREFI must be above nRFC ({self.nRFC} cycles), not {self.nREFI!r}")

    @property
    def row_cycle(self) -> int:
        """ACT to ACT, same bank: nRC."""
        return self.nRAS + self.nRP if self.nRC is None else self.nRC

    @property
    def write_delay(self) -> int:
        """ACT to WR, same bank: nRCDWR."""
        return self.nRCD if self.nRCDWR is None else self.nRCDWR

    @property
    def product_delay(self) -> int:
        """PIM_ACTIVATION to a column product: nRCDMAC."""
        return self.nRCD if self.nRCDMAC is None else self.nRCDMAC
