"""Golden models of the vector unit's instructions: the order of their operations is the spec.

Numbers are float32 arrays; a bfloat16 number is carried as the float32 of the same value. The last
axis of an operand is a row; axes before it (rows, requests) are batched. Results are bit-exact.
"""

import numpy as np
import numpy.typing as npt

from hw.arith import bf16
from hw.arith.binary32 import add, flush, multiply, multiply_scaled, subtract, tree_sum
from hw.arith.elementary import exp, exp_scaled, normal_tail, reciprocal, rsqrt
from hw.arith.quadratic import POWER
from hw.program.instruction_set import Element, Format, Function, Reduce

__all__ = [
    "GELU_C0",
    "GELU_C1",
    "argmax",
    "elementwise",
    "fold",
    "function",
    "gate",
    "gelu_erf",
    "gelu_tanh",
    "norm_layer",
    "norm_rms",
    "reduce",
    "rotary",
    "row_sum",
    "sigmoid",
    "silu",
    "softmax",
    "tail",
    "transpose",
    "transpose_offsets",
]

Floats = npt.NDArray[np.float32]

#: 2 · √(2/π) and 2 · √(2/π) · 0.044715, from the tanh form of GELU (Hendrycks and Gimpel 2016).
GELU_C0 = np.float32(2 * np.sqrt(2 / np.pi))
GELU_C1 = np.float32(2 * np.sqrt(2 / np.pi) * 0.044715)

_ZERO = np.float32(0)
_MINUS_ZERO = np.float32(-0.0)
_ONE = np.float32(1)
_UP = np.float32(2.0**POWER)
_DOWN = np.float32(2.0**-POWER)


def _rounded(x: Floats, o_format: Format) -> Floats:
    """Return numbers as they are stored in a format."""
    return bf16.round(x) if o_format == Format.BF16 else x


def _padded(x: npt.ArrayLike, multiple: int) -> Floats:
    """Append +0 to the last axis until its length is a multiple."""
    x = np.asarray(x, np.float32)
    missing = -x.shape[-1] % multiple
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]) if missing else x


def fold(x: npt.ArrayLike, partial_sums: int) -> Floats:
    """Sum along the last axis as one lane does.

    The row is padded with +0 to a multiple of ``partial_sums``. Element j is added to partial sum
    j mod ``partial_sums``, in order; each starts at +0. A balanced tree folds them.

    Parameters
    ----------
    x
        binary32 numbers, ``[..., n]``.
    partial_sums
        Partial sums, a power of two.

    Returns
    -------
    Sums, ``[...]``.

    >>> fold([1.0, 2.0, 3.0, 4.0, 5.0], 4).item()
    15.0
    """
    x = _padded(x, partial_sums)
    steps = x.reshape(*x.shape[:-1], -1, partial_sums)
    sums = np.zeros((*x.shape[:-1], partial_sums), np.float32)
    for step in range(steps.shape[-2]):
        sums = add(sums, steps[..., step, :])
    return tree_sum(sums)


def row_sum(x: npt.ArrayLike, lanes: int, partial_sums: int) -> Floats:
    """Sum along the last axis as the unit does: within the lanes, then over them.

    Element i goes to lane i mod ``lanes``; :func:`fold` says what a lane does; a balanced tree adds
    the lanes' sums.

    Parameters
    ----------
    x
        binary32 numbers, ``[..., n]``.
    lanes, partial_sums
        Lanes of the unit and partial sums of a lane, powers of two.

    Returns
    -------
    Sums, ``[...]``.

    >>> row_sum([1.0, 2.0, 3.0, 4.0, 5.0], 2, 4).item()
    15.0
    """
    x = _padded(x, lanes)
    lane_elements = np.swapaxes(x.reshape(*x.shape[:-1], -1, lanes), -1, -2)
    return tree_sum(fold(lane_elements, partial_sums))


def elementwise(
    operation: Element,
    a: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    o_format: Format = Format.BINARY32,
) -> Floats:
    """ELEMENTWISE: a, a + b, a - b, a × b or SiLU(a) × b in binary32, rounded to a format.

    A copy reads subnormal numbers as zero and makes NaNs canonical, as every operation does.

    >>> elementwise(Element.SUBTRACT, [1.0, 2.0], [0.5, 0.25]).tolist()
    [0.5, 1.75]
    """
    if operation == Element.COPY:
        return _rounded(add(a, _MINUS_ZERO), o_format)
    if b is None:
        raise ValueError(f"b must be given for {operation.name}")
    compute = {
        Element.ADD: add,
        Element.SUBTRACT: subtract,
        Element.MULTIPLY: multiply,
        Element.GATE: gate,
    }[operation]
    return _rounded(compute(a, b), o_format)


