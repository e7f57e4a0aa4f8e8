"""How much pre-training a good subnetwork needs, computed from the tidy table of evaluations.

The table (`evaluations.csv`) has one row per (experiment, network, examples, seed, iteration, method). Used
here: `experiment`, `network` (str), `width` (hidden neurons; may be empty), `method` (str), `examples` (size
of the training sub-dataset), `seed`, `iteration` (of pre-training) and one column of accuracies in [0, 1] or of losses.
"""

from collections.abc import Callable
from itertools import combinations_with_replacement
from math import comb, factorial, prod
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from goodsubnet.errors import UserError

GROUP = ["experiment", "network", "width", "method"]
CELL = ["seed", "examples", "iteration"]

# Means that are equal on paper differ by 1e-16 with the order of summation, and a tie counts as reached. The
# smallest true difference of two means is about 1 / (50,000 * 45,000 * seeds), far above this.
MEAN_DECIMALS = 12


class Trials(NamedTuple):
    """The accuracies or losses of one (experiment, network, method) as a full array."""

    seeds: np.ndarray  # (K,), ascending
    examples: np.ndarray  # (S,), ascending
    iterations: np.ndarray  # (T,), ascending
    values: np.ndarray  # (K, S, T)


def required_pretraining(
    evaluations: pd.DataFrame,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    accuracy: str = "train_accuracy",
) -> pd.DataFrame:
    """Return the first iteration at which pruning gives a subnetwork as good as the full data set's best.

    For each experiment, network and method, the target is the highest mean-over-seeds accuracy, over all
    checkpoints, on the largest number of examples. A size needs the first iteration at which its own mean
    accuracy, linear between checkpoints, is at least (>=) that target (the red line of Figure 1 in Wolfe et
    al., arXiv 2108.00259).

    The interval is a percentile bootstrap over seeds: the same resampled trials serve every size, and the target is
    recomputed in each resample. Where there are at most `samples` distinct resamples (up to 7 seeds with the default)
    all are used with their exact probabilities, and chance plays no part. An interval from few seeds is too short: with
    3 it is no wider than the range of single trials, which covers the median of the trials' distribution in 75% of
    experiments, not in 95%.

    Parameters: `samples`, bootstrap resamples (>= 1); `confidence`, of the interval, in (0, 1); `seed`, of
    the resampling; `accuracy`, the column to judge by ("train_accuracy": on the whole training sub-dataset).

    Returns one row per (experiment, network, width, method, examples), ordered by experiment, width, network,
    method and examples, with the columns
    - `iteration`: the requirement in iterations; NaN where the last checkpoint is still below the target;
    - `low`, `high`: ends of the interval in iterations; inf means "beyond the last checkpoint", the first
      checkpoint means "at or before it"; NaN where there is one seed, from which no interval follows;
    - `censored`: "no", "at or before first" (checkpoint) or "never";
    - `target`: the accuracy to reach;
    - `total_iterations`: the last checkpoint;
    - `share_saved`: 1 - iteration / total_iterations, the part of pre-training not needed; NaN where "never";
    - `seeds`: the number of trials.

    Raises `UserError` where the table lacks a column or a cell or has a cell twice, and for an argument out
    of range.
    """
    tables = []
    for names, trials in grouped_trials(evaluations, accuracy):
        count = len(trials.seeds)
        once = np.ones((1, count), dtype=np.int64)
        targets, needed = _requirements(trials, once)
        iteration = np.where(np.isinf(needed[0]), np.nan, needed[0])
        first_means = resampled_means(trials.values, once)[0, :, 0]
        low, high = bootstrap_interval(
            # mypy infers no type for a lambda with a default; the cast gives it one.
            cast(
                Callable[[np.ndarray], np.ndarray],
                lambda counts, trials=trials: _requirements(trials, counts)[1],
            ),
            count,
            samples,
            confidence,
            seed,
        )
        total = trials.iterations[-1]
        tables.append(
            pd.DataFrame(
                {
                    **names,
                    "examples": trials.examples,
                    "iteration": iteration,
                    "low": low,
                    "high": high,
                    "censored": np.select(
                        [np.isnan(iteration), first_means >= targets[0]],
                        ["never", "at or before first"],
                        "no",
                    ),
                    "target": targets[0],
                    "total_iterations": total,
                    "share_saved": 1 - iteration / total if total > 0 else np.nan,
                    "seeds": count,
                }
            )
        )
    return ordered(tables, [*GROUP, "examples"])


