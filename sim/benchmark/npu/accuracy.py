"""Errors of the vector unit's functions: of golden models, which the RTL equals bit for bit.

Truth is NumPy's binary64, whose own error is below 2⁻⁵¹. An input is judged where its true result
is finite and normal in binary32, after rounding too; what other inputs give is in the docstrings of
:mod:`hw.arith.elementary` and :mod:`hw.npu.vector.golden`.

All of binary32 need not be gone through for its largest relative error: the significand of a
reciprocal depends on that of its argument alone, that of a reciprocal square root on the parity of
the exponent as well, and their true values scale in the same way; the exponential is 1 below 2⁻²⁷,
where it differs from 1 by less than that. :data:`EXHAUSTIVE` has the inputs that stand for all.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hw.arith import bf16
from hw.arith.binary32 import flush
from hw.npu.vector import golden
from hw.program.instruction_set import Format, Function

__all__ = [
    "EXHAUSTIVE",
    "TRUE",
    "Accuracy",
    "accuracies",
    "bf16_ulp",
    "markdown",
    "print_accuracies",
]

Doubles = npt.NDArray[np.float64]

_CHUNK = 1 << 13  # what stays in a cache: half the time of larger ones
_RANGE = 1 << 22
_BINADE = 1 << 23
_SIGN = 1 << 31
_ALL = 1 << 32
_SEED = 0


def _sigmoid(z: Doubles) -> Doubles:
    return np.where(z < 0, np.exp(z), 1.0) / (1 + np.exp(-np.abs(z)))


def _gelu_erf(x: Doubles) -> Doubles:
    return x * np.array([math.erfc(-each / math.sqrt(2)) / 2 for each in x])


#: What each function is to approximate.
TRUE: dict[Function, Callable[[Doubles], Doubles]] = {
    Function.EXP: np.exp,
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.RSQRT: lambda x: 1 / np.sqrt(x),
    Function.GELU_TANH: lambda x: x * _sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
    Function.GELU_ERF: _gelu_erf,
    Function.SILU: lambda x: x * _sigmoid(x),
    Function.SIGMOID: _sigmoid,
}

_ONE = 127 * _BINADE

#: Bits of the first and past the last binary32 inputs that stand for all of a function; functions
#: that are not here are measured over a sample.
EXHAUSTIVE: dict[Function, tuple[tuple[int, int], ...]] = {
    Function.EXP: tuple(
        (sign + _ONE - 27 * _BINADE, sign + _ONE + 7 * _BINADE) for sign in (0, _SIGN)
    ),
    Function.RECIPROCAL: ((_ONE, _ONE + _BINADE),),
    Function.RSQRT: ((_ONE, _ONE + 2 * _BINADE),),
}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors of one function.

    Attributes
    ----------
    function
        The function.
    inputs, judged
        binary32 inputs: which, and how many of them were judged.
    error, error_at
        Largest relative error of a binary32 result, and an input that has it.
    ulp, ulp_at
        Largest error over all bfloat16 inputs, of the result rounded to bfloat16, in units of the
        last bfloat16 place of the true value; and an input that has it.
    """

    function: Function
    inputs: str
    judged: int
    error: float
    error_at: float
    ulp: float
    ulp_at: float


def _judge(function: Function, x: npt.NDArray[np.float32]) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Return the true values, and where they are normal."""
    with np.errstate(all="ignore"):
        true = TRUE[function](flush(x).astype(np.float64))
        rounded = np.abs(true.astype(np.float32))
    return true, (np.abs(true) >= 2.0**-126) & (rounded <= np.finfo(np.float32).max)


def _largest(function: Function, bits: npt.NDArray[np.uint32]) -> tuple[int, float, float]:
    """Return how many inputs were judged, the largest relative error, and where it is."""
    x = bits.view(np.float32)
    true, normal = _judge(function, x)
    judged = int(normal.sum())
    if not judged:
        return 0, 0.0, math.nan
    x, true = x[normal], true[normal]
    with np.errstate(all="ignore"):
        error = np.abs(golden.function(function, x).astype(np.float64) / true - 1)
    worst = int(error.argmax())
    return judged, float(error[worst]), float(x[worst])


def _range(function: Function, start: int) -> tuple[int, float, float]:
    """Return the same of a range of consecutive inputs."""
    chunks = range(start, start + _RANGE, _CHUNK)
    found = [
        _largest(function, np.arange(chunk, chunk + _CHUNK, dtype=np.int64).astype(np.uint32))
        for chunk in chunks
    ]
    return _worst(found)


def _worst(found: list[tuple[int, float, float]]) -> tuple[int, float, float]:
    _, error, place = max(found, key=lambda one: one[1])
    return sum(judged for judged, _, _ in found), error, place


def bf16_ulp(function: Function) -> tuple[float, float]:
    """Return the largest error over all bfloat16 inputs in bfloat16 ulp, and where it is."""
    x = bf16.from_bits(np.arange(1 << 16, dtype=np.uint16))
    true, normal = _judge(function, x)
    x, true = x[normal], true[normal]
    ulp = 2.0 ** (np.floor(np.log2(np.abs(true))) - 7)
    error = np.abs(golden.function(function, x, Format.BF16).astype(np.float64) - true) / ulp
    worst = int(error.argmax())
    return float(error[worst]), float(x[worst])


def accuracies(
    sample: int | None = None, *, full: bool = False, workers: int | None = None
) -> list[Accuracy]:
    """Measure every function.

    Parameters
    ----------
    sample
        Random binary32 inputs of each function; None takes all inputs of :data:`EXHAUSTIVE`, and
        2²⁰ of the others.
    full
        Go through all 2³² inputs of the functions of :data:`EXHAUSTIVE`, one by one.
    workers
        Processes; by default one a core.

    Raises
    ------
    ValueError
        If ``sample`` is not positive.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample must be positive, not {sample!r}")
    random = np.random.default_rng(_SEED).integers(0, _ALL, sample or 1 << 20, dtype=np.uint32)
    results = []
    with Progress(transient=True) as progress:
        for function in TRUE:
            if sample is None and function in EXHAUSTIVE:
                limits = ((0, _ALL),) if full else EXHAUSTIVE[function]
                starts = [start for limit in limits for start in range(*limit, _RANGE)]
                task = progress.add_task(function.name, total=len(starts))
                found = []
                with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
                    for one in pool.map(_range, [function] * len(starts), starts):
                        found.append(one)
                        progress.advance(task)
                judged, error, error_at = _worst(found)
                inputs = "all, one by one" if full else "all"
            else:
                judged, error, error_at = _largest(function, random)
                inputs = f"{len(random):,} random"
            ulp, ulp_at = bf16_ulp(function)
            results.append(Accuracy(function, inputs, judged, error, error_at, ulp, ulp_at))
    return results


_COLUMNS = (
    *("function", "binary32 inputs", "judged", "largest relative error", "at"),
    *("over all bf16 inputs, bf16 ulp", "at"),
)


def _cells(line: Accuracy) -> list[str]:
    return [
        line.function.name,
        line.inputs,
        f"{line.judged:,}",
        f"2^{math.log2(line.error):.2f}" if line.error else "0",
        f"{line.error_at:.9g}",
        f"{line.ulp:.3f}",
        f"{line.ulp_at:.6g}",
    ]


def print_accuracies(console: Console, lines: list[Accuracy]) -> None:
    """Print the table."""
    table = Table(*_COLUMNS, title="errors of the vector unit's functions")
    for line in lines:
        table.add_row(*_cells(line))
    console.print(table)


def markdown(lines: list[Accuracy]) -> str:
    """Return the table as Markdown."""
    rows = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
