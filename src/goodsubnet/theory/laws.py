"""Which law the need for pre-training follows as the data grow: logarithmic, power or linear.

Errors are those of ln t, Gaussian with one variance: thresholds span decades, and their scatter over seeds is a share
of their size, so that errors of t would let the largest sizes alone decide. A law must then be positive at every size.

All three laws have three parameters (a, b and the variance). The correction of AICc would add the same to each of
them, so AIC gives the same weights as AICc, at any number of points.
"""

import math
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import GROUP, ordered, resamples, weighted_quantile
from goodsubnet.theory import NotApplicable

FORMULAS = {"logarithmic": "a + b ln m", "power": "a m^b", "linear": "a + b m"}
VALUES = ["examples", "seed", "value"]
COMPARED = [
    *("law", "points", "left_out", "a", "a_low", "a_high", "b", "b_low", "b_high"),
    *("aic", "weight", "best_share", "verdict"),
]
PARAMETERS = 3
LEAST_SIZES = 3
# A law of three sizes leaves one of them to contradict it, and its misfit is shared by all seeds.
DECISIVE_SIZES = 5
DECISIVE_WEIGHT = 0.9
DECISIVE_SHARE = 0.95
CONFIDENCE = 0.95

# Of ln t, squared. Below it a misfit is rounding of the search, and differences say nothing about the laws.
SMALLEST_VARIANCE = 1e-14
# The misfit bends over a distance of about 1 in the logarithm of the ratio that is searched.
SEARCH_STEP = 0.25


class Fit(NamedTuple):
    """A law fitted to each of R resamples; every array (R,)."""

    a: np.ndarray
    b: np.ndarray
    variance: np.ndarray  # mean squared error of ln t


def law_values(law: str, examples: np.ndarray, a: float, b: float) -> np.ndarray:
    """Return the iterations that a law, a key of `FORMULAS`, gives for numbers of examples."""
    examples = np.asarray(examples, dtype=np.float64)
    return a * examples**b if law == "power" else a + b * _abscissa(law, examples)


