"""The threshold in pre-training iterations from which the loss of the subnetwork stays low: measured, and Theorem 3's.

Takes the table of evaluations (see `goodsubnet.results.analysis`) and that of the terms, which has one row per
checkpoint and greedy method: the columns of `GROUP` and `CELL`; `steps`, k; `dense_loss`, `first_loss` (l(z_1)) and
`squared_diameter` (D^2), means over the examples; `learning_rate_per_neuron`; `smallest_singular_value` and
`condition_number`, numbers at iteration 0 where the theory's assumptions hold, and otherwise the text of
`NotApplicable`.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol, cast

import numpy as np
import pandas as pd

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import (
    CELL,
    GROUP,
    MEAN_DECIMALS,
    Trials,
    bootstrap_interval,
    grouped_trials,
    ordered,
    require_columns,
    required_pretraining,
    resampled_means,
)
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.bounds import contraction_rate, threshold

SIZE = [*GROUP, "examples"]
TERMS = ["steps", "dense_loss", "first_loss", "squared_diameter", "learning_rate_per_neuron"]
SINGULAR = "smallest_singular_value"
CONDITION = "condition_number"
LOSS = "train_loss"

# At this rate -ln(1 - rho) is 1, and Theorem 3's threshold is its numerator.
UNIT_RATE = -math.expm1(-1)
# How near to 1, where gradient descent would be done after one iteration, the fitted constant may bring a rate.
LARGEST_RATE = 1 - 1e-6


class Crossings(NamedTuple):
    """Where curves of the loss fall below their levels for good; each an array over curves."""

    level: np.ndarray  # the loss to stay at or below
    iteration: np.ndarray  # inf where the last checkpoint is above the level
    censored: np.ndarray  # "no", "at or before first", "first interval", "no plateau" or "never"


class _Initial(Protocol):
    """A cell's means over seeds of its terms at iteration 0."""

    steps: float
    dense_loss: float
    first_loss: float
    squared_diameter: float


def thresholds(evaluations: pd.DataFrame, terms: pd.DataFrame, margin: float = 0.1) -> pd.DataFrame:
    """Return measured and predicted thresholds, one row per (experiment, network, width, method, examples).

    The columns are those of `measured_thresholds` and
    - `predicted`: Theorem 3's threshold in iterations (`bounds.threshold`), from the means over seeds of L_0, l(z_1),
      D^2 and rho at iteration 0;
    - `ratio`: predicted / measured; NaN where the measured threshold is censored or there is no prediction;
    - `constant`: c of rho = c lr sigma_min^2/(N m), fitted once per experiment (`fitted_constant`).
    Where the theory does not apply, `predicted` and `constant` hold the text of `NotApplicable`. A prediction of 0
    means that the dense loss dominates no term from the start; it depends on no constant.

    `evaluations` of methods that `terms` lacks are left out; `margin` as in `measured_thresholds`. Raises `UserError`
    where a table lacks a column or a cell, has a cell twice, or a term is not a number.
    """
    evaluations = greedy_evaluations(evaluations, terms)
    table = measured_thresholds(evaluations, margin)
    predictions = [_predicted(cells) for _, cells in _with_terms(table, evaluations, terms).groupby("experiment")]
    predicted = pd.concat(predictions).sort_index().infer_objects()
    both = pd.to_numeric(predicted["predicted"], errors="coerce").where(table["censored"] == "no")
    return table.assign(
        predicted=predicted["predicted"], ratio=both / table["measured"], constant=predicted["constant"]
    )


