"""DRAM timing: the parameters of a channel, in cycles."""

from dataclasses import dataclass, fields

__all__ = ["Timing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Timing parameters of one channel, in cycles of its clock; ``nRCD`` is tRCD in cycles.

    The defaults are those of the NeuPIMs evaluation at 1 GHz (NeuPIMs, ASPLOS 2024, table 2; CL,
    CWL, nRRDS, nWTR and nRTP from the HBM2 description published with its simulator).

    Attributes
    ----------
    nRCD, nRP, nRAS
        ACT to RD or WR, PRE to ACT, ACT to PRE; same bank and row buffer.
    nRRDS, nRRDL, nFAW
        ACT to ACT in another bank group and in the same one; ACT to the fourth ACT after it; same
        rank. PIM_ACTIVATION fills the window of its rank by itself.
    nCCDS, nCCDL
        Column command to column command in another bank group, and in the same one.
    nCL, nCWL, nBL
        RD to its data, WR to its data, and cycles that a burst holds the data bus.
    nWR, nWTRS, nWTRL, nRTPS, nRTPL
        End of write data to PRE and to RD (other, same bank group); RD to PRE (for PIM: the last
        column to PIM_PRECHARGE takes nRTPL).
    nREFI, nRFC
        From one refresh due to the next; REF to the next row command of its rank.
    nTURN
        Cycles that the data bus rests between drivers.
    """

    nRCD: int = 14
    nRP: int = 14
    nRAS: int = 34
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
    nREFI: int = 3900
    nRFC: int = 260
    nTURN: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{item.name} must be a positive number of cycles, not {value!r}")
        if self.nRAS < self.nRCD:
            raise ValueError(f"nRAS must be at least nRCD ({self.nRCD} cycles), not {self.nRAS!r}")
        if self.nREFI <= self.nRFC:
            raise ValueError(f"nREFI must be above nRFC ({self.nRFC} cycles), not {self.nREFI!r}")

    @property
    def nRC(self) -> int:
        """ACT to ACT, same bank."""
        return self.nRAS + self.nRP
