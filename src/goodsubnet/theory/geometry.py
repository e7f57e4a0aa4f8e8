"""The geometry of the neurons' outputs: their variance, and the diameter of the polytope that they span.

All in float64, whatever type the outputs have: the bounds are compared with losses to twelve digits.
"""

from collections.abc import Iterator

import numpy as np

from goodsubnet.errors import UserError

CELLS = 2**23  # float64 numbers in a block, 64 MiB; at most four are held at a time


def mean_output(outputs: np.ndarray) -> np.ndarray:
    """f, the output of the dense network (eq. 2): the mean of the columns.

    outputs: (examples, neurons), column i is phi_i. Returns (examples,) float64.
    Raises UserError where there are no neurons or examples, or where an output is NaN or infinite.
    """
    if outputs.ndim != 2 or 0 in outputs.shape:
        raise UserError(f"the outputs must be (examples, neurons), at least one of each, not {outputs.shape}")
    total = np.zeros(outputs.shape[0])
    for _, rows in _blocks(outputs):
        total += rows.sum(axis=0)
    if not np.isfinite(total).all():
        raise UserError("an output of a neuron is not a finite number; look at the training of this checkpoint")
    return total / outputs.shape[1]


def variance(outputs: np.ndarray) -> float:
    """V = (1/N) sum_i ||phi_i - f||^2, f the mean output; a sum over the examples. O(mN)."""
    return float(squared_distances(outputs, mean_output(outputs)).mean())


def squared_distances(outputs: np.ndarray, point: np.ndarray) -> np.ndarray:
    """||phi_i - point||^2 for each neuron. outputs: (examples, neurons); point: (examples,). Returns (neurons,)."""
    distances = np.empty(outputs.shape[1])
    for chosen, rows in _blocks(outputs):
        rows -= point
        distances[chosen] = np.einsum("ij,ij->i", rows, rows)
    return distances


def diameter(outputs: np.ndarray) -> float:
    """D = max_ij ||phi_i - phi_j||: the diameter of the convex hull of the neurons' outputs (Lemma 2).

    outputs: (examples, neurons). One neuron, or neurons that are all alike, have diameter 0.

    Exact: of the pairs that can be farthest apart the inner products are taken in float64, in blocks, and the best pair
    is subtracted. With the neurons ordered by their distance r from f, the outermost first, r_i + r_j bounds a distance
    from above, so that few blocks are left where some neurons lie far out; O(mN^2) at worst.
    Errors as in `mean_output`.
    """
    center = mean_output(outputs)
    return diameter_about(outputs, center, squared_distances(outputs, center))


def diameter_about(outputs: np.ndarray, center: np.ndarray, squared_radii: np.ndarray) -> float:
    """`diameter`, where the mean output and the squared distances from it are known."""
    order = np.argsort(-squared_radii, kind="stable")
    radii = np.sqrt(squared_radii)
    # From the outermost neuron to the one farthest from it, and on while that leads farther apart.
    best, here = 0.0, int(order[0])
    while True:
        distances = squared_distances(outputs, outputs[:, here].astype(np.float64))
        there = int(distances.argmax())
        if distances[there] <= best:
            break
        best, here = float(distances[there]), there
    return float(np.sqrt(max(best, _farthest(outputs, center, order, radii, best))))


def _farthest(outputs: np.ndarray, center: np.ndarray, order: np.ndarray, radii: np.ndarray, best: float) -> float:
    """The largest squared distance of two neurons, of those that may exceed `best`; less, where none does.

    order: neurons, the outermost first. radii: (neurons,) their distances from `center`.
    """
    # A block of rows, one of columns, and their inner products.
    size = max(1, min(CELLS // len(center), int(CELLS**0.5)))
    starts = range(0, len(order), size)
    # Where rounding could lift a distance over its bound.
    reach = np.sqrt(best) * (1 - 1e-9)
    for first in starts:
        if 2 * radii[order[first]] <= reach:
            break
        left = _centred(outputs, center, order[first : first + size])
        for second in range(first, len(order), size):
            if radii[order[first]] + radii[order[second]] <= reach:
                break
            chosen = order[second : second + size]
            right = left if second == first else _centred(outputs, center, chosen)
            squared = left @ right.T
            squared *= -2
            squared += (radii[order[first : first + size]] ** 2)[:, None]
            squared += (radii[chosen] ** 2)[None, :]
            row, column = np.unravel_index(squared.argmax(), squared.shape)
            difference = left[row] - right[column]
            best = max(best, float(difference @ difference))
            reach = np.sqrt(best) * (1 - 1e-9)
    return best


def _centred(outputs: np.ndarray, center: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """Rows phi_i - f of the given neurons, (neurons, examples) float64."""
    rows = outputs.T[neurons].astype(np.float64)
    rows -= center
    return rows


def _blocks(outputs: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of neurons as rows in float64, (neurons, examples), that may be overwritten; and which they are."""
    examples, neurons = outputs.shape
    size = max(1, CELLS // examples)
    for start in range(0, neurons, size):
        chosen = slice(start, start + size)
        yield chosen, outputs[:, chosen].T.astype(np.float64, order="C")
