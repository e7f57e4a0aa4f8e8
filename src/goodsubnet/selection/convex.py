"""Forward selection with weights: a neuron a step, and a convex combination of the chosen neurons as the output.

Both methods are of the Frank-Wolfe family over the convex hull of the neurons' outputs; greedy forward selection is the
one with the step size 1/k. Each chooses the neuron by the model q of the loss along the line from z to phi,

    q(g) = L(z) - g p + g^2 c ||phi - z||^2 / 2,   p = <-grad L(z), phi - z>,

with c the largest curvature of the loss: 1 for the squared loss, where q is the loss; 1/4 for the logistic, where q is
above it. Sources: Frank and Wolfe (1956); Jaggi, "Revisiting Frank-Wolfe", ICML 2013; Lacoste-Julien and Jaggi,
"On the global linear convergence of Frank-Wolfe optimization variants", NeurIPS 2015 (fully-corrective variant).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from goodsubnet.selection.columns import Passes, first_of_identical
from goodsubnet.selection.forward import columns_of, search_in
from goodsubnet.selection.kernels import limit_threads
from goodsubnet.selection.logistic import derivatives
from goodsubnet.selection.simplex import Active
from goodsubnet.selection.trace import Selection
from goodsubnet.training.losses import CURVATURE, mean_loss

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array

EPS = np.finfo(np.float64).eps
# Of the loss of an output of 0: the duality gap down to which the weights of the chosen neurons are optimised.
TOLERANCE = 1e-6


def convex_selection(
    outputs: "Array",
    targets: "Array",
    steps: int | None = None,
    loss: str = "logistic",
    *,
    distinct: int | None = None,
    max_steps: int = 10_000,
    corrective: bool = False,
    threads: int | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Selection:
    """Choose neurons one at a time, and how much of each: z_k = (1 - g) z_{k-1} + g phi, g in [0, 1], z_1 = phi.

    outputs, targets, steps, distinct, max_steps, threads, after_step and errors as in `greedy_forward_selection`; a
    neuron is distinct while it has a weight, and g = 1 leaves one.

    The first neuron is the one with the lowest loss. After it neuron and g minimise the model q together; near-ties are
    decided in float64 by exact sums, ties go to the lowest index. For the squared loss that is their joint minimum. For
    the logistic loss it is the largest decrease that is guaranteed; then g is the exact minimum along the line.

    corrective: then the weights of all chosen neurons are optimised together over the simplex, until the duality gap
    over them, max <-grad L(z), phi_i - z>, is at most TOLERANCE of the loss of an output of 0: their loss is that close
    to the least that these neurons can have. The measured gaps, as means over the examples, are the selection's `gaps`.
    A neuron whose weight becomes 0 is dropped; it may be chosen again.

    The loss falls with each step. Where no neuron lowers it (corrective: where no p is above the tolerance) the
    selection ends, with fewer.
    """
    columns, targets = columns_of(outputs, targets, loss)
    if (steps is None) == (distinct is None):
        raise ValueError("give exactly one of steps and distinct")
    if distinct is not None and distinct > columns.neurons:
        raise ValueError(f"distinct={distinct}, but there are only {columns.neurons} neurons")
    limit = cast(int, steps if distinct is None else max_steps)
    before = limit_threads(threads)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is reported
            state = _Combination(columns, targets, loss, corrective)
            while len(state.chosen) < limit and (distinct is None or state.sizes[-1] < distinct):
                if not state.step():
                    break
                if after_step is not None:
                    after_step(len(state.chosen))
    finally:
        limit_threads(before)
    return state.selection()


class _Combination:
    """The chosen neurons with their weights, the output z of their combination, and the trace."""

    def __init__(self, columns: Passes, targets: np.ndarray, loss: str, corrective: bool) -> None:
        self._columns, self._targets, self._loss = columns, targets, loss
        self._search = Directions(columns, loss)
        self._tolerance = TOLERANCE * mean_loss(np.zeros(columns.examples), targets, loss) * columns.examples
        self._corrective = corrective
        self._evaluations = 0
        first = search_in(columns, targets, loss).best()
        self.z, self.share = columns.column(first), {first: 1.0}
        self._active = Active(targets, loss, first, self.z) if corrective else None
        self.chosen: list[int]
        self.losses: list[float]
        self.sizes: list[int]
        self.passes: list[float]
        self.gaps: list[float]
        self.chosen, self.losses, self.sizes, self.passes, self.gaps = [], [], [], [], []
        value = mean_loss(self.z, targets, loss)
        if not math.isfinite(value):
            raise ValueError("outputs or targets are so large that the loss overflows")
        self._record(first, value, 2, 0.0)

    def step(self) -> bool:
        """Take one neuron more; whether the loss fell."""
        slope = slope_of(self.z, self._targets, self._loss)
        neuron = self._search.best(self.z, slope, self._tolerance if self._corrective else 0.0)
        if neuron is None:
            return False
        phi = self._columns.column(neuron)
        g, evaluations = line_search(self.z, phi - self.z, self._targets, self._loss)
        self._evaluations += evaluations
        share = {n: s * (1 - g) for n, s in self.share.items()}
        share[neuron] = share.get(neuron, 0.0) + g
        z, gap = self.z + g * (phi - self.z), 0.0
        if self._active is not None:
            share, z, gap, evaluations = self._active.corrected(neuron, phi, share, self._tolerance)
            self._evaluations += evaluations
        value = mean_loss(z, self._targets, self._loss)
        if not value < self.losses[-1]:
            return False
        self.z, self.share = z, {n: s for n, s in share.items() if s > 0}
        self._record(neuron, value, self.passes[-1] + 2, gap)
        return True

    def _record(self, neuron: int, value: float, passes: float, gap: float) -> None:
        self.chosen.append(neuron)
        self.losses.append(value)
        self.sizes.append(len(self.share))
        self.passes.append(passes + self._evaluations / self._columns.neurons)
        self.gaps.append(gap / self._columns.examples)
        self._evaluations = 0

    def selection(self) -> Selection:
        total = math.fsum(self.share.values())
        return Selection(
            np.array(self.chosen, np.int64),
            np.array(self.losses),
            np.array(self.sizes, np.int64),
            np.array(self.passes),
            share={neuron: share / total for neuron, share in self.share.items()},
            gaps=np.array(self.gaps) if self._corrective else None,
        )


class Directions:
    """Finds the neuron phi towards which the model q falls lowest for a g in [0, 1]."""

    def __init__(self, columns: Passes, loss: str) -> None:
        self._columns, self._curvature = columns, CURVATURE[loss]
        self.candidates = first_of_identical(columns)
        self._squares = columns.moments.second[self.candidates]
        self._norms = np.sqrt(self._squares)

    def best(self, z: np.ndarray, slope: np.ndarray, least: float) -> int | None:
        """The neuron, among those with p > `least` (>= 0); None where there is none.

        z: (examples,) the output; slope: (examples,) the gradient of the summed loss there.
        """
        with_slope, with_z = self._columns.products(self.candidates, np.stack((slope, z)))
        norm, steepness = (math.sqrt(np.sum(x * x)) for x in (z, slope))
        p = np.sum(slope * z) - with_slope
        q = self._curvature * (self._squares - 2 * with_z + norm**2)
        # Terms summed in any order: (examples + 8) units of the norms' products, by Cauchy-Schwarz.
        unit = EPS * (self._columns.examples + 8)
        error_p = unit * steepness * (self._norms + norm)
        error_q = unit * self._curvature * (self._norms + norm) ** 2
        lower = decrease(np.where(p > least, p - error_p, 0), q + error_q) * (1 - 8 * EPS)
        upper = decrease(np.where(p > least, p + error_p, 0), np.maximum(q - error_q, 0)) * (1 + 8 * EPS)
        near = (p > least) & (upper > 0) & ~(upper < lower.max(initial=0))
        scored = {int(n): self._exact(int(n), z, slope) for n in self.candidates[near]}
        best = max(scored.values(), default=0.0)
        return min(n for n, value in scored.items() if value == best) if best > 0 else None

    def _exact(self, neuron: int, z: np.ndarray, slope: np.ndarray) -> float:
        """The decrease, from terms in float64 whose sums are exact."""
        way = self._columns.column(neuron) - z
        p = -math.fsum((slope * way).tolist())
        q = self._curvature * math.fsum((way * way).tolist())
        return float(decrease(np.array(p), np.array(q)))


def decrease(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The largest g p - g^2 q / 2 over g in [0, 1]; q >= 0. It grows with p and falls with q."""
    inside = np.square(p) / np.where(q > 0, 2 * q, 1)
    return np.where(p <= 0, 0.0, np.where(p >= q, p - q / 2, inside))