def greedy_evaluations(evaluations: pd.DataFrame, terms: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the methods that `terms` has: greedy ones. Raises `UserError` where there are none."""
    require_columns(evaluations, ["method"])
    _require_terms(terms, ["method"])
    chosen = evaluations[evaluations["method"].isin(terms["method"])]
    if chosen.empty:
        raise UserError(
            f"no method of the evaluations ({_listed(evaluations['method'])}) has terms "
            f"({_listed(terms['method'])}); thresholds need a greedy method in both tables"
        )
    return chosen


def measured_thresholds(
    evaluations: pd.DataFrame,
    margin: float = 0.1,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the iteration from which the subnetwork's loss stays at or below a level near its plateau.

    The level is plateau + margin (initial - plateau): initial, the mean over seeds at the first checkpoint; plateau,
    the smallest mean of all checkpoints. The threshold is where the mean, linear between checkpoints, falls to the
    level after the last checkpoint that is above it, so that a loss that rises again does not count as low.

    Parameters: `margin`, in (0, 1); `samples`, `confidence` and `seed` of the bootstrap over seeds, as in
    `analysis.required_pretraining`, the level recomputed in each resample.

    Returns one row per (experiment, network, width, method, examples) with the columns
    - `seeds`: the number of trials;
    - `measured`: the threshold in iterations; NaN where "never";
    - `low`, `high`: ends of its interval; inf, beyond the last checkpoint; NaN for one seed;
    - `censored`: "no"; "never", the last checkpoint is above the level; "at or before first", none is; "no plateau",
      the threshold lies in the last interval, so that the loss may still be falling and the level too high; "first
      interval", between the first two checkpoints, where the loss falls fastest and a straight line is far too late;
    - `initial_loss`, `plateau_loss`, `level`, per example;
    - `last_iteration`: the last checkpoint.

    Raises `UserError` for an incomplete table and for an argument out of range.
    """
    _check_margin(margin)
    tables = []
    for names, trials in grouped_trials(evaluations, LOSS, largest=math.inf):
        count = len(trials.seeds)
        means = resampled_means(trials.values, np.ones((1, count), dtype=np.int64))[0]
        crossings = _crossings(means, margin, trials.iterations)

        def resampled(counts: np.ndarray, trials: Trials = trials) -> np.ndarray:
            return _crossings(resampled_means(trials.values, counts), margin, trials.iterations).iteration

        low, high = bootstrap_interval(resampled, count, samples, confidence, seed)
        tables.append(
            pd.DataFrame(
                {
                    **names,
                    "examples": trials.examples,
                    "seeds": count,
                    "measured": np.where(np.isinf(crossings.iteration), np.nan, crossings.iteration),
                    "low": low,
                    "high": high,
                    "censored": crossings.censored,
                    "initial_loss": means[:, 0],
                    "plateau_loss": means.min(axis=-1),
                    "level": crossings.level,
                    "last_iteration": trials.iterations[-1],
                }
            )
        )
    return ordered(tables, SIZE)


def seed_thresholds(evaluations: pd.DataFrame, margin: float = 0.1) -> pd.DataFrame:
    """Return the thresholds of the single seeds, each with its own level, for `laws.compare_laws`.

    One row per (experiment, network, width, method, examples, seed), with `value` in iterations, NaN unless `censored`
    (as in `measured_thresholds`) is "no". Raises `UserError` as `measured_thresholds` does.
    """
    _check_margin(margin)
    tables = []
    for names, trials in grouped_trials(evaluations, LOSS, largest=math.inf):
        crossings = _crossings(trials.values, margin, trials.iterations)
        tables.append(
            pd.DataFrame(
                {
                    **names,
                    "examples": np.tile(trials.examples, len(trials.seeds)),
                    "seed": np.repeat(trials.seeds, len(trials.examples)),
                    "value": crossings.iteration.ravel(),
                    "censored": crossings.censored.ravel(),
                }
            )
        )
    return _uncensored(ordered(tables, [*SIZE, "seed"]))


def seed_requirements(evaluations: pd.DataFrame, accuracy: str = "train_accuracy") -> pd.DataFrame:
    """Return the required pre-training of the single seeds, each with its own target, for `laws.compare_laws`.

    Columns as in `seed_thresholds`. A requirement at the last checkpoint is censored as "no plateau": the largest
    number of examples meets its own target where it is best, and best at the end only says how long training was. One
    before the second checkpoint is censored as "first interval".
    Raises `UserError` as `analysis.required_pretraining` does.
    """
    require_columns(evaluations, ["seed"])
    tables = []
    for seed, trial in evaluations.groupby("seed"):
        need = required_pretraining(trial, accuracy=accuracy)
        second = np.sort(trial["iteration"].unique())[:2].max()
        reached = need["censored"] == "no"
        censored = need["censored"].mask(reached & (need["iteration"] < second), "first interval")
        censored = censored.mask(reached & (need["iteration"] == need["total_iterations"]), "no plateau")
        tables.append(need[SIZE].assign(seed=seed, value=need["iteration"], censored=censored))
    if not tables:
        raise UserError("the table of evaluations has no rows: evaluate at least one subnetwork first")
    return _uncensored(ordered(tables, [*SIZE, "seed"]))


def fitted_constant(
    numerators: np.ndarray, rates: np.ndarray, measured: np.ndarray, largest_rate: float
) -> float | NotApplicable:
    """Return the constant c that the theory leaves open, fitted to measured thresholds.

    In each cell one c makes Theorem 3's threshold, numerator / (-ln(1 - c rate)), equal to the measured one; the fit is
    the median of their logarithms, so that as many cells are predicted too high as too low and no single cell, wrong by
    orders of magnitude, decides. It stays below 1 / largest_rate: no cell's rate may reach 1.

    numerators, rates, measured: (cells,), rates with c = 1, measured in iterations. Cells whose numerator is 0 say
    nothing about c. Not applicable where none is left.
    """
    telling = (numerators > 0) & (measured > 0)
    if not telling.any():
        return NotApplicable("no measured threshold to fit the constant to")
    own = -np.expm1(-numerators[telling] / measured[telling]) / rates[telling]
    return min(float(np.exp(np.median(np.log(own)))), LARGEST_RATE / largest_rate)


def _crossings(means: np.ndarray, margin: float, iterations: np.ndarray) -> Crossings:
    """Return the crossings (...) of mean losses (..., T) at checkpoints (T,)."""
    plateau = means.min(axis=-1)
    # Rounded as the means are: a mean that equals the level on paper is not above it.
    level = np.round(plateau + margin * (means[..., 0] - plateau), MEAN_DECIMALS)
    above = means > level[..., None]
    last = len(iterations) - 1
    before = np.where(above.any(axis=-1), last - above[..., ::-1].argmax(axis=-1), -1)
    censored = np.select(
        [before == last, before == -1, before == last - 1, before == 0],
        ["never", "at or before first", "no plateau", "first interval"],
        "no",
    )
    start, end = (np.clip(place, 0, last) for place in (before, before + 1))
    loss, lower = (np.take_along_axis(means, place[..., None], axis=-1)[..., 0] for place in (start, end))
    fraction = np.where(start < end, (loss - level) / np.where(start < end, loss - lower, 1), 0)
    crossing = iterations[start] + fraction * (iterations[end] - iterations[start])
    return Crossings(level, np.where(before == last, np.inf, crossing), censored)


def _with_terms(table: pd.DataFrame, evaluations: pd.DataFrame, terms: pd.DataFrame) -> pd.DataFrame:
    """Return the measured thresholds with the means over seeds of their terms at iteration 0, `rate` and `reason`."""
    _require_terms(terms, [*GROUP, *CELL, *TERMS, SINGULAR, CONDITION])
    initial, evaluated = (
        frame[frame["iteration"] == 0].assign(width=lambda rows: pd.to_numeric(rows["width"]).astype("Int64"))
        for frame in (terms, evaluations)
    )
    key = [*SIZE, "seed"]
    twice = initial[initial.duplicated(key)]
    if not twice.empty:
        raise UserError(f"the table of terms has more than one row for {_cell(twice.iloc[0])}; keep one of them")
    cells = evaluated[key].drop_duplicates().merge(initial, on=key, how="left", indicator=True)
    absent = cells[cells["_merge"] == "left_only"]
    if not absent.empty:
        raise UserError(f"the table of terms has no row for {_cell(absent.iloc[0])}; compute the terms of all seeds")

    # Without a checkpoint at iteration 0 there are no rows, and no type to go by.
    numbers = cells[[*TERMS, SINGULAR]].apply(pd.to_numeric, errors="coerce").astype("float64")
    said = cells[CONDITION].astype("str").str.startswith("not applicable (", na=False)
    unknown = ~(np.isfinite(numbers) & (numbers >= 0)) & ~said.to_numpy()[:, None]
    for column in unknown:
        if unknown[column].any():
            row = cells[unknown[column]].iloc[0]
            raise UserError(f"the table of terms: {column} is {row[column]} for {_cell(row)}; compute the terms again")
    rate = contraction_rate(
        numbers["learning_rate_per_neuron"], numbers[SINGULAR], cells["width"].astype("float64"), cells["examples"]
    )
    reason = (
        cells[CONDITION].astype(object).where(said).mask(rate == 0, str(NotApplicable("the contraction rate is 0")))
    )
    cells = cells.assign(**numbers, rate=rate, reason=reason)
    means = {name: (name, "mean") for name in [*TERMS, "rate"]} | {"reason": ("reason", "first")}
    summed = cells.groupby(SIZE, dropna=False, as_index=False).agg(**means)
    joined = table.merge(summed, on=SIZE, how="left")
    unseen = joined["rate"].isna() & joined["reason"].isna()
    return joined.assign(reason=joined["reason"].mask(unseen, str(NotApplicable("no checkpoint at iteration 0"))))


def _predicted(cells: pd.DataFrame) -> pd.DataFrame:
    """Return `predicted` and `constant` of one experiment's cells, with the index of `cells`."""
    result = pd.DataFrame({"predicted": cells["reason"], "constant": cells["reason"]}, dtype=object)
    sound = cells[cells["reason"].isna()]
    if sound.empty:
        return result
    # Seeds pruned to `distinct` neurons differ in their steps, and the mean of these need not be whole.
    inputs = [
        (round(row.steps), row.dense_loss, row.first_loss, row.squared_diameter)
        for row in cast(Iterable[_Initial], sound.itertuples(index=False))
    ]
    numerators = np.array([threshold(*each, UNIT_RATE) for each in inputs])
    rates = sound["rate"].to_numpy()
    measured = sound["measured"].where(sound["censored"] == "no", 0).to_numpy()
    constant = fitted_constant(numerators, rates, measured, rates.max())
    if isinstance(constant, NotApplicable):
        result.loc[sound.index, "predicted"] = [0.0 if each == 0 else str(constant) for each in numerators]
        result.loc[sound.index, "constant"] = str(constant)
    else:
        result.loc[sound.index, "predicted"] = [
            threshold(*each, constant * rate) for each, rate in zip(inputs, rates, strict=True)
        ]
        result.loc[sound.index, "constant"] = constant
    return result


def _uncensored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with NaN for every `value` that is censored."""
    return table.assign(value=table["value"].where(table["censored"] == "no"))


def _require_terms(terms: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in terms.columns]
    if missing:
        raise UserError(f"the table of terms has no column {', '.join(map(repr, missing))}; compute the terms again")


def _check_margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise UserError(f"margin is {margin}; it must lie between 0 and 1, ends excluded")


def _cell(row: pd.Series) -> str:
    """Return the words for a row of the table of terms."""
    return f"network {row['network']!r}, method {row['method']!r}, {row['examples']:,} examples, seed {row['seed']}"


def _listed(names: pd.Series) -> str:
    return ", ".join(sorted(names.astype(str).unique())) or "none"
