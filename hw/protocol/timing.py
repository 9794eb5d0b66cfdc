"""DRAM timing: the parameters of a channel, in cycles."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction

__all__ = ["Timing", "in_cycles"]

#: Parameters that follow from others unless they are given.
_OPTIONAL = ("nRC", "nRCDWR", "nRCDMAC", "nRTW")

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
    CWL, nRRDS, nWTR and nRTP from the HBM2 description published with its simulator,
    casys-kaist/NeuPIMs, extern/NewtonSim/configs/HBM2_8Gb_x128_dualpim.ini, and nRTW from its
    src/timing.cc: RL + 2 cycles of a burst - WL + tRTRS, which is 2 by default there; Ramulator 2
    has the same 14 in HBM2. nTURN is chosen).

    Attributes
    ----------
    nRCD, nRP, nRAS
        ACT to RD, PRE to ACT, ACT to PRE; same bank and row buffer.
    nRC, nRCDWR, nRCDMAC
        ACT to ACT, ACT to WR, and PIM_ACTIVATION to a column product. None stands for nRAS + nRP,
        nRCD and nRCD; :attr:`row_cycle`, :attr:`write_delay` and :attr:`product_delay` resolve it.
        nRC may be one cycle under nRAS + nRP, as values rounded one by one are: the sum holds then.
    nRRDS, nRRDL, nFAW
        ACT to ACT in another bank group and in the same one; ACT to the fourth ACT after it; same
        rank. PIM_ACTIVATION fills the window of its rank by itself.
    nCCDS, nCCDL
        Column command to column command in another bank group, and in the same one.
    nCL, nCWL, nBL
        RD to its data, WR to its data, and cycles that a burst holds the data bus.
    nRTW
        RD to WR. None stands for what the data bus needs, nCL + nBL + nTURN - nCWL, which holds
        whatever is given; :attr:`read_to_write` resolves it.
    nWR, nWTRS, nWTRL, nRTPS, nRTPL
        End of write data to PRE and to RD (other, same bank group); RD to PRE without and with bank
        groups: ours always has them, so only nRTPL is used, by PIM too (from the last column to
        PIM_PRECHARGE).
    nPPD
        PRE to PRE of the same rank; 1 where nothing but the C/A bus keeps them apart.
    nREFI, nRFC
        From one refresh due to the next; REF to the next row command of its rank.
    nTURN
        Cycles that the data bus rests between drivers: two ranks that send, or a rank and the
        controller. Write data to two ranks have one driver, the controller.

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
    nRTW: int | None = 14
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
        if self.nRC is not None and self.nRC < self.nRAS + self.nRP - 1:
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
        if self.nRFC >= self.nREFI:
            raise ValueError(f"nRFC must be below nREFI ({self.nREFI} cycles), not {self.nRFC!r}")

    def remarks(self) -> list[str]:
        """Return, a line each, what holds in place of a value that was given.

        >>> Timing(nRC=47).remarks()
        ['nRC is 47 cycles, less than nRAS + nRP: 48 cycles are used']
        """
        resolved = (
            ("nRC", self.nRC, "nRAS + nRP", self.row_cycle),
            ("nRTW", self.nRTW, "nCL + nBL + nTURN - nCWL", self.read_to_write),
        )
        return [
            f"{name} is {given} cycles, less than {formula}: {used} cycles are used"
            for name, given, formula, used in resolved
            if given is not None and given < used
        ]

    @property
    def row_cycle(self) -> int:
        """ACT to ACT, same bank: nRC."""
        return max(self.nRC or 0, self.nRAS + self.nRP)

    @property
    def read_to_write(self) -> int:
        """RD to WR: nRTW."""
        return max(self.nRTW or 0, self.nCL + self.nBL + self.nTURN - self.nCWL)

    @property
    def write_delay(self) -> int:
        """ACT to WR, same bank: nRCDWR."""
        return self.nRCD if self.nRCDWR is None else self.nRCDWR

    @property
    def product_delay(self) -> int:
        """PIM_ACTIVATION to a column product: nRCDMAC."""
        return self.nRCD if self.nRCDMAC is None else self.nRCDMAC


def in_cycles(table: Mapping[str, object]) -> dict[str, object]:
    """Convert the nanoseconds of a table of parameters to cycles; the rest stays as it is.

    A time has the parameter's name with t in place of n, ``tRRDS`` or ``tRRD_S``, and ``tCK`` is
    the clock's. Times are rounded up to whole cycles; only tREFI, a longest time, is rounded down.
    Where cycles are given beside a time, both hold: data sheets say "4 nCK or 5 ns, whichever is
    longer".

    Raises
    ------
    ValueError
        If a time is no positive number, or has no clock.

    >>> in_cycles({"tCK": 0.7, "tRCD": 21, "tRRD_S": 2.2, "nRRDS": 4, "nCL": 14})
    {'nRRDS': 4, 'nCL': 14, 'nRCD': 30}
    """
    names = {"t" + item.name[1:]: item.name for item in fields(Timing)}
    times = {
        name: value
        for name, value in table.items()
        if name.replace("_", "") in names or name == "tCK"
    }
    found = {name: value for name, value in table.items() if name not in times}
    if not times:
        return found
    for name, value in times.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:  # type: ignore[operator]  # it is a number
            raise ValueError(f"{name} must be a positive number of nanoseconds, not {value!r}")
    if "tCK" not in times:
        raise ValueError(f"tCK must be given, in nanoseconds, beside {', '.join(times)}")
    clock = Fraction(repr(times.pop("tCK")))
    if not times:
        raise ValueError(
            "tCK must stand beside times in nanoseconds (tRCD = 14.0), but there are none"
        )
    for name, value in times.items():
        cycles = Fraction(repr(value)) / clock  # of the decimal digits: 21 / 0.7 is 30
        parameter = names[name.replace("_", "")]
        longest = parameter == "nREFI"
        rounded = math.floor(cycles) if longest else math.ceil(cycles)
        given = found.get(parameter, rounded)
        if isinstance(given, int) and not isinstance(given, bool):
            given = min(rounded, given) if longest else max(rounded, given)
        found[parameter] = given
    return found
