"""How many iterations of pre-training each seed and size needs, as ranges where the checkpoints do not show it."""

from typing import NamedTuple

import numpy as np

from goodsubnet.claims.inputs import NotAsked
from goodsubnet.results.analysis import Trials, first_crossing

PLATEAU_MARGIN = 0.01
EARLY, SHOWN, LATE = -1, 0, 1


class Needs(NamedTuple):
    """Logarithms of iterations, each (K, S): K seeds, S sizes."""

    value: np.ndarray  # finite: the end of the range that is known, where it is one
    low: np.ndarray
    high: np.ndarray
    censored: np.ndarray  # EARLY, SHOWN or LATE

    def at(self, sizes: np.ndarray) -> "Needs":
        """The needs of some sizes, given as a mask or as positions."""
        return Needs(*(array[:, sizes] for array in self))

    @property
    def words(self) -> str:
        """How many are censored; empty for none."""
        count = np.count_nonzero(self.censored)
        return f"{count} of {self.censored.size} needs censored" if count else ""


def joined(needs: list[Needs]) -> Needs:
    """Needs of several networks side by side."""
    return Needs(*(np.concatenate(arrays, axis=1) for arrays in zip(*needs, strict=True)))


def combined(needs: Needs, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums over sizes, each (K,): of the values, and the smallest and largest that the ranges allow."""
    up, down = np.maximum(weights, 0), np.minimum(weights, 0)
    value, low, high, _ = needs
    return value @ weights, _weighed(low, up) + _weighed(high, down), _weighed(high, up) + _weighed(low, down)


def red_line(trials: Trials) -> Needs:
    """Until the subnetwork is as accurate as the best of the largest size, which itself is left out: (K, S - 1)."""
    if len(trials.examples) < 2:
        raise NotAsked("one number of examples only; name several under examples")
    target = trials.values[:, -1, :].max(axis=-1)
    return _as_ranges(first_crossing(trials.values[:, :-1], target[:, None], trials.iterations), trials.iterations)


def winning_tickets(trials: Trials, dense: Trials) -> Needs:
    """Until the subnetwork is as accurate as the fully trained dense network of its size and seed: (K, S)."""
    return _as_ranges(first_crossing(trials.values, dense.values[:, :, -1], trials.iterations), trials.iterations)


def plateau(trials: Trials) -> Needs:
    """Until the accuracy comes within `PLATEAU_MARGIN` of its highest, largest number of examples: (K, 1).

    In the last interval between checkpoints the range has no upper end: the accuracy may still be rising.
    """
    values = trials.values[:, -1:]
    crossing = first_crossing(values, values.max(axis=-1) - PLATEAU_MARGIN, trials.iterations)
    needs = _as_ranges(crossing, trials.iterations)
    rising = crossing > trials.iterations[-2]
    high, censored = np.where(rising, np.inf, needs.high), np.where(rising, LATE, needs.censored)
    return Needs(needs.value, needs.low, high, censored)


def _as_ranges(crossing: np.ndarray, iterations: np.ndarray) -> Needs:
    """crossing: iterations, inf for never, the first checkpoint for "met there"."""
    if len(iterations) < 2:
        raise NotAsked("one checkpoint only; name several under checkpoints")
    first, second, last = float(iterations[0]), float(iterations[1]), float(iterations[-1])
    late, met = np.isinf(crossing), crossing <= first
    # A straight line from iteration 0 is far too late.
    early = met | ((first == 0) & (crossing < second))
    known = np.where(late, last, np.where(met, first if first > 0 else second, crossing))
    value = np.log(known)
    return Needs(
        value,
        np.where(early, -np.inf, value),
        np.where(late, np.inf, value),
        np.select([late, early], [LATE, EARLY], SHOWN),
    )


def _weighed(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """values @ weights, where 0 times infinity is 0. values: (K, S); weights: (S,)."""
    chosen = weights != 0
    return values[:, chosen] @ weights[chosen]
