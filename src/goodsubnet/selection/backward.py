"""Greedy backward elimination of neurons, exact: the searches of forward selection, turned round.

To remove phi from the average z = u/k of k neurons is to add -phi to u and to divide by k - 1. So the same passes and
bounds decide, and near-ties in the same way, over the columns of -phi.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from goodsubnet.selection.columns import Passes, originals
from goodsubnet.selection.forward import columns_of
from goodsubnet.selection.kernels import limit_threads
from goodsubnet.selection.logistic import LogisticSearch
from goodsubnet.selection.losses import decide
from goodsubnet.selection.squared import SquaredSearch
from goodsubnet.selection.trace import Selection
from goodsubnet.training.losses import mean_loss

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array


def backward_elimination(
    outputs: "Array",
    targets: "Array",
    size: int,
    loss: str = "logistic",
    *,
    threads: int | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Selection:
    """Remove neurons one at a time, each the one that leaves the average of the others with the lowest loss.

    outputs, targets, threads and errors as in `greedy_forward_selection`; size: how many neurons stay, at least 1.
    after_step: called with the number of neurons removed. A copy of the outputs is held.
    Returns the neurons that stay, ascending, and the trace from the average of all of them on. Each choice is the true
    minimum over all neurons that are left, near-ties decided in float64 by `canonical_score`, ties to the lowest index;
    the sum of the columns is carried on in float64.
    """
    columns, targets = columns_of(-outputs, targets, loss)
    if not 1 <= size <= columns.neurons:
        raise ValueError(f"size must be from 1 to the {columns.neurons} neurons that there are, not {size}")
    before = limit_threads(threads)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is reported, or bounds nothing
            search: SquaredElimination | LogisticElimination
            search = (SquaredElimination if loss == "squared" else LogisticElimination)(columns, targets)
            losses: list[float]
            left, losses = np.ones(columns.neurons, bool), []
            for removed in range(columns.neurons - size + 1):
                if removed:
                    neuron = search.best()
                    left[neuron] = False
                    search.remove(neuron)
                losses.append(mean_loss(search.total / (search.step + 1), targets, loss))
                if not np.isfinite(losses[-1]):
                    raise ValueError("outputs or targets are so large that the loss overflows")
                if after_step is not None:
                    after_step(removed)
    finally:
        limit_threads(before)
    sizes = np.arange(columns.neurons, size - 1, -1)
    passes = 1 + np.cumsum(np.r_[0, sizes[:-1]]) / columns.neurons
    return Selection(np.flatnonzero(left), np.array(losses), sizes, passes)


class LogisticElimination(LogisticSearch):
    """Finds the neuron whose removal leaves the lowest logistic loss, removal after removal.

    columns: of -phi. `total` is the sum of phi over the neurons that are left, `step` their number less 1. Of identical
    neurons one is a candidate at a time, the lowest that is left. The Taylor polynomial in phi/k rules out nearly all
    while many are left; once it fails, with few, it is asked no more.
    """

    def __init__(self, columns: Passes, targets: np.ndarray) -> None:
        super().__init__(columns, targets)
        self.total, self.step = -_sum_of(columns), columns.neurons - 1
        self._next = next_copies(columns)

    def remove(self, neuron: int) -> None:
        """Take the neuron that `best` found out of the average."""
        self.total += self.columns.column(neuron)
        self.step -= 1
        (place,) = np.flatnonzero(self.candidates == neuron)
        if self._next[neuron] >= 0:
            self.candidates[place] = self._next[neuron]
            return
        self.candidates, self._underflow, self._fifth = (
            np.delete(array, place) for array in (self.candidates, self._underflow, self._fifth)
        )
        self._sizes = np.delete(self._sizes, place, axis=1)


class SquaredElimination(SquaredSearch):
    """The same for the squared loss. `candidates` stay: the first of each set of identical neurons.

    `_lowest` is the lowest neuron of each set that is left, -1 where none is.
    """

    def __init__(self, columns: Passes, targets: np.ndarray) -> None:
        super().__init__(columns, targets)
        self.total, self.step = -_sum_of(columns), columns.neurons - 1
        self._with_total = columns.products(self.candidates, self.total[None])[0]
        self._norms_summed = float(np.sqrt(columns.moments.second).sum())
        self._summed = columns.neurons
        self._next, self._lowest = next_copies(columns), self.candidates.copy()

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """As in `SquaredSearch`; infinite where no neuron is left."""
        scores, errors = super().scores()
        return np.where(self._lowest < 0, np.inf, scores), errors

    def best(self) -> int:
        """The neuron to remove."""
        scores, errors = self.scores()
        near = np.isfinite(scores) & ~(scores - errors > np.min(scores + errors))
        neurons = self._lowest[near]
        if len(neurons) == 1:
            return int(neurons[0])
        return decide(self.columns.column, neurons, self.total, self.targets, self.step, "squared")[0]

    def remove(self, neuron: int) -> None:
        """Take the neuron that `best` found out of the average."""
        (place,) = np.flatnonzero(self._lowest == neuron)
        self._lowest[place] = self._next[neuron]
        self.add_column(int(self.candidates[place]), self.columns.column(neuron))
        self.step -= 2  # `add_column` counted one more


def next_copies(columns: Passes) -> np.ndarray:
    """(neurons,) int64: the next neuron with the same column, -1 where there is none."""
    first = originals(columns)
    order = np.argsort(first, kind="stable")
    same = first[order[1:]] == first[order[:-1]]
    following = np.full(len(first), -1)
    following[order[:-1][same]] = order[1:][same]
    return following


def _sum_of(columns: Passes) -> np.ndarray:
    total = np.zeros(columns.examples)
    for neuron in range(columns.neurons):
        total += columns.column(neuron)
    return total
