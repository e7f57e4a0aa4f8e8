"""Compiled passes over the outputs of all neurons, for the processor.

`columns` is (neurons, examples), one contiguous row per neuron. Every loop runs over one-dimensional views and carries
no running sum where LLVM may not reorder, so that it becomes vector code without Intel's SVML. Compiled once a
machine and kept in __pycache__ (9 s for all kernels). Each row is summed by one thread in one order, so the results do
not depend on the number of threads.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np

from goodsubnet.runtime.compiling import compiled, prange

if TYPE_CHECKING:
    # As what these are used here: numba itself has no types.
    F = TypeVar("F", bound=Callable[..., object])

    def njit(**options: object) -> Callable[[F], F]: ...

    def intrinsic(function: Callable[..., object]) -> Callable[[Any, Any], Any]: ...

    def overload(function: Callable[..., object], jit_options: dict[str, set[str]]) -> Callable[[F], F]: ...
else:
    from numba import njit
    from numba.extending import intrinsic, overload

# Examples summed in the precision of the outputs before the sum is carried on in float64.
BLOCK = 512
# The block's factors 1 + e^-|t| are multiplied in halves down to so many, then one after the other in float64:
# 512 factors of at most 2 stay below 2^512.
LANES = 32
LOG2 = 0.6931471805599453
# 2^x is computed for no smaller x.
SMALLEST_EXPONENT: dict[np.dtype, np.floating] = {
    np.dtype(np.float32): np.float32(-126),
    np.dtype(np.float64): np.float64(-1022),
}

_SUMS = {"reassoc", "contract"}
_ELEMENTWISE = {"contract", "nsz"}


@intrinsic
def _bits(typing_context: object, value: object, like: Callable[..., object]) -> tuple[object, Callable[..., object]]:
    """The bits of `value`, read as the type of `like`."""

    # What numba and LLVM hand over has no types.
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> object:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return like(value, like), generate


@njit(fastmath=_ELEMENTWISE)
def _exp2_float32(x: np.float32) -> np.float32:
    """2^x for -126 <= x <= 0, relative error below 2e-7: interpolated at Chebyshev nodes on [-1/2, 1/2]."""
    shifted = x + np.float32(12582912.0)  # 1.5 * 2^23: the low bits now hold x rounded to an integer
    f = x - (shifted - np.float32(12582912.0))
    p = np.float32(0.0013390863364671234)
    p = p * f + np.float32(0.009676031918322054)
    p = p * f + np.float32(0.05550357114219078)
    p = p * f + np.float32(0.2402210748530834)
    p = p * f + np.float32(0.6931471880262288)
    p = p * f + np.float32(1.0000000754548972)
    exponent = np.int32(_bits(shifted, np.int32(0)) << np.int32(23))
    return _bits(np.int32(_bits(p, np.int32(0)) + exponent), np.float32(0))


@njit(fastmath=_ELEMENTWISE)
def _exp2_float64(x: float) -> float:
    """2^x for -1022 <= x <= 0, relative error below 1e-15."""
    shifted = x + 6755399441055744.0  # 1.5 * 2^52
    f = x - (shifted - 6755399441055744.0)
    p = 4.4558179083360645e-10
    p = p * f + 7.074194297288521e-09
    p = p * f + 1.0178057087733941e-07
    p = p * f + 1.3215432535912375e-06
    p = p * f + 1.5252733841556773e-05
    p = p * f + 0.00015403530463724353
    p = p * f + 0.001333355814640647
    p = p * f + 0.009618129107587256
    p = p * f + 0.055504108664821625
    p = p * f + 0.24022650695910158
    p = p * f + 0.6931471805599453
    p = p * f + 1.0
    return _bits(_bits(p, np.int64(0)) + (_bits(shifted, np.int64(0)) << np.int64(52)), np.float64(0))


def _exp2(x: float) -> float:
    """2^x for x <= 0, in the precision of x."""


@overload(_exp2, jit_options={"fastmath": _ELEMENTWISE})
def _exp2_by_precision(x):  # type: ignore[no-untyped-def]  # numba wants the signature of the lambdas
    return (lambda x: _exp2_float32(x)) if x == numba.types.float32 else (lambda x: _exp2_float64(x))


@njit(fastmath=_ELEMENTWISE)
def _halve(factors: np.ndarray, half: int) -> None:
    """1 + x and 1 + y become 1 + (x + y + x y): kept without the 1, so that tiny x lose no digit."""
    low, high = factors[:half], factors[half : 2 * half]
    for i in range(half):
        low[i] = (low[i] * high[i] + low[i]) + high[i]


@njit(fastmath=_ELEMENTWISE)
def _softplus_parts(
    phi: np.ndarray,
    scale: np.ndarray,
    offset: np.ndarray,
    floor: np.floating,
    factors: np.ndarray,
    positive: np.ndarray,
) -> None:
    number = scale.dtype.type
    for i in range(phi.shape[0]):
        t = number(phi[i]) * scale[i] + offset[i]
        factors[i] = _exp2(max(-abs(t), floor))
        positive[i] += max(t, number(0))


@compiled(parallel=True, fastmath=_ELEMENTWISE)
def softplus_sums(
    columns: np.ndarray,
    neurons: np.ndarray,
    scale: np.ndarray,
    offset: np.ndarray,
    floor: np.floating,
    out: np.ndarray,
) -> None:
    """out[n] = sum over examples of softplus((scale * phi + offset) ln 2), computed in the precision of `scale`.

    floor: the smallest exponent of this precision, SMALLEST_EXPONENT. Not a closure: numba would compile one of those
    anew in every process.
    """
    examples = columns.shape[1]
    number = scale.dtype.type
    for which in prange(neurons.shape[0]):
        phi = columns[neurons[which]]
        factors = np.empty(BLOCK, scale.dtype)
        positive = np.zeros(BLOCK, scale.dtype)
        logarithms = 0.0
        for start in range(0, examples, BLOCK):
            stop = min(start + BLOCK, examples)
            if stop - start < BLOCK:
                factors[stop - start :] = number(0)
            _softplus_parts(phi[start:stop], scale[start:stop], offset[start:stop], floor, factors, positive)
            half = BLOCK // 2
            while half >= LANES:
                _halve(factors, half)
                half //= 2
            product = 0.0
            for i in range(LANES):
                factor = np.float64(factors[i])
                product = (product * factor + factor) + product
            logarithms += np.log1p(product)
        rest = 0.0
        for i in range(BLOCK):
            rest += positive[i]
        out[which] = logarithms + LOG2 * rest


@njit(fastmath=_SUMS)
def _quartic_block(
    p0: np.ndarray,
    p1: np.ndarray,
    p2: np.ndarray,
    p3: np.ndarray,
    w1: np.ndarray,
    w2: np.ndarray,
    w3: np.ndarray,
    w4: np.ndarray,
    zero: float,
) -> tuple[float, float, float, float]:
    a0 = a1 = a2 = a3 = zero
    for i in range(p0.shape[0]):
        a0 += p0[i] * (w1[i] + p0[i] * (w2[i] + p0[i] * (w3[i] + p0[i] * w4[i])))
        a1 += p1[i] * (w1[i] + p1[i] * (w2[i] + p1[i] * (w3[i] + p1[i] * w4[i])))
        a2 += p2[i] * (w1[i] + p2[i] * (w2[i] + p2[i] * (w3[i] + p2[i] * w4[i])))
        a3 += p3[i] * (w1[i] + p3[i] * (w2[i] + p3[i] * (w3[i] + p3[i] * w4[i])))
    return a0, a1, a2, a3


@compiled(parallel=True)
def quartic_sums(columns: np.ndarray, neurons: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """out[n] = sum over examples of w1 phi + w2 phi^2 + w3 phi^3 + w4 phi^4, w = `weights` (4, examples).

    Four neurons share each load of the weights; blocks are summed in the precision of the outputs.
    """
    count, examples = neurons.shape[0], columns.shape[1]
    last = count - 1
    zero = columns.dtype.type(0)
    for group in prange((count + 3) // 4):
        first = 4 * group
        n1, n2, n3 = min(first + 1, last), min(first + 2, last), min(first + 3, last)
        p0, p1 = columns[neurons[first]], columns[neurons[n1]]
        p2, p3 = columns[neurons[n2]], columns[neurons[n3]]
        s0 = s1 = s2 = s3 = 0.0
        for start in range(0, examples, BLOCK):
            part = slice(start, min(start + BLOCK, examples))
            a0, a1, a2, a3 = _quartic_block(
                p0[part],
                p1[part],
                p2[part],
                p3[part],
                weights[0, part],
                weights[1, part],
                weights[2, part],
                weights[3, part],
                zero,
            )
            s0 += a0
            s1 += a1
            s2 += a2
            s3 += a3
        out[first] = s0
        if first + 1 < count:
            out[first + 1] = s1
        if first + 2 < count:
            out[first + 2] = s2
        if first + 3 < count:
            out[first + 3] = s3


@njit(fastmath=_SUMS)
def _four_products(
    p: np.ndarray, r: np.ndarray, q0: np.ndarray, q1: np.ndarray, q2: np.ndarray, q3: np.ndarray
) -> tuple[float, float, float, float, float, float, float, float]:
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
    for i in range(p.shape[0]):
        x, y = np.float64(p[i]), np.float64(r[i])
        a0 += x * q0[i]
        a1 += x * q1[i]
        a2 += x * q2[i]
        a3 += x * q3[i]
        b0 += y * q0[i]
        b1 += y * q1[i]
        b2 += y * q2[i]
        b3 += y * q3[i]
    return a0, a1, a2, a3, b0, b1, b2, b3


@compiled(parallel=True)
def products_with_four(columns: np.ndarray, neurons: np.ndarray, others: np.ndarray, out: np.ndarray) -> None:
    """out[:, n] = inner products of row neurons[n] with the four rows of `others`, float64, summed in float64."""
    count = neurons.shape[0]
    for pair in prange((count + 1) // 2):
        first, second = 2 * pair, min(2 * pair + 1, count - 1)
        a0, a1, a2, a3, b0, b1, b2, b3 = _four_products(
            columns[neurons[first]], columns[neurons[second]], others[0], others[1], others[2], others[3]
        )
        out[0, first], out[1, first], out[2, first], out[3, first] = a0, a1, a2, a3
        out[0, second], out[1, second], out[2, second], out[3, second] = b0, b1, b2, b3


@njit(fastmath=True)
def _largest(phi: np.ndarray) -> float:
    largest = phi.dtype.type(0)
    for i in range(phi.shape[0]):
        largest = max(largest, abs(phi[i]))
    return largest


@njit(fastmath=_SUMS)
def _moments(phi: np.ndarray, targets: np.ndarray) -> tuple[float, float, float, float]:
    second = fourth = fifth = product = 0.0
    for i in range(phi.shape[0]):
        x = abs(np.float64(phi[i]))
        square = x * x
        second += square
        fourth += square * square
        fifth += square * square * x
        product += np.float64(phi[i]) * targets[i]
    return second, fourth, fifth, product


@compiled(parallel=True)
def moments(columns: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None:
    """out[:, n] = max |phi|, sum phi^2, sum phi^4, sum |phi|^5, <phi, targets> of row n, in float64.

    Where a value is NaN the sums are; the maximum then means nothing.
    """
    for n in prange(columns.shape[0]):
        out[0, n] = _largest(columns[n])
        out[1, n], out[2, n], out[3, n], out[4, n] = _moments(columns[n], targets)


def limit_threads(threads: int | None) -> int:
    """Set numba's number of threads (None: leave it) and return the one in force before."""
    before: int = numba.get_num_threads()
    if threads is not None:
        numba.set_num_threads(max(1, min(threads, numba.config.NUMBA_NUM_THREADS)))
    return before
