"""What each rule would have saved and lost on finished runs, and what it costs to follow it."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from goodsubnet.errors import UserError
from goodsubnet.settings.stopping import RuleSettings
from goodsubnet.stopping.judging import answers
from goodsubnet.stopping.observation import Observation

TRIAL = ["experiment", "network", "width", "examples", "seed"]
FEW_SEEDS = 3
CONFIDENCE = 0.95
BACKWARD_AND_FORWARD = 3
"""Forward passes that an example of a training batch counts as: the gradient costs about two."""


def score_trial(
    names: Mapping[str, object],
    observations: Sequence[Observation],
    accuracies: Mapping[int, float],
    rules: Mapping[str, RuleSettings],
    total: int,
    batch: int,
) -> list[dict[str, object]]:
    """One row per rule: where it stops this training, from what it saw until then, and what came of it.

    names: of the row, TRIAL and others. observations: of all checkpoints, in order. accuracies: iteration -> accuracy
    of the subnetwork that the experiment's method makes of that checkpoint. rules: name -> settings. total: planned
    iterations. batch: examples of an iteration.
    Columns: `fired` "yes", "no" (then it is the last checkpoint) or why it is not applicable; `stopped_at`; `saved`,
    share of the last checkpoint's iterations; `regret`, best accuracy of any checkpoint less that at the stop;
    `end_regret`, less that at the last one; `cost`, forward passes up to the stop, and `cost_share`, that over those of
    the training up to there; `why`. Not applicable: NaN.
    """
    last, best = observations[-1].iteration, max(accuracies.values())
    rows = []
    for rule, settings in rules.items():
        said = list(answers(observations, settings, total))
        stop = next((index for index, answer in enumerate(said) if answer.enough), len(said) - 1)
        answer, seen = said[stop], observations[: stop + 1]
        at = seen[-1].iteration
        row = {**names, "rule": rule, "fired": "yes" if answer.enough else "no" if answer.applicable else answer.why}
        if not answer.applicable:
            numbers = dict.fromkeys(("saved", "regret", "end_regret", "cost", "cost_share"), np.nan)
            rows.append({**row, "stopped_at": np.nan, **numbers, "why": answer.why})
            continue
        signal = settings.signal
        cost = sum(each.forward_passes[signal] for each in seen) if signal is not None else 0.0
        training = BACKWARD_AND_FORWARD * batch * at
        rows.append(
            {
                **row,
                "stopped_at": at,
                "saved": 1 - at / last if last else 0.0,
                "regret": best - accuracies[at],
                "end_regret": best - accuracies[last],
                "cost": cost,
                "cost_share": cost / training if training else np.nan,
                "why": answer.why if answer.enough else f"never enough; at the end: {answer.why}",
            }
        )
    return rows


def accuracies_of(evaluations: pd.DataFrame, trial: Mapping[str, object], method: str, column: str) -> dict[int, float]:
    """iteration -> accuracy of the subnetworks of one trial. Raises UserError where the table lacks it."""
    if column not in evaluations.columns:
        raise UserError(f"the table of evaluations has no column {column!r}; make it again")
    chosen = evaluations[evaluations["method"] == method]
    for name in ("network", "examples", "seed"):
        chosen = chosen[chosen[name] == trial[name]]
    return dict(zip(chosen["iteration"].tolist(), chosen[column].tolist(), strict=True))


def scores(stops: pd.DataFrame) -> pd.DataFrame:
    """One row per network, number of examples and rule: means over seeds, with intervals.

    stops: rows of `score_trial`. `saved` and `regret` have `_low` and `_high`: 95% by Student's t with as many degrees
    of freedom as seeds less one, NaN for one seed. `seeds`: how many; `fired`: in how many of them. `note`: "too few
    seeds" below FEW_SEEDS, or why the rule is not applicable.
    """
    rows = []
    keys = [name for name in (*TRIAL, "method") if name != "seed"]
    for key, trials in stops.groupby([*keys, "rule"], sort=False, dropna=False):
        count = len(trials)
        row = {**dict(zip([*keys, "rule"], key, strict=True)), "seeds": count}
        row["fired"] = int((trials["fired"] == "yes").sum())
        for column in ("saved", "regret"):
            mean, low, high = interval(trials[column])
            row |= {column: mean, f"{column}_low": low, f"{column}_high": high}
        for column in ("end_regret", "cost", "cost_share", "stopped_at"):
            row[column] = trials[column].mean()
        unfit = trials.loc[trials["saved"].isna(), "fired"]
        row["note"] = unfit.iloc[0] if len(unfit) else "too few seeds" if count < FEW_SEEDS else ""
        rows.append(row)
    return pd.DataFrame(rows)


def overview(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment and rule, for those in a hurry: means over networks, numbers of examples and seeds.

    scores: of `scores`, of any number of experiments. `trainings`: how many were watched; `stopped`: how many of them
    the rule stopped; `saved`, `regret`, `end_regret`, `cost_share` as there.
    """
    rows = []
    for (experiment, rule), cells in scores.groupby(["experiment", "rule"], sort=False):
        row = {
            "experiment": experiment,
            "rule": rule,
            "trainings": cells["seeds"].sum(),
            "stopped": cells["fired"].sum(),
        }
        for name in ("saved", "regret", "end_regret", "cost_share"):
            known = cells[cells[name].notna()]
            row[name] = np.average(known[name], weights=known["seeds"]) if len(known) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def interval(values: Iterable[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean, and the ends of Student's t interval of the mean; these are NaN for one value."""
    from scipy.stats import t

    values = np.asarray(list(values), np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach
