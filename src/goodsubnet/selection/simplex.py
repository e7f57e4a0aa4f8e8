"""The best convex weights of a few neurons: Newton's method over the simplex, to a duality gap that is checked."""

from typing import cast

import numpy as np

from goodsubnet.selection.logistic import derivatives
from goodsubnet.training.losses import CURVATURE, mean_loss

# A handful do from the weights of the step before.
MOST_ITERATIONS = 200
# Of the largest possible second derivative; makes the quadratic model strictly convex where neurons are alike.
RIDGE = 1e-10


class Active:
    """The active neurons: their outputs, in ascending order of the neurons, and under the squared loss their products.

    It begins with one neuron, `first`, and its outputs phi, (examples,) float64.
    """

    def __init__(self, targets: np.ndarray, loss: str, first: int, phi: np.ndarray) -> None:
        self._targets, self._loss = targets, loss
        self._neurons, self._rows = [first], phi[None]
        self._products = self._rows @ self._rows.T

    def corrected(
        self, neuron: int, phi: np.ndarray, share: dict[int, float], tolerance: float
    ) -> tuple[dict[int, float], np.ndarray, float, int]:
        """Take a neuron in and optimise the weights of all, from `share` on; those without a weight are dropped.

        Returns the weights, the output, the duality gap (summed over the examples), at most `tolerance`, and how many
        evaluations of a neuron on all examples that took. Raises ValueError where the gap is not reached.
        """
        place = int(np.searchsorted(self._neurons, neuron))
        self._neurons.insert(place, neuron)
        self._rows = np.insert(self._rows, place, phi, axis=0)
        evaluations = 0
        if self._loss == "squared":
            evaluations = len(self._neurons)
            products = np.insert(np.insert(self._products, place, 0, axis=0), place, 0, axis=1)
            products[place] = products[:, place] = self._rows @ phi
            self._products = products
        hessian = self._products if self._loss == "squared" else None
        start = np.array([share[n] for n in self._neurons])
        weights, gap, more = optimal_weights(self._rows, self._targets, start, self._loss, tolerance, hessian)
        stays = weights > 0
        self._neurons = [n for n, kept in zip(self._neurons, stays, strict=True) if kept]
        self._rows, weights = self._rows[stays], weights[stays]
        if self._loss == "squared":
            self._products = self._products[np.ix_(stays, stays)]
        found = dict(zip(self._neurons, weights.tolist(), strict=True))
        return found, weights @ self._rows, gap, evaluations + more


def optimal_weights(
    rows: np.ndarray,
    targets: np.ndarray,
    start: np.ndarray,
    loss: str,
    tolerance: float,
    hessian: np.ndarray | None = None,
) -> tuple[np.ndarray, float, int]:
    """Convex weights w of `rows` (neurons, examples) with the lowest summed loss of w @ rows, within `tolerance`.

    start: weights to begin with, of a sum of 1; the loss does not rise from there. hessian: of the squared loss, rows @
    rows.T. Returns the weights, exactly 0 for neurons that are not needed; the duality gap max_i <-grad, phi_i - z>,
    which bounds how far the loss is from the least; and how many evaluations of a neuron on all examples it took.
    Raises ValueError where the gap is not reached.

    Each iteration minimises the quadratic model of the loss at w over the simplex and goes there, or as far towards it
    as the loss falls.
    """
    count = len(rows)
    ridge = RIDGE * CURVATURE[loss] * float(np.square(rows).sum(axis=1).max())
    weights, evaluations = start, 0
    for _ in range(MOST_ITERATIONS):
        z = weights @ rows
        slope, bend = (z - targets, None) if loss == "squared" else derivatives(z, targets)[:2]
        gradient = rows @ slope
        evaluations += 2 * count
        gap = float(weights @ gradient - gradient.min())
        if gap <= tolerance:
            return weights, max(gap, 0.0), evaluations
        if bend is not None:
            hessian = (rows * bend) @ rows.T
            evaluations += count * (count + 1) // 2
        model = cast(np.ndarray, hessian) + ridge * np.eye(count)
        aim = quadratic_minimum(model, gradient - model @ weights, weights)
        weights, looked = _towards(aim, weights, rows, targets, loss, float(gradient @ (aim - weights)))
        evaluations += looked * count
    raise ValueError(f"the weights of {count} neurons did not come within the duality gap in {MOST_ITERATIONS} steps")


def _towards(
    aim: np.ndarray, weights: np.ndarray, rows: np.ndarray, targets: np.ndarray, loss: str, rise: float
) -> tuple[np.ndarray, int]:
    """The point between `weights` and `aim` to go to, by halving, and how many points were looked at."""
    examples, here = len(targets), mean_loss(weights @ rows, targets, loss)
    length, looked = 1.0, 0
    while length > 1e-12:
        point = aim if length == 1 else weights + length * (aim - weights)
        looked += 1
        if mean_loss(point @ rows, targets, loss) <= here + 0.1 * length * rise / examples:
            return point, looked
        length /= 2
    raise ValueError("the loss of the chosen neurons cannot be lowered any further in float64")


def quadratic_minimum(matrix: np.ndarray, linear: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The minimum of x' matrix x / 2 + linear' x over the simplex; matrix positive definite, start in the simplex.

    The active-set method (Wolfe, "Finding the nearest point in a polytope", 1976): to the minimum on the face that is
    free; where that lies outside, to the border, a smaller face; where another coordinate would lower it, a larger one.
    Coordinates that are not needed are exactly 0.
    """
    x, free, added = start.copy(), start > 0, -1
    for _ in range(20 * len(x) + 100):
        face = np.flatnonzero(free)
        right = np.stack((np.ones(len(face)), -linear[face]), axis=1)
        ones, middle = np.linalg.solve(matrix[np.ix_(face, face)], right).T
        inside = middle + ones * (1 - middle.sum()) / ones.sum()
        if (inside > 0).all():
            x[face] = inside
            slopes = matrix @ x + linear
            added = int(np.argmin(slopes))
            if free[added] or slopes[added] >= slopes[face].min() - 1e-12 * np.abs(slopes).max():
                break
            free[added] = True
            continue
        # The first coordinate that reaches 0 on the way to the minimum of the face.
        falling = np.flatnonzero(inside <= 0)
        reach = x[face[falling]] / (x[face[falling]] - inside[falling])
        first = falling[np.argmin(reach)]
        x[face] += reach.min() * (inside - x[face])
        x[face[first]], free[face[first]] = 0.0, False
        if face[first] == added and reach.min() == 0:
            break  # what seemed to lower it does not, within rounding
    x = np.maximum(x, 0)
    return x / x.sum()
