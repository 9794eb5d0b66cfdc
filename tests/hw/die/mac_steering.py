"""What steers a MAC unit on a bench, cycle by cycle, and what it has to compute.

The sums are NumPy's own float32 additions, in the order of the specification: a balanced tree over
the lanes, column n onto partial sum n modulo their number, each from +0 on, then a balanced tree.
"""

from collections import defaultdict

import numpy as np

from hw.arith.adder import Adder
from hw.arith.dot import Dot

ZERO = np.float32(0)


def pairwise(terms):
    """Add neighbours until one is left."""
    terms = list(terms)
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[0::2], terms[1::2], strict=True)]
    return terms[0]


def summed(columns, vectors, partial_sums):
    """Return the result of a slot as the specification says, one number after the other."""
    sums = [ZERO] * partial_sums
    for n, (column, vector) in enumerate(zip(columns, vectors, strict=True)):
        products = [ZERO if b == 0 else a * b for a, b in zip(column, vector, strict=True)]
        sums[n % partial_sums] = sums[n % partial_sums] + pairwise(products)
    return pairwise(sums)


def random_columns(seed, *shape):
    """Return bfloat16 numbers so unlike each other that another order rounds otherwise."""
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(shape) * 2.0 ** rng.integers(-9, 9, shape)
    bits = numbers.astype(np.float32).view(np.uint32) & 0xFFFF0000
    return bits.view(np.float32)


def packed(column):
    """Return a column of bfloat16 numbers as bits, the first in the lowest."""
    halves = np.asarray(column, np.float32).view(np.uint32) >> 16
    return int.from_bytes(halves.astype("<u2").tobytes(), "little")


class Steering:
    """Members of :func:`hw.die.mac_unit.mac_control` to be set in each cycle."""

    def __init__(self, config):
        self._config = config
        self.cycles = defaultdict(dict)
        self.counts = defaultdict(int)  # columns of a slot since it was cleared

    def add(self, enters, slot):
        """Let the column that enters the multipliers in a cycle go to a slot."""
        partial_sums = self._config.pim.partial_sums
        n, dot = self.counts[slot], enters + Dot.latency_of(self._config.mac_lanes)
        self.counts[slot] += 1
        partial = n % partial_sums
        self.cycles[dot - 1] |= {
            "read": 1,
            "read_slot": slot,
            "read_partial": partial,
            "read_first": int(n < partial_sums),
        }
        written = dot + Adder.latency
        self.cycles[written] |= {"write": 1, "write_slot": slot, "write_partial": partial}
        return written

    def keep(self, after, slot, place):
        """Fold a slot from the cycle after ``after`` on, and clear it; return when it is kept."""
        partial_sums = self._config.pim.partial_sums
        valid = (1 << min(self.counts.pop(slot), partial_sums)) - 1
        # A fold is read from the memory, then passes an adder a level: 1, 2, 4 sums, no more here.
        kept = after + 1 + 1 + {1: 0, 2: 1, 4: 2}[partial_sums] * Adder.latency
        self.cycles[after + 1] |= {"fold": 1, "fold_slot": slot, "fold_valid": valid}
        self.cycles[kept] |= {"keep": 1, "keep_place": place}
        return kept

    def take(self, cycle, place):
        """Drive a kept result from the next cycle on."""
        self.cycles[cycle] |= {"take": 1, "take_place": place}
        return cycle + 1

    def set(self, ctx, control, cycle):
        """Set the members of an interface for a cycle; strobes that are not named are low."""
        for name in ("read", "write", "fold", "keep", "take"):
            ctx.set(getattr(control, name), 0)
        for name, value in self.cycles.get(cycle, {}).items():
            ctx.set(getattr(control, name), value)
