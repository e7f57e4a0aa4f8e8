"""The outputs of all neurons on the processor, and the passes over them that the searches need."""

from hashlib import blake2b
from typing import NamedTuple, Protocol

import numpy as np

from goodsubnet.selection import kernels


class Moments(NamedTuple):
    """Sums over the examples, one number per neuron, float64: what the error bounds are made of."""

    largest: np.ndarray  # max |phi|
    second: np.ndarray  # sum phi^2
    fourth: np.ndarray
    fifth: np.ndarray  # sum |phi|^5
    with_targets: np.ndarray  # <phi, y>


class Passes(Protocol):
    """What the searches ask of the outputs of all neurons, on the processor or an accelerator: see `Columns`."""

    neurons: int
    examples: int
    rounding: float | np.floating
    screen_rounding: float | np.floating
    moments: Moments

    def column(self, neuron: int) -> np.ndarray: ...

    def products(self, neurons: np.ndarray, others: np.ndarray) -> np.ndarray: ...

    def quartics(self, neurons: np.ndarray, weights: np.ndarray) -> np.ndarray: ...

    def screen(self, neurons: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray: ...

    def softplus(self, neurons: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray: ...


class Columns:
    """Outputs held neuron by neuron: (neurons, examples) float32 or float64, C-contiguous, used without a copy.

    Raises ValueError if a value is NaN or infinite.
    """

    def __init__(self, values: np.ndarray, targets: np.ndarray):
        self.values = values
        self.neurons, self.examples = values.shape
        # Any order of summation of n terms errs by at most (n - 1) units in the last place of their absolute sum;
        # 16 more cover the rounding of weights and products.
        self.rounding: float | np.floating = (min(self.examples, kernels.BLOCK) + 16) * np.finfo(values.dtype).eps / 2
        self.screen_rounding: float | np.floating = np.finfo(np.float32).eps / 2
        sums = np.empty((5, self.neurons))
        kernels.moments(values, targets, sums)
        self.moments = Moments(*sums)
        suspects = np.flatnonzero(~np.isfinite(self.moments.second))
        if any(not np.isfinite(values[n]).all() for n in suspects):
            raise ValueError("outputs contain NaN or infinite values")

    def column(self, neuron: int) -> np.ndarray:
        """(examples,) float64: phi of one neuron."""
        return self.values[neuron].astype(np.float64)

    def products(self, neurons: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(len(others), len(neurons)) float64: inner products, within (examples + 2) units of the norms' product.

        others: (up to 4, examples) float64.
        """
        out = np.empty((4, len(neurons)))
        right = np.zeros((4, self.examples))
        right[: len(others)] = others
        kernels.products_with_four(self.values, neurons, right, out)
        return out[: len(others)]

    def quartics(self, neurons: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(len(neurons),) float64: sums of w1 phi + ... + w4 phi^4, weights (4, examples) float64."""
        out = np.empty(len(neurons))
        with np.errstate(over="ignore", under="ignore"):
            weights = weights.astype(self.values.dtype)
        kernels.quartic_sums(self.values, neurons, weights, out)
        return out

    def screen(self, neurons: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Sums of softplus((scale * phi + offset) ln 2) in float32, in 0.6 of the time of `softplus`."""
        return self.softplus(neurons, scale.astype(np.float32), offset.astype(np.float32))

    def softplus(self, neurons: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Sums of softplus((scale * phi + offset) ln 2), in the precision of `scale`."""
        out = np.empty(len(neurons))
        floor = kernels.SMALLEST_EXPONENT[scale.dtype]
        kernels.softplus_sums(self.values, neurons, scale, offset, floor, out)
        return out


def first_of_identical(columns: Passes) -> np.ndarray:
    """Ascending indices that keep the first neuron of each set of identical columns.

    A copy can never be chosen in their place, ties going to the lowest index.
    """
    return np.flatnonzero(originals(columns) == np.arange(columns.neurons))


def originals(columns: Passes) -> np.ndarray:
    """(neurons,) int64: the first neuron whose column is the same; a neuron's own index where it is the first.

    Only neurons that share sum phi^2 are read: a dead ReLU neuron, of which a trained network has hundreds, is known
    by its maximum alone.
    """
    first = np.arange(columns.neurons)
    dead = np.flatnonzero(columns.moments.largest == 0)
    first[dead] = dead[:1]
    order = np.argsort(columns.moments.second, kind="stable")
    order = order[columns.moments.largest[order] > 0]
    norms = columns.moments.second[order]
    same = np.flatnonzero(norms[1:] == norms[:-1])
    seen: dict[bytes, int] = {}
    for neuron in np.sort(order[np.union1d(same, same + 1)]):
        digest = blake2b((columns.column(neuron) + 0.0).tobytes()).digest()  # -0.0 becomes 0.0
        first[neuron] = seen.setdefault(digest, neuron)
    return first
