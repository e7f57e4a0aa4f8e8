"""Algorithm 1 under the squared loss, by inner products that are computed once a neuron chosen."""

import numpy as np

from goodsubnet.selection.columns import Passes, first_of_identical
from goodsubnet.selection.losses import decide

# Inner products of so many likely neurons are computed in one pass over the outputs. On MNIST networks of 1,000
# neurons 200 steps take 28 to 32 passes with 4, 20 with 8 (twice the arithmetic), 50 to 64 with 1.
TOGETHER = 4
CACHE_BYTES = 2**29


class SquaredSearch:
    """Finds the neuron that minimises ||(u + phi)/k - y||^2, step after step.

    Its score 2 <phi, u - k y> + ||phi||^2 needs <phi, y>, ||phi||^2 and the inner products with the neurons chosen.
    """

    def __init__(self, columns: Passes, targets: np.ndarray) -> None:
        self.columns, self.targets = columns, targets
        self.total = np.zeros(columns.examples)
        self.step = 1
        self.candidates = first_of_identical(columns)
        self._squares = columns.moments.second[self.candidates]
        self._norms = np.sqrt(self._squares)
        self._with_targets = columns.moments.with_targets[self.candidates]
        self._target_norm = float(np.sqrt(np.square(targets).sum()))
        if not np.isfinite(np.r_[self._squares, self._with_targets, self._target_norm]).all():
            raise ValueError("outputs or targets are so large that the loss overflows")
        self._with_total = np.zeros(len(self.candidates))
        self._norms_summed = 0.0
        self._summed = 1
        self._cache: dict[int, np.ndarray] = {}
        self._capacity = max(2 * TOGETHER, CACHE_BYTES // (8 * len(self.candidates)))

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The score of each of `candidates`, and a bound of its distance from the true and the canonical score."""
        scores = 2 * (self._with_total - self.step * self._with_targets) + self._squares
        # Terms summed in float64 in any order: (examples + columns) units of the norms' products, by Cauchy-Schwarz.
        unit = np.finfo(np.float64).eps * (self.columns.examples + self._summed + 32)
        sizes = self._norms_summed + self.step * self._target_norm
        return scores, unit * (2 * self._norms * sizes + self._squares)

    def best(self) -> int:
        """The neuron of this step."""
        scores, errors = self.scores()
        near = ~(scores - errors > np.min(scores + errors))
        neurons = self.candidates[near]
        if len(neurons) == 1:
            return int(neurons[0])
        return decide(self.columns.column, neurons, self.total, self.targets, self.step, "squared")[0]

    def add(self, neuron: int) -> None:
        """Take the neuron into the sum and go to the next step."""
        self.add_column(neuron, self.columns.column(neuron))

    def add_column(self, key: int, column: np.ndarray) -> None:
        """The same for outputs, (examples,) float64, that may be another search's.

        key: the neuron, or for a neuron of another search a negative number that names it.
        """
        if key not in self._cache:
            self._prepare(key, column)
        self._with_total += self._cache[key]
        self._norms_summed += float(np.sqrt(np.square(column).sum()))
        self._summed += 1
        self.total += column
        self.step += 1

    def _prepare(self, key: int, column: np.ndarray) -> None:
        """Inner products with the column, and in the same pass with the neurons that came next after it."""
        scores, _ = self.scores()
        most = min(4 * TOGETHER, len(scores) - 1)
        likely = self.candidates[np.argpartition(scores, most)[: most + 1]]
        likely = likely[np.argsort(scores[np.searchsorted(self.candidates, likely)], kind="stable")]
        others = [n for n in likely.tolist() if n != key and n not in self._cache][: TOGETHER - 1]
        together = [key, *others]
        columns = np.stack([column, *(self.columns.column(n) for n in others)])
        while self._cache and len(self._cache) + len(together) > self._capacity:
            del self._cache[next(iter(self._cache))]
        self._cache.update(zip(together, self.columns.products(self.candidates, columns), strict=True))