def summary(evaluations: pd.DataFrame, column: str = "train_accuracy") -> pd.DataFrame:
    """Return mean, spread and number of seeds of a column of accuracies at every checkpoint.

    One row per (experiment, network, width, method, examples, iteration), with `mean`, `min`, `max` and `std`
    (of the sample, divisor seeds - 1; NaN for one seed) over seeds, and `seeds`, their number. Raises
    `UserError` where the table lacks a column or a cell, or has a cell twice.
    """
    tables = []
    for names, trials in grouped_trials(evaluations, column):
        count, sizes, checkpoints = trials.values.shape
        once = np.ones((1, count), dtype=np.int64)
        std = trials.values.std(axis=0, ddof=1) if count > 1 else np.full((sizes, checkpoints), np.nan)
        tables.append(
            pd.DataFrame(
                {
                    **names,
                    "examples": np.repeat(trials.examples, checkpoints),
                    "iteration": np.tile(trials.iterations, sizes),
                    "mean": resampled_means(trials.values, once)[0].ravel(),
                    "min": trials.values.min(axis=0).ravel(),
                    "max": trials.values.max(axis=0).ravel(),
                    "std": std.ravel(),
                    "seeds": count,
                }
            )
        )
    return ordered(tables, [*GROUP, "examples", "iteration"])


def grouped_trials(
    evaluations: pd.DataFrame, column: str, largest: float = 1.0
) -> list[tuple[dict[str, object], Trials]]:
    """Return the names and the `Trials` of a column for each (experiment, network, width, method).

    `largest` is the largest value that the column may hold: 1 for accuracies, inf for losses. Raises `UserError`
    where a column is missing, there are no rows, a cell (one seed, size and checkpoint) is missing, empty or there
    twice, or a value is infinite, below 0 or above `largest`.
    """
    require_columns(evaluations, [*GROUP, *CELL, column])
    if evaluations.empty:
        raise UserError("the table of evaluations has no rows: evaluate at least one subnetwork first")
    frame = evaluations.assign(width=pd.to_numeric(evaluations["width"]).astype("Int64"))
    return [
        (dict(zip(GROUP, key, strict=True)), _trials(group, column, largest, f"network {key[1]!r}, method {key[3]!r}"))
        for key, group in frame.groupby(GROUP, dropna=False, sort=False)
    ]


def require_columns(evaluations: pd.DataFrame, columns: list[str]) -> None:
    """Raise `UserError` where the table lacks one of the columns."""
    missing = [name for name in columns if name not in evaluations.columns]
    if missing:
        raise UserError(
            f"the table of evaluations has no column {', '.join(map(repr, missing))}; "
            f"its columns are {', '.join(map(str, evaluations.columns))}"
        )


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], trials: int, samples: int, confidence: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (S,) of the percentile bootstrap over `trials` seeds of a statistic; NaN for one seed.

    `statistic` gives values (R, S) for how often each trial counts in each resample (R, K); the other parameters are
    those of `required_pretraining`. Raises `UserError` for an argument out of range.
    """
    if not 0 < confidence < 1:
        raise UserError(f"confidence is {confidence}; it must lie between 0 and 1, ends excluded")
    draws, weights = resamples(trials, samples, seed)
    values = statistic(draws)
    if trials == 1:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    low, high = (weighted_quantile(values, weights, (1 + side * confidence) / 2) for side in (-1, 1))
    return low, high


def student_interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    trials: int,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (S,) of an interval around a statistic of all trials that is valid for few seeds; NaN for one.

    The percentiles of a bootstrap never leave the range of the trials: with 3 they cover 75%, whatever their nominal
    level. So the bootstrap gives the standard error only, times sqrt(K/(K - 1)) because resamples of K trials vary too
    little, and the interval is the estimate plus or minus Student's quantile with K - 1 degrees of freedom times that.
    For a mean it is exactly the t interval, which covers what it promises where the trials are normal. Where a
    resample's value is not finite the interval is NaN. Parameters as in `bootstrap_interval`.
    """
    if not 0 < confidence < 1:
        raise UserError(f"confidence is {confidence}; it must lie between 0 and 1, ends excluded")
    estimate = statistic(np.ones((1, trials), dtype=np.int64))[0]
    if trials == 1:
        return np.full(len(estimate), np.nan), np.full(len(estimate), np.nan)
    draws, weights = resamples(trials, samples, seed)
    with np.errstate(invalid="ignore"):
        values = statistic(draws)
        mean = np.average(values, axis=0, weights=weights)
        variance = np.average(np.square(values - mean), axis=0, weights=weights)
        error = np.sqrt(variance * trials / (trials - 1))
        reach = stdtrit(trials - 1, (1 + confidence) / 2) * error
        return estimate - reach, estimate + reach