def _over_exp(x: npt.ArrayLike, z: Floats) -> Floats:
    """Return x / (1 + exp(-z)).

    1 + exp(-z) is carried times 2⁻¹², so that it does not overflow where the result is normal.
    """
    return multiply_scaled(x, reciprocal(add(exp_scaled(np.negative(z)), _DOWN)), -POWER)


def gelu_tanh(x: npt.ArrayLike) -> Floats:
    """GELU in its tanh form, x / (1 + exp(-2u)) with u = √(2/π) · (x + 0.044715 · x³).

    Zero and +infinity remain, -infinity becomes a NaN.

    >>> bf16.round(gelu_tanh([0.0, 1.0, -3.0])).tolist()
    [0.0, 0.83984375, -0.003631591796875]
    """
    p = add(multiply(multiply(x, x), GELU_C1), GELU_C0)
    return _over_exp(x, multiply(x, p))


def gelu_erf(x: npt.ArrayLike) -> Floats:
    """GELU in its erf form, x · Φ(x), with Φ the distribution function of the normal distribution.

    Φ(-|x|) = exp(-(x² + w)/2) · 2⁻¹², where w is :func:`hw.arith.elementary.normal_tail` of x, and
    for x > 0 it is subtracted from 1; both are carried times 2¹². Zero and +infinity remain,
    -infinity becomes a NaN.

    >>> bf16.round(gelu_erf([0.0, 1.0, -3.0])).tolist()
    [0.0, 0.83984375, -0.004058837890625]
    """
    x = np.asarray(x, np.float32)
    square = add(multiply(x, x), normal_tail(x))
    tail = exp(np.float32(-0.5) * square)
    positive = ~np.signbit(x)
    step = np.where(positive, _UP, _ZERO)
    return multiply_scaled(x, add(step, np.where(positive, -tail, tail)), -POWER)


def silu(x: npt.ArrayLike) -> Floats:
    """SiLU, x / (1 + exp(-x)); zero and +infinity remain, -infinity becomes a NaN.

    >>> bf16.round(silu([0.0, 1.0, -80.0])).tolist()
    [0.0, 0.73046875, -1.4444474582904269e-33]
    """
    return _over_exp(x, np.asarray(x, np.float32))


def sigmoid(x: npt.ArrayLike) -> Floats:
    """Logistic sigmoid, 1 / (1 + exp(-x)); +0 at -infinity.

    >>> sigmoid([0.0, float("inf"), float("-inf")]).tolist()
    [0.5, 1.0, 0.0]
    """
    return _over_exp(_ONE, np.asarray(x, np.float32))


