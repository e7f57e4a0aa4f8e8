"""Algorithm 2: the neurons are split over workers, each finds the best of its own, and the best of these is taken."""

from typing import TYPE_CHECKING

import numpy as np

from goodsubnet.runtime.group import Alone, Workers
from goodsubnet.selection.losses import canonical_score

if TYPE_CHECKING:
    from goodsubnet.selection.logistic import LogisticSearch
    from goodsubnet.selection.squared import SquaredSearch


class DistributedSearch:
    """A worker's side of a search over all neurons: it holds the outputs of its own, and chooses what all choose.

    A step is one exchange of (score, neuron) pairs and one broadcast of the chosen neuron's outputs, `examples`
    numbers of their own precision, whatever the number of neurons. The scores are canonical, so what is chosen is
    what one search over all neurons chooses, ties to the lowest index.

    search: over this worker's neurons, as `search_for` gives it. neurons: int64, their indices among all. loss: of
    the search. dtype: of the outputs. workers: all of them; the other ones hold the other neurons.
    Source: Algorithm 2.
    """

    def __init__(
        self,
        search: "SquaredSearch | LogisticSearch",
        neurons: np.ndarray,
        loss: str,
        dtype: np.dtype,
        workers: Workers | Alone,
    ) -> None:
        self._search, self._neurons, self._loss, self._dtype, self._workers = search, neurons, loss, dtype, workers
        self.targets = search.targets

    @property
    def total(self) -> np.ndarray:
        return self._search.total

    def best(self) -> int:
        """The neuron of this step, among all."""
        search = self._search
        own = search.best()
        score = canonical_score(search.columns.column(own), search.total, search.targets, search.step, self._loss)
        pair = np.array([score, self._neurons[own], self._workers.rank])
        _, neuron, owner = self._workers.agree(pair, _lowest)
        self._owner, self._own = int(owner), own
        return int(neuron)

    def add(self, neuron: int) -> None:
        """Take the neuron that `best` found into the sum, on all workers, and go to the next step."""
        if self._owner == self._workers.rank:
            column = self._search.columns.column(self._own)
            self._workers.broadcast(column.astype(self._dtype), self._owner)
            self._search.add(self._own)
        else:
            column = self._workers.broadcast(np.empty(len(self.targets), self._dtype), self._owner)
            self._search.add_column(-1 - neuron, column.astype(np.float64))


def _lowest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The pair of the lower score, ties to the lower neuron; what stands behind them goes along."""
    return first if tuple(first[:2]) <= tuple(second[:2]) else second