def resamples(trials: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each trial counts in each resample (R, K), and the resamples' integer weights (R,).

    All distinct resamples where there are at most `samples`, else so many random ones. Raises `UserError` for `samples`
    below 1.
    """
    if samples < 1:
        raise UserError(f"samples is {samples}; the bootstrap needs at least 1")
    if comb(2 * trials - 1, trials) <= samples:
        draws = combinations_with_replacement(range(trials), trials)
        counts = np.array([np.bincount(draw, minlength=trials) for draw in draws])
        weights = [factorial(trials) // prod(map(factorial, row)) for row in counts.tolist()]
        return counts, np.array(weights)
    generator = np.random.default_rng(seed)
    return generator.multinomial(trials, np.full(trials, 1 / trials), size=samples), np.ones(samples, dtype=np.int64)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, probability: float) -> np.ndarray:
    """Return the smallest value with at least `probability` of the weight at or below it, column by column.

    `values` (R, S) may hold inf; `weights` (R,) are positive integers. The result (S,) is always one of the
    values: interpolating towards inf would have no meaning.
    """
    order = np.argsort(values, axis=0, kind="stable")
    below = np.cumsum(weights[order], axis=0)
    # A probability such as (1 - 0.95) / 2 carries rounding that must not move the quantile by a whole value.
    chosen = (below >= probability * below[-1] * (1 - 1e-12)).argmax(axis=0)
    columns = np.arange(values.shape[1])
    return values[order[chosen, columns], columns]


def resampled_means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the means (R, S, T) of values (K, S, T) in which trial k counts `counts[r, k]` times."""
    trials = values.shape[0]
    sums = counts.astype(np.float64) @ values.reshape(trials, -1)
    return np.round(sums / trials, MEAN_DECIMALS).reshape(len(counts), *values.shape[1:])


def ordered(tables: list[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """Return the tables as one, ordered by experiment, width, network and then the other keys."""
    table = pd.concat([each.astype({"width": "Int64"}) for each in tables])
    order = ["experiment", "width", "network", *keys[3:]]
    return table.sort_values(order, ignore_index=True)


def _trials(group: pd.DataFrame, column: str, largest: float, name: str) -> Trials:
    """Return one group's `column` as `Trials`; every seed must have every checkpoint of every size."""
    levels = [np.sort(group[key].unique()) for key in CELL]
    cells = group.set_index(CELL)[column]
    if cells.index.has_duplicates:
        where = _cell_name(cells.index[cells.index.duplicated()][0])
        raise UserError(f"{name}: the table of evaluations has more than one row for {where}; keep one of them")
    index = pd.MultiIndex.from_product(levels, names=CELL)
    values = cells.reindex(index).to_numpy(dtype=np.float64, na_value=np.nan)
    absent = np.flatnonzero(np.isnan(values))
    if absent.size:
        raise UserError(
            f"{name}: no {column} for {_cell_name(index[absent[0]])} ({absent.size:,} of {values.size:,} "
            "cells are missing); every seed must be evaluated at every checkpoint of every size: run what is "
            "missing, or leave that seed out"
        )
    outside = np.flatnonzero((values < 0) | (values > largest) | np.isinf(values))
    if outside.size:
        rule = "losses are finite and at least 0" if np.isinf(largest) else f"accuracies are shares in [0, {largest:g}]"
        raise UserError(f"{name}: {column} is {values[outside[0]]:g} for {_cell_name(index[outside[0]])}; {rule}")
    return Trials(
        *cast(tuple[np.ndarray, np.ndarray, np.ndarray], levels), values.reshape([len(level) for level in levels])
    )


def _cell_name(cell: tuple[int, int, int]) -> str:
    """Return the words for a (seed, examples, iteration)."""
    seed, examples, iteration = cell
    return f"{examples:,} examples, seed {seed}, iteration {iteration:,}"


def _requirements(trials: Trials, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each resample's target (R,), and the iterations each size needs (R, S), inf for never."""
    means = resampled_means(trials.values, counts)
    targets = means[:, -1, :].max(axis=1)
    return targets, first_crossing(means, targets[:, None], trials.iterations)


def first_crossing(means: np.ndarray, target: np.ndarray, iterations: np.ndarray) -> np.ndarray:
    """Return the first iteration (...) at which means (..., T), linear in between, are >= target (...).

    Already there at the first checkpoint: that checkpoint. Never there: inf.
    """
    reached = means >= target[..., None]
    after = reached.argmax(axis=-1)
    before = np.maximum(after - 1, 0)
    start = np.take_along_axis(means, before[..., None], axis=-1)[..., 0]
    rise = np.take_along_axis(means, after[..., None], axis=-1)[..., 0] - start
    fraction = (target - start) / np.where(after > 0, rise, 1)
    crossing = iterations[before] + fraction * (iterations[after] - iterations[before])
    return np.where(reached.any(axis=-1), crossing, np.inf)
