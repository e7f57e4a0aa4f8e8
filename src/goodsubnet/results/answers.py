"""The answer as a number: from which checkpoint on pre-training is enough, for each network and number of examples.

It is about one size: enough is where its subnetworks are nearly as accurate as those of its own best checkpoint.
`analysis.required_pretraining`, the red line of Figure 1, asks for the best of the largest size instead.
"""

import numpy as np
import pandas as pd

from goodsubnet.results.analysis import (
    GROUP,
    MEAN_DECIMALS,
    Trials,
    first_crossing,
    grouped_trials,
    ordered,
    resampled_means,
    student_interval,
)

AT_FIRST = "enough at the first checkpoint, perhaps before"
STILL_RISING = "not before the last checkpoint: train longer to know"
ONE_CHECKPOINT = "one checkpoint: nothing to compare"


def answers(evaluations: pd.DataFrame, accuracy: str, margin: float) -> pd.DataFrame:
    """Return from which checkpoint on pre-training is enough, what that saves and what it costs.

    evaluations: as in `goodsubnet.results.analysis`. accuracy: the column of accuracies to judge by. margin: how far
    below the best checkpoint the mean accuracy over seeds may be, in [0, 1].

    Returns one row per (experiment, network, width, method, examples) with the columns
    - `enough_at`: the first checkpoint whose mean accuracy is at least that of the best checkpoint minus the margin;
    - `low`, `high`: checkpoints between which the mean accuracy passes that level, with 95% (`student_interval` of the
      crossing, linear between checkpoints, widened to the next checkpoints); NaN for one seed;
    - `total_iterations`: the last checkpoint; `share_saved`: 1 - enough_at / total_iterations;
    - `accuracy`: the mean at `enough_at`; `best_accuracy`, `best_at`: of the best checkpoint, the first of equal ones;
    - `accuracy_lost`: best_accuracy - accuracy, with its 95% interval `lost_low`, `lost_high`;
    - `seeds`, the number of trials; `note`, what the answer cannot say, or empty.

    Raises `UserError` where the table lacks a column or a cell or has a cell twice.
    """
    tables = [
        pd.DataFrame({**names, "examples": trials.examples, **_answers(trials, margin)})
        for names, trials in grouped_trials(evaluations, accuracy)
    ]
    return ordered(tables, [*GROUP, "examples"])


def sentence(answers: pd.DataFrame, method: str) -> str:
    """Return the answer of one experiment in a line: of its largest size, and the network that needs the most there.

    answers: as `answers` gives them. method: the one to report.
    """
    rows = answers[answers["method"] == method]
    rows = rows[rows["examples"] == rows["examples"].max()]
    row = rows.loc[rows["enough_at"].idxmax()]
    of = f"{row['network']}, {method}, {row['examples']:,} examples"
    if row["note"] == ONE_CHECKPOINT:
        return f"{row['experiment']}: one checkpoint says nothing of what is enough ({of})"
    if row["note"] == STILL_RISING:
        return (
            f"{row['experiment']}: not enough before the last checkpoint, {row['total_iterations']:,}; "
            f"train longer to know ({of})"
        )
    if row["note"] == AT_FIRST:
        return (
            f"{row['experiment']}: iteration {row['enough_at']:,}, the first checkpoint, is as good as any later one "
            f"within the margin ({of})"
        )
    interval = f"95% interval {row['low']:,.0f} to {row['high']:,.0f}" if row["seeds"] > 1 else "one seed: no interval"
    points = 100 * row["accuracy_lost"]
    lost = f"{points:.2g} points of accuracy below" if points > 0.005 else "as accurate as"
    return (
        f"{row['experiment']}: enough at iteration {row['enough_at']:,} of {row['total_iterations']:,} ({interval}), "
        f"{row['share_saved']:.0%} of the pre-training saved, {lost} the best checkpoint ({of})"
    )


def _answers(trials: Trials, margin: float) -> dict[str, np.ndarray]:
    count, iterations = len(trials.seeds), trials.iterations
    means = resampled_means(trials.values, np.ones((1, count), dtype=np.int64))[0]
    best = means.max(axis=-1)
    # Rounded as the means are: a mean that is at the level on paper has reached it.
    level = np.round(best - margin, MEAN_DECIMALS)
    place = (means >= level[:, None]).argmax(axis=-1)
    enough, total = iterations[place], iterations[-1]

    def crossing(counts: np.ndarray) -> np.ndarray:
        resampled = resampled_means(trials.values, counts)
        levels = np.round(resampled.max(axis=-1) - margin, MEAN_DECIMALS)
        return first_crossing(resampled, levels, iterations)

    def lost(counts: np.ndarray) -> np.ndarray:
        resampled = resampled_means(trials.values, counts)
        return resampled.max(axis=-1) - np.take_along_axis(resampled, place[None, :, None], axis=-1)[..., 0]

    low, high = student_interval(crossing, count)
    lost_low, lost_high = student_interval(lost, count)
    accuracy = np.take_along_axis(means, place[:, None], axis=-1)[:, 0]
    note = np.select([enough == total, place == 0], [STILL_RISING, AT_FIRST], "")
    return {
        "enough_at": enough,
        "low": _checkpoint_below(low, iterations),
        "high": _checkpoint_above(high, iterations),
        "total_iterations": np.full(len(enough), total),
        "share_saved": 1 - enough / total if total > 0 else np.full(len(enough), np.nan),
        "accuracy": accuracy,
        "best_accuracy": best,
        "best_at": iterations[means.argmax(axis=-1)],
        "accuracy_lost": best - accuracy,
        # Nothing is better than the best: the loss cannot be below 0.
        "lost_low": np.clip(lost_low, 0, None),
        "lost_high": lost_high,
        "seeds": np.full(len(enough), count),
        "note": note if len(iterations) > 1 else np.full(len(enough), ONE_CHECKPOINT),
    }


def _checkpoint_below(values: np.ndarray, iterations: np.ndarray) -> np.ndarray:
    """Return the last checkpoint at or before each value, the first where there is none; NaN stays."""
    places = np.clip(np.searchsorted(iterations, values, side="right") - 1, 0, None)
    return np.where(np.isnan(values), np.nan, iterations[places])


def _checkpoint_above(values: np.ndarray, iterations: np.ndarray) -> np.ndarray:
    """Return the first checkpoint at or after each value, the last where there is none; NaN stays."""
    places = np.clip(np.searchsorted(iterations, values, side="left"), None, len(iterations) - 1)
    return np.where(np.isnan(values), np.nan, iterations[places])
