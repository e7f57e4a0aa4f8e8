"""Algorithm 1 under the logistic loss, by bounds that leave few candidates to compute exactly."""

from collections.abc import Callable

import numpy as np

from goodsubnet.selection.columns import Passes, first_of_identical
from goodsubnet.selection.losses import decide

# sup of |fifth derivative of log(1 + e^z)| is 0.12768..., over 5!.
FIFTH = 0.128 / 120
EPS = np.finfo(np.float64).eps
MAX = np.finfo(np.float64).max
# So many of the best-looking candidates are screened before the rest, for a sharper threshold.
FIRST_LOOK = 16


def derivatives(s: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, ...]:
    """First to fourth derivative of log(1 + e^s) - y s, each with full relative precision."""
    small = np.exp(-np.abs(s))
    towards = np.where(targets > 0, s, -s)  # y = 1 pulls up, y = 0 down
    miss = np.where(towards > 0, small, 1.0) / (1 + small)
    slope = small / np.square(1 + small)
    tilt = np.sign(s) * np.expm1(-np.abs(s)) / (1 + small)  # 1 - 2 sigma(s)
    return np.where(targets > 0, -miss, miss), slope, slope * tilt, slope * (1 - 6 * slope)


class LogisticSearch:
    """Finds the neuron that minimises sum_j log(1 + e^z_j) - y_j z_j at z = (u + phi)/k, step after step.

    Three passes, each over what the one before could not rule out: a Taylor polynomial of fourth order in phi/k with
    its remainder bounded (all neurons), the loss in float32 with its rounding bounded, the loss in float64. What is
    then still undecided goes to `decide`. `counts` adds up the candidates of each pass.
    """

    def __init__(self, columns: Passes, targets: np.ndarray) -> None:
        self.columns, self.targets = columns, targets
        self.total = np.zeros(columns.examples)
        self.step = 1
        self.candidates = first_of_identical(columns)
        self.counts = {"taylor": 0, "screen": 0, "exact": 0, "canonical": 0}
        self._sign = np.where(targets > 0, -1.0, 1.0)
        self._taylor_from = 1
        largest, second, fourth, fifth, _ = (m[self.candidates] for m in columns.moments)
        with np.errstate(over="ignore", invalid="ignore"):
            # What multiplies the norms of the four rows of weights in a bound of the terms' absolute sum.
            self._sizes = np.sqrt(np.stack((second, fourth, fourth, fourth)))
            self._sizes[2] *= largest
            self._sizes[3] *= np.square(largest)
            self._underflow = columns.examples * 1e-36 * (1 + largest) ** 4
        self._fifth = 1.01 * FIFTH * fifth

    def best(self) -> int:
        """The neuron of this step."""
        alive, threshold = self.candidates, np.inf
        if self.step >= self._taylor_from:
            alive, threshold = self._rule_out_by_taylor()
            # Where it rules out little, as in the first steps, it is left out for a while: it costs a fifth
            # of what it then fails to save.
            if len(alive) > 0.7 * len(self.candidates):
                self._taylor_from = self.step + 1 + self.step // 4
        if len(alive) > 1:
            alive, threshold = self._rule_out_by_screening(alive, threshold)
        if len(alive) > 1:
            lower, upper = self.exact_bounds(alive)
            alive = alive[~(lower > min(threshold, upper.min()))]
        if len(alive) == 1:
            return int(alive[0])
        self.counts["canonical"] += len(alive)
        return decide(self.columns.column, alive, self.total, self.targets, self.step, "logistic")[0]

    def add(self, neuron: int) -> None:
        """Take the neuron into the sum and go to the next step."""
        self.add_column(neuron, self.columns.column(neuron))

    def add_column(self, key: int, column: np.ndarray) -> None:
        """The same for outputs, (examples,) float64, that may be another search's; key: as `SquaredSearch` needs it."""
        self.total += column
        self.step += 1

    def _rule_out_by_taylor(self) -> tuple[np.ndarray, float]:
        """The candidates that may be best, best-looking first, and an upper bound of the least loss."""
        lower, upper = self.taylor_bounds()
        looks = np.where(np.isfinite(lower), lower / 2 + upper.clip(max=MAX) / 2, np.inf)
        _, exact = self.exact_bounds(self.candidates[[int(np.argmin(looks))]])
        threshold = min(upper.min(), exact[0])
        alive = np.flatnonzero(~(lower > threshold))
        return self.candidates[alive[np.argsort(looks[alive], kind="stable")]], threshold

    def _rule_out_by_screening(self, alive: np.ndarray, threshold: float) -> tuple[np.ndarray, float]:
        """The same by float32, the first few of `alive` before the rest."""
        bounds = []
        for part in (alive[:FIRST_LOOK], alive[FIRST_LOOK:]):
            if len(part):
                bounds.append(self.screen_bounds(part))
                threshold = min(threshold, bounds[-1][1].min())
        lower = np.concatenate([pair[0] for pair in bounds])
        return alive[~(lower > threshold)], threshold

    def taylor_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound of the summed loss of each of `candidates`; infinite where nothing is known."""
        k, columns = self.step, self.columns
        self.counts["taylor"] += len(self.candidates)
        s = self.total / k
        weights = np.stack(derivatives(s, self.targets))
        weights /= (np.array([1.0, 2.0, 6.0, 24.0]) * float(k) ** np.arange(1, 5))[:, None]
        t = self._sign * s
        here = float(np.sum(np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))))
        steepness = 8 * EPS * (4 + np.abs(s).max())
        with np.errstate(over="ignore", invalid="ignore"):
            middle = here + columns.quartics(self.candidates, weights)
            absolute = np.sqrt(np.square(weights).sum(1)) @ self._sizes
            # Cauchy-Schwarz bounds the absolute sum of the terms.
            error = 1.01 * (columns.rounding + steepness) * absolute + here * (EPS * columns.examples + steepness)
            error += self._underflow + self._fifth / float(k) ** 5
            # A power that overflows in float32 says nothing, whatever its sign.
            known = np.isfinite(middle) & np.isfinite(error)
            return np.where(known, middle - error, -np.inf), np.where(known, middle + error, np.inf)

    def screen_bounds(self, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound of the summed loss by float32."""
        self.counts["screen"] += len(neurons)
        return self._bounds(neurons, self.columns.screen, self.columns.screen_rounding)

    def exact_bounds(self, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound of the summed loss, true and canonical, by float64."""
        self.counts["exact"] += len(neurons)
        return self._bounds(neurons, self.columns.softplus, EPS / 2)

    def _bounds(
        self,
        neurons: np.ndarray,
        evaluate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
        unit: float | np.floating,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A sum of softplus, all terms positive, within a relative error.

        |d softplus / dt| <= softplus, so an error of t, a few units of (|u| + |phi|)/k, is the same relative error of
        the loss. The rest: the exponential (4 units), 4 halvings of the product (8), 16 or more additions in one lane,
        and what is summed in float64.
        """
        k = self.step
        scale = self._sign / (k * np.log(2))
        largest = self.columns.moments.largest[neurons]
        reach = (np.abs(self.total).max() + largest) / k
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            losses = evaluate(neurons, scale, scale * self.total)
            rows = self.columns.examples / 512 + 1
            error = unit * (6 * reach + rows + 32) + EPS * (rows + 512)
            slack = self.columns.examples * (1e-36 if unit > EPS else 1e-300)
            unknown = ~((error < 0.1) & np.isfinite(losses) & (reach < (1e30 if unit > EPS else 1e300)))
            lower = np.where(unknown, -np.inf, losses * (1 - 1.2 * error) - slack)
            return lower, np.where(unknown, np.inf, losses * (1 + 1.2 * error) + slack)
