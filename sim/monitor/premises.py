"""What a command trace is taken for: whether it is whole, and what its device does."""

from dataclasses import dataclass

__all__ = ["Premises"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Premises:
    """What the protocol monitor may take for granted; what it may not, it does not check.

    Attributes
    ----------
    from_reset
        The trace begins at reset: all rows are closed, nothing has been accepted, and refreshes
        are counted from there. Else what was before the first record is unknown.
    to_end
        The trace ends when nothing is left to do, so that all that was accepted has been served.
    refreshed
        The device refreshes its ranks.
    separate_buses
        Row commands and column commands have a C/A bus each, as in HBM, so that one of each may
        come in a cycle.
    """

    from_reset: bool = True
    to_end: bool = True
    refreshed: bool = True
    separate_buses: bool = False

    def unchecked(self, *, acceptances: bool, columns: bool) -> list[str]:
        """Return, in words, what is not checked on these premises.

        Parameters
        ----------
        acceptances
            Whether the trace has ACCEPT records.
        columns
            Whether these say their columns.
        """
        words = []
        if not self.from_reset:
            words += [
                "rules 3 and 7 not checked: what was accepted before the trace is unknown",
                "states of rows and PIM not checked before their first commands",
            ]
            if self.refreshed:
                words.append("when refreshes are due not checked, but how far apart they are")
        elif not acceptances:
            words.append("rules 3 and 7 not checked: the trace has no ACCEPT lines")
        else:
            if not columns:
                words.append("columns of bursts not checked: there are ACCEPT lines without one")
            if not self.to_end:
                words.append("what is never served not checked: the trace is cut")
        if not self.refreshed:
            words.append("rule 5 not checked, but for REF inside a tile: there is no refresh")
        return words