def fit_law(law: str, examples: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Fit:
    """Return the least-squares fits of ln t under a law, a key of `FORMULAS`.

    examples, values: m and t, (n,), values above 0, at least two different sizes. counts: how often each point counts
    in each resample, (R, n); the points of a resample have at least two sizes.

    The power law is a line in logarithms. The others are lines t = u (1 - w) + v w, w from 0 at the smallest size to 1
    at the largest: positive at all sizes where u and v are. Given r = ln(v/u), ln u is a mean, so one number is left
    to search, from the best point of a grid over all of the range in which the optimum can lie.
    """
    abscissa, log_values = _abscissa(law, examples), np.log(values)
    total = counts.sum(axis=1)
    if law == "power":
        deviation = abscissa - ((counts @ abscissa) / total)[:, None]
        level = (counts @ log_values) / total
        b = (counts * deviation) @ log_values / (counts * deviation**2).sum(axis=1)
        residuals = log_values - level[:, None] - b[:, None] * deviation
        return Fit(np.exp(level - b * (counts @ abscissa) / total), b, (counts * residuals**2).sum(axis=1) / total)

    place = (abscissa - abscissa.min()) / np.ptp(abscissa)
    reach = _search_range(place, log_values, total.max())
    grid = np.linspace(-reach, reach, 2 * math.ceil(reach / SEARCH_STEP) + 1)
    residuals = log_values - _log_shape(grid, place)
    misfits = counts @ (residuals**2).T / total[:, None] - (counts @ residuals.T / total[:, None]) ** 2
    starts = np.clip(misfits.argmin(axis=1), 1, len(grid) - 2)
    ratio = np.array(
        [
            _best_ratio(grid[start - 1], grid[start + 1], place, log_values, count)
            for start, count in zip(starts, counts, strict=True)
        ]
    )
    residuals = log_values - _log_shape(ratio, place)
    level = (counts * residuals).sum(axis=1) / total
    b = np.exp(level) * np.expm1(ratio) / np.ptp(abscissa)
    variance = (counts * (residuals - level[:, None]) ** 2).sum(axis=1) / total
    return Fit(np.exp(level) - b * abscissa.min(), b, variance)


def compare_laws(seed_values: pd.DataFrame, quantity: str, samples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return how well each law describes the iterations that single seeds need at each number of examples.

    `seed_values` has the columns `experiment`, `network`, `width`, `method`, `examples`, `seed` and `value`: iterations
    above 0, or NaN where censored, as `thresholds.seed_thresholds` and `thresholds.seed_requirements` give them.
    Censored values are left out: where they are those of the largest sizes, the laws are those of the smaller ones.
    `quantity` names the values in the result. `samples` and `seed` are those of the bootstrap over seeds, as in
    `analysis.required_pretraining`; a resample holds all sizes of its seeds.

    Returns three rows, one per law, for each (experiment, network, width, method), with the columns
    - `law`, a key of `FORMULAS`; `points`, the values fitted; `left_out`, those censored;
    - `a`, `b` of the formula, with m in examples and t in iterations, and the ends `a_low` ... `b_high` of their 95%
      intervals, NaN for one seed;
    - `aic`, of ln t, and `weight`, its Akaike weight among the three;
    - `best_share`: the share of the resamples in which the law fits best, NaN for one seed;
    - `verdict`, the same for the three: the best law where its weight is at least 0.9 and its `best_share` at least
      0.95, else "undecided"; so it is, with the reason, for one seed and for fewer than 5 sizes. With values of fewer
      than 3 sizes, or all equal, it is `NotApplicable` as text.

    In simulated experiments (true law logarithmic, power, linear or constant; 11 sizes from 1,000 to 50,000; 2 or 3
    seeds; errors of ln t from 0.05 to 0.5) the verdict was a wrong law in at most 4% of 200 of a kind. An error that
    the seeds share, such as that of interpolating between the same two checkpoints, is not reflected in any weight or
    interval.

    Raises `UserError` where the table lacks a column or a cell, has a cell twice, or a value is not above 0.
    """
    missing = [name for name in [*GROUP, *VALUES] if name not in seed_values.columns]
    if missing:
        raise UserError(f"the table of {quantity}s has no column {', '.join(map(repr, missing))}")
    if seed_values.empty:
        raise UserError(f"the table of {quantity}s has no rows: a law needs numbers of examples to compare")
    tables = []
    for key, group in seed_values.groupby(GROUP, dropna=False, sort=False):
        names = dict(zip(GROUP, key, strict=True))
        values = _full(group, f"{quantity}, network {names['network']!r}, method {names['method']!r}")
        compared = _compared(values, samples, seed)
        tables.append(pd.DataFrame({**names, "quantity": quantity, **compared}))
    first = ["experiment", "quantity"]
    table = ordered(tables, [*GROUP, "law"])
    return table[[*first, *(name for name in table if name not in first)]]


def _compared(table: pd.DataFrame, samples: int, seed: int) -> pd.DataFrame:
    """Return the columns of `compare_laws` from `law` on, for values by seed (rows) and examples (columns)."""
    values = table.to_numpy()
    kept = ~np.isnan(values)
    trial, size = np.nonzero(kept)
    examples, fitted = table.columns.to_numpy(np.float64)[size], values[kept]
    result = pd.DataFrame({"law": list(FORMULAS), "points": len(fitted), "left_out": values.size - len(fitted)})

    def finished(verdict: str | NotApplicable) -> pd.DataFrame:
        return result.reindex(columns=COMPARED).assign(verdict=str(verdict))

    if len(np.unique(size)) < LEAST_SIZES:
        return finished(NotApplicable(f"fewer than {LEAST_SIZES} uncensored sizes"))
    if np.ptp(fitted) == 0:
        return finished(NotApplicable("all values are equal"))

    fits = [fit_law(law, examples, fitted, np.ones((1, len(fitted)))) for law in FORMULAS]
    variance = np.maximum([fit.variance[0] for fit in fits], SMALLEST_VARIANCE)
    result["a"], result["b"] = [fit.a[0] for fit in fits], [fit.b[0] for fit in fits]
    result["aic"] = len(fitted) * (np.log(2 * math.pi * variance) + 1) + 2 * PARAMETERS
    result["weight"] = softmax(-result["aic"] / 2)
    if len(values) == 1:
        return finished("undecided (one seed)")

    draws, weights = resamples(len(values), samples, seed)
    # A resample may lack the sizes that only other seeds have uncensored: then it supports no law.
    enough = (draws @ kept > 0).sum(axis=1) >= LEAST_SIZES
    resampled = [fit_law(law, examples, fitted, draws[enough][:, trial]) for law in FORMULAS]
    best = np.maximum([fit.variance for fit in resampled], SMALLEST_VARIANCE).argmin(axis=0)
    result["best_share"] = [weights[enough][best == law].sum() / weights.sum() for law in range(len(FORMULAS))]
    for end, probability in (("low", (1 - CONFIDENCE) / 2), ("high", (1 + CONFIDENCE) / 2)):
        for name in ("a", "b"):
            coefficients = np.stack([getattr(fit, name) for fit in resampled], axis=1)
            result[f"{name}_{end}"] = weighted_quantile(coefficients, weights[enough], probability)
    if len(np.unique(size)) < DECISIVE_SIZES:
        return finished(f"undecided (fewer than {DECISIVE_SIZES} sizes)")
    first = result.loc[cast(int, result["weight"].idxmax())]
    decided = first["weight"] >= DECISIVE_WEIGHT and first["best_share"] >= DECISIVE_SHARE
    return finished(cast(str, first["law"]) if decided else "undecided")


def _full(group: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return one group's values by seed (rows) and examples (columns)."""
    cells = group.set_index(["seed", "examples"])["value"]
    twice = cells.index[cells.index.duplicated()]
    if len(twice):
        raise UserError(
            f"{name}: more than one value for {twice[0][1]:,} examples, seed {twice[0][0]}; keep one of them"
        )
    index = pd.MultiIndex.from_product([np.sort(level.unique()) for level in (group["seed"], group["examples"])])
    absent = index.difference(cast(pd.MultiIndex, cells.index))
    if len(absent):
        raise UserError(
            f"{name}: no value for {absent[0][1]:,} examples, seed {absent[0][0]}; every seed needs every size"
        )
    wrong = cells[(cells <= 0) | np.isinf(cells)]
    if len(wrong):
        seed, examples = wrong.index[0]
        raise UserError(
            f"{name}: the value for {examples:,} examples, seed {seed}, is {wrong.iloc[0]:g}; "
            "iterations to fit are finite and above 0, and empty where censored"
        )
    return cells.astype(np.float64).unstack("examples").sort_index().sort_index(axis=1)


def _abscissa(law: str, examples: np.ndarray) -> np.ndarray:
    """Return what a law is a line in: ln m, or m."""
    examples = np.asarray(examples, dtype=np.float64)
    return examples if law == "linear" else np.log(examples)


def _log_shape(ratio: np.ndarray | float, place: np.ndarray) -> np.ndarray:
    """Return ln(1 - w + e^r w) for log ratios r (R,) or a number, and places w (n,) in [0, 1]: (R, n) or (n,)."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log1p(-place), np.asarray(ratio)[..., None] + np.log(place))


def _best_ratio(low: float, high: float, place: np.ndarray, log_values: np.ndarray, count: np.ndarray) -> float:
    """Return the log ratio between `low` and `high` that fits best the points that count."""

    def misfit(ratio: float) -> float:
        residuals = log_values - _log_shape(ratio, place)
        return count @ (residuals - count @ residuals / count.sum()) ** 2

    return minimize_scalar(misfit, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x


def _search_range(place: np.ndarray, log_values: np.ndarray, total: int) -> float:
    """Return how far from 0 the best log ratio r can lie, for `total` points with some at both ends.

    From |r| on, the points at one end and the others are misfitted by at least |r| + ln w - range, w the smallest place
    beside that end; the sum of squares of the pairs then exceeds that at r = 0, at most total range^2/4.
    """
    spread = np.ptp(log_values)
    smallest = min(place[place > 0].min(), (1 - place[place < 1]).min())
    return 1 + spread * (1 + total / (2 * math.sqrt(total - 1))) - math.log(smallest)
