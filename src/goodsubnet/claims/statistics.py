"""An effect over seeds with its interval, and which side of a line it is on.

Every statistic here is a mean over seeds of one number per seed. Its standard error is that of the bootstrap over
seeds: over all resamples with their exact weights a mean has the variance (K - 1)/K s^2/K, s^2 of the sample (divisor K
- 1); the factor K/(K - 1) makes that unbiased, s^2/K. The interval is effect +- t s/sqrt(K), with Student's t of K - 1
degrees of freedom: where the seeds' numbers are Gaussian it covers the truth in exactly 95%, whatever K >= 2; the
percentile interval of the same bootstrap covers it in 75% with three seeds.

A number may be a range, because checkpoints do not show it (a need that is never met is at least the last one): then
the low end of the interval is computed from the ranges' low ends, and the high end from their high ends.
"""

import math
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from scipy.special import stdtr, stdtrit

LEVEL = 0.05
# A spread below this share of the numbers is the rounding of equal ones.
ROUNDING = 1e-12
LARGEST_LOGARITHM = 700.0
HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"


class Line(NamedTuple):
    """Where a claim holds: between `low` and `high`, either of which may be infinite.

    ratio: the effect is a ratio, compared by its logarithm.
    """

    low: float = -math.inf
    high: float = math.inf
    ratio: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends as effects are computed: logarithms of ratios."""
        if not self.ratio:
            return self.low, self.high
        return math.log(self.low) if self.low > 0 else -math.inf, math.log(self.high)

    def shown(self, number: float) -> float:
        """A computed effect as people read it."""
        if not self.ratio:
            return float(number)
        return math.inf if number > LARGEST_LOGARITHM else math.exp(number)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        if math.isinf(self.low) or (self.ratio and self.low == 0):
            return f"below {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


class End(NamedTuple):
    """What one end of an interval is computed from."""

    mean: float
    error: float  # standard error of the mean; 0 where all seeds give the same number
    freedom: float
    sign_level: float  # of the sign test, all that is left where there is no spread

    def bound(self, level: float, side: int) -> float:
        """The end of the interval at a two-sided level; side: -1 or 1. NaN where equal numbers leave it open."""
        if not math.isfinite(self.mean):
            return self.mean
        if self.error == 0:
            return self.mean if self.sign_level <= level else math.nan
        return self.mean + side * float(stdtrit(self.freedom, 1 - level / 2)) * self.error

    def level_beyond(self, line: float, side: int) -> float:
        """The smallest two-sided level at which the whole interval lies beyond a line; 1: at none. side: 1 is above."""
        distance = side * (self.mean - line)
        if math.isnan(distance) or distance <= 0 or not math.isfinite(self.mean):
            return 1.0
        if self.error == 0:
            return self.sign_level
        return min(1.0, 2 * float(stdtr(self.freedom, -distance / self.error)))


# The lower and the upper one.
_Ends: TypeAlias = tuple[End, End]


class Estimate(NamedTuple):
    """An effect with what both ends of its interval are computed from."""

    effect: float
    lower: End
    upper: End
    seeds: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Its ends at a two-sided level; NaN for one seed."""
        if self.seeds < 2:
            return math.nan, math.nan
        return self.lower.bound(level, -1), self.upper.bound(level, 1)

    def level_refuting(self, line: Line) -> float:
        """The smallest two-sided level at which the interval lies on the other side of the line; 1: at none."""
        if self.seeds < 2:
            return 1.0
        low, high = line.ends
        return min(self.upper.level_beyond(low, -1), self.lower.level_beyond(high, 1))

    def verdict(self, line: Line, level: float = LEVEL) -> tuple[str, str]:
        """What the interval says of a claim, and why if it is undecided."""
        if self.seeds < 2:
            return UNDECIDED, "one seed, from which no interval follows; add seeds"
        (low, high), (start, stop) = self.interval(level), line.ends
        if (math.isinf(start) or low > start) and (math.isinf(stop) or high < stop):
            return HOLDS, ""
        if low > stop or high < start:
            return FAILS, ""
        spread = max(self.lower.error, self.upper.error)
        if spread == 0 and min(abs(self.effect - start), abs(self.effect - stop)) <= ROUNDING:
            return UNDECIDED, "all seeds are exactly at the line"
        if math.isnan(low) or math.isnan(high):
            return UNDECIDED, f"all {self.seeds} seeds give the same number, so that their spread says nothing"
        return UNDECIDED, "censored" if math.isinf(low) or math.isinf(high) else "the interval crosses the line"


def over_seeds(values: np.ndarray, lower: np.ndarray | None = None, upper: np.ndarray | None = None) -> Estimate:
    """The mean over seeds. values: (K,), one number per seed; lower, upper: (K,), their ranges, which may be infinite.

    Raises ValueError where a number is NaN.
    """
    values = np.asarray(values, np.float64)
    ends = [values if each is None else np.asarray(each, np.float64) for each in (lower, upper)]
    if not len(values) or any(np.isnan(each).any() for each in (values, *ends)):
        raise ValueError("a seed has no number")
    return Estimate(float(values.mean()), *cast(_Ends, map(_end, ends)), len(values))


def between_groups(first: Estimate, second: Estimate) -> Estimate:
    """The second's mean minus the first's, of groups of different seeds: Welch's interval."""
    seeds = min(first.seeds, second.seeds)
    ends = [_difference(second.lower, first.upper), _difference(second.upper, first.lower)]
    return Estimate(second.effect - first.effect, *cast(_Ends, ends), seeds)


def _end(values: np.ndarray) -> End:
    count, mean = len(values), float(values.mean())
    error = 0.0
    if count > 1 and math.isfinite(mean):
        error = float(values.std(ddof=1)) / math.sqrt(count)
        if error <= ROUNDING * max(1, np.abs(values).max()):
            error = 0.0
    return End(mean, error, count - 1, 2.0 ** (1 - count))


def _difference(second: End, first: End) -> End:
    error = math.hypot(second.error, first.error)
    freedom = min(second.freedom, first.freedom)
    if error > 0 and freedom > 0:
        freedom = error**4 / (second.error**4 / second.freedom + first.error**4 / first.freedom)
    return End(second.mean - first.mean, error, freedom, max(second.sign_level, first.sign_level))