def gate(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Gated linear unit: SiLU(a) × b (SwiGLU), both steps in binary32.

    >>> gate([-1.0], [2.0]).tolist() == (2 * silu([-1.0])).tolist()
    True
    """
    return multiply(silu(a), b)


def function(name: Function, a: npt.ArrayLike, o_format: Format = Format.BINARY32) -> Floats:
    """Apply FUNCTION to each element, and round to the format of the result."""
    compute = {
        Function.EXP: exp,
        Function.RECIPROCAL: reciprocal,
        Function.RSQRT: rsqrt,
        Function.GELU_TANH: gelu_tanh,
        Function.GELU_ERF: gelu_erf,
        Function.SILU: silu,
        Function.SIGMOID: sigmoid,
    }[name]
    return _rounded(compute(np.asarray(a, np.float32)), o_format)


def norm_layer(
    a: npt.ArrayLike,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    inv_n: float,
    epsilon: float,
    lanes: int,
    partial_sums: int,
    o_format: Format = Format.BINARY32,
) -> Floats:
    """NORM LAYER: (a - mean) · rsqrt(variance + epsilon) · gamma + beta, row by row.

    A row with a NaN or an infinity, or whose sum overflows, is NaN; one whose sum of squares
    overflows is beta, as (a - mean) · 0 is zero.

    Parameters
    ----------
    a
        Rows, ``[..., n]``; n is a multiple of ``lanes``.
    gamma, beta
        ``[n]``.
    inv_n, epsilon
        The instruction's binary32 constants x = 1/n and y.
    lanes, partial_sums
        As in :func:`row_sum`.
    o_format
        Format of the result.

    Returns
    -------
    ``[..., n]``.
    """
    mean = multiply(row_sum(a, lanes, partial_sums), np.float32(inv_n))
    d = subtract(a, mean[..., np.newaxis])
    variance = multiply(row_sum(multiply(d, d), lanes, partial_sums), np.float32(inv_n))
    r = rsqrt(add(variance, np.float32(epsilon)))
    o = add(multiply(multiply(d, r[..., np.newaxis]), gamma), beta)
    return _rounded(o, o_format)


def norm_rms(
    a: npt.ArrayLike,
    gamma: npt.ArrayLike,
    *,
    inv_n: float,
    epsilon: float,
    lanes: int,
    partial_sums: int,
    o_format: Format = Format.BINARY32,
) -> Floats:
    """NORM RMS: a · rsqrt(mean of squares + epsilon) · gamma, row by row.

    A row with a NaN is NaN. One with an infinity, or whose sum of squares overflows, is zero of
    the elements' signs, but for its infinities, which become NaN.

    Parameters and result are those of :func:`norm_layer`.

    >>> norm_rms([[3.0, -3.0]], [1.0, 2.0], inv_n=0.5, epsilon=0, lanes=2, partial_sums=4).round(4)
    array([[ 1., -2.]], dtype=float32)
    """
    squares = multiply(row_sum(multiply(a, a), lanes, partial_sums), np.float32(inv_n))
    r = rsqrt(add(squares, np.float32(epsilon)))
    return _rounded(multiply(multiply(a, r[..., np.newaxis]), gamma), o_format)


def rotary(a: npt.ArrayLike, b: npt.ArrayLike, o_format: Format = Format.BINARY32) -> Floats:
    """ROTARY: neighbouring pairs of elements turned by the angles of their position.

    Products and their sum are rounded one by one.

    Parameters
    ----------
    a
        Rows of heads, ``[..., rows, m, n]``.
    b
        ``[..., rows, n]`` or ``[n]``: for each pair its cosine, then its sine.
    o_format
        Format of the result.

    Returns
    -------
    ``[..., rows, m, n]``.

    >>> rotary([[[1.0, 2.0]]], [0.0, 1.0]).tolist()
    [[[-2.0, 1.0]]]
    """
    a = np.asarray(a, np.float32)
    b = np.asarray(b, np.float32)[..., np.newaxis, :]
    o = np.empty_like(a)
    even, odd, cosine, sine = a[..., 0::2], a[..., 1::2], b[..., 0::2], b[..., 1::2]
    o[..., 0::2] = subtract(multiply(even, cosine), multiply(odd, sine))
    o[..., 1::2] = add(multiply(odd, cosine), multiply(even, sine))
    return _rounded(o, o_format)


def reduce(
    operation: Reduce,
    a: npt.ArrayLike,
    *,
    scale: float = 1.0,
    lanes: int,
    partial_sums: int,
    o_format: Format = Format.BINARY32,
) -> Floats:
    """REDUCE: one number of each row.

    Parameters
    ----------
    operation
        SUM: the sum of the row, times ``scale``. MAX: its largest element, the first of equals; a
        NaN only if there is nothing else.
    a
        Rows, ``[..., n]``.
    scale
        The instruction's binary32 constant x.
    lanes, partial_sums
        As in :func:`row_sum`.
    o_format
        Format of the result.

    Returns
    -------
    ``[...]``.

    >>> reduce(Reduce.SUM, [[1.0, 2.0]], scale=0.5, lanes=2, partial_sums=4).tolist()
    [1.5]
    """
    a = np.asarray(a, np.float32)
    if operation == Reduce.SUM:
        return _rounded(multiply(row_sum(a, lanes, partial_sums), np.float32(scale)), o_format)
    chosen = np.asarray(argmax(a), np.int64)[..., np.newaxis]
    largest = np.take_along_axis(multiply(a, _ONE), chosen, axis=-1)[..., 0]
    return _rounded(largest, o_format)


def softmax(a: npt.ArrayLike, scale: float, *, lanes: int, partial_sums: int) -> Floats:
    """SOFTMAX: softmax(a · scale) of each row, rounded to bfloat16.

    The largest element is subtracted first; NaNs are not larger than anything, and if nothing is
    larger than -infinity, +0 is subtracted. A row whose sum is zero gives +0; one with a NaN, or
    whose largest element times the scale is +infinity, is NaN. Elements of -infinity at the end of
    a row change nothing, so rows of several lengths can be batched.

    Parameters
    ----------
    a
        Rows, ``[..., n]``.
    scale
        The instruction's binary32 constant x.
    lanes, partial_sums
        As in :func:`row_sum`.

    Returns
    -------
    ``[..., n]``, bfloat16 values.

    >>> softmax([[0.0, 0.0], [-np.inf, -np.inf]], 1.0, lanes=2, partial_sums=4).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """
    s = multiply(a, np.float32(scale))
    largest = np.fmax.reduce(s, axis=-1, keepdims=True, initial=-np.inf)
    e = exp(subtract(s, np.where(largest == -np.inf, _ZERO, largest)))
    total = row_sum(e, lanes, partial_sums)[..., np.newaxis]
    return bf16.round(multiply(e, np.where(total == 0, _ZERO, reciprocal(total))))


def tail(
    a: npt.ArrayLike | None,
    b: npt.ArrayLike,
    c: npt.ArrayLike,
    *,
    partial_sums: int,
    o_format: Format = Format.BINARY32,
) -> Floats:
    """TAIL: what the tokens of the tail add to the attention of some heads.

    The order of the sums is the specification. For each element, the product of token t and its
    weight, rounded to binary32, is added to partial sum t mod ``partial_sums``, in the order of the
    tokens; each partial sum starts at +0. A balanced tree folds them (:func:`fold`), and only then
    the fold is added to ``a``: a + ((p0 + p1) + (p2 + p3)) with four. Without tokens the fold is
    +0. The result is rounded to its format at the end, once.

    Parameters
    ----------
    a
        Sums over the other tokens, ``[..., heads, n]``; None for +0 (the instruction's function 0).
    b
        Weights, ``[..., heads, m]``, bfloat16 values.
    c
        Values, ``[..., m, heads * n]``, bfloat16 values.
    partial_sums
        Partial sums of a lane.
    o_format
        Format of the result.

    Returns
    -------
    ``[..., heads, n]``.

    >>> tail(None, [[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], partial_sums=4).tolist()
    [[7.0, 10.0]]

    Two terms that are lost in ``a`` one by one are not if they meet first:

    >>> a, terms = [[1.0]], [[2.0**-24, 2.0**-24]]
    >>> tail(a, terms, [[1.0], [1.0]], partial_sums=2).item() == 1 + 2.0**-23
    True
    """
    b, c = np.asarray(b, np.float32), np.asarray(c, np.float32)
    heads, m = b.shape[-2:]
    values = np.moveaxis(c.reshape(*c.shape[:-2], m, heads, c.shape[-1] // heads), -3, -1)
    sums = fold(multiply(values, b[..., np.newaxis, :]), partial_sums)
    return _rounded(add(_ZERO if a is None else a, sums), o_format)


def argmax(a: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    """ARGMAX: the index of the largest element of each row, the first of equals.

    Subnormal numbers are zero, zeros of either sign are equal, and a NaN is less than anything; a
    row of NaNs gives 0.

    >>> argmax([[1.0, np.nan, 3.0, 3.0], [np.nan, -np.inf, -np.inf, np.nan]]).tolist()
    [2, 1]
    """
    a = flush(a)
    # Not fmax of all: where a NaN signals, fmax of it and a number is a NaN.
    largest = np.where(np.isnan(a), -np.inf, a).max(axis=-1, keepdims=True)
    return np.asarray(np.argmax(a == largest, axis=-1), np.uint32)


def transpose(a: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """TRANSPOSE: row e of the result, ``[n, rows]``, is element e of each row of ``[rows, n]``.

    Its bytes go to the offset that :func:`transpose_offsets` gives. Bits are moved unchanged.
    """
    return np.ascontiguousarray(np.swapaxes(a, -1, -2))


def transpose_offsets(n: int, *, banks: int, o_stride: int, c_stride: int) -> npt.NDArray[np.int64]:
    """TRANSPOSE: offsets from the instruction's ``o`` at which elements 0 to n - 1 start, in bytes.

    >>> transpose_offsets(4, banks=2, o_stride=64, c_stride=16).tolist()
    [0, 64, 16, 80]
    """
    e = np.arange(n)
    return (e % banks) * o_stride + (e // banks) * c_stride