def slope_of(z: np.ndarray, targets: np.ndarray, loss: str) -> np.ndarray:
    """The derivative of each example's loss with respect to its output."""
    return z - targets if loss == "squared" else derivatives(z, targets)[0]


def line_search(z: np.ndarray, way: np.ndarray, targets: np.ndarray, loss: str) -> tuple[float, int]:
    """The g in [0, 1] with the lowest loss of z + g way, and how many points of the line were looked at.

    Squared: in closed form. Logistic: by Newton's method on the derivative, kept inside the interval that holds its
    zero, to the last digits of float64. The derivative at g = 0 is negative.
    """
    if loss == "squared":
        return min(1.0, float(np.sum((targets - z) * way) / np.sum(way * way))), 0
    low, high, g, looked = 0.0, 1.0, 1.0, 0
    while looked < 200:
        looked += 1
        first, second, *_ = derivatives(z + g * way, targets)
        rise, bend = float(np.sum(first * way)), float(np.sum(second * way * way))
        if rise <= 0:
            low = g
        else:
            high = g
        if low == 1 or rise == 0:
            break
        ahead = g - rise / bend if bend > 0 else -1.0
        following = ahead if low < ahead < high else (low + high) / 2
        if abs(following - g) <= 4 * EPS * g:
            break
        g = following
    return g, looked
