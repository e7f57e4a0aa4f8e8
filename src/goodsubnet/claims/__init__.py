"""Which of the paper's thirteen claims hold: one test each on the tidy tables. docs/claims.md says what decides.

    judgements = judge(results, singular_value_fits=..., condition_numbers=..., pruning_times=...)
    verdicts = summary(judgements)
    page = as_html(judgements, verdicts, figures, ...)        (goodsubnet.claims.page)

`results` has an `ExperimentResults` for each experiment of the configuration, with tables where it ran; the other
arguments are the tables singular_values.fits.csv, condition_numbers.csv and times.csv, or None. Nothing in them raises:
what is missing, empty or wrong becomes "not run" or "undecided", with the reason.

A judgement is a row with the columns `rows.COLUMNS`:
- `claim` (1 to 13), `part` (which part of it), `statement`;
- `experiment` ("random_matrices" and "pruning_times" for what is not an experiment; "one / other" for two), `method`,
  `lr_scaling`;
- `statistic`, `effect`, `low` and `high` (95%; empty where there are none, infinite where censored), `line`, `seeds`;
- `verdict`: "holds", "does not hold", "undecided" or "not run"; `reason`;
- `figure`, the key of the figure that shows it: "figure1", "curves", "terms", "thresholds", "bounds", "accuracy" or
  "answers" of the experiment, "figure2", "figure3", "figure4";
- `level_refuting`, the smallest level at which the judgement refutes the claim; empty where chance plays no part.
"""

from collections.abc import Sequence
from typing import cast

import pandas as pd

from goodsubnet.claims import accuracy, pretraining, theory
from goodsubnet.claims.inputs import ExperimentResults
from goodsubnet.claims.rows import CLAIMS, COLUMNS, Judgement, overall

__all__ = ["CLAIMS", "ExperimentResults", "judge", "summary"]


def judge(
    results: Sequence[ExperimentResults],
    *,
    singular_value_fits: pd.DataFrame | None = None,
    condition_numbers: pd.DataFrame | None = None,
    pruning_times: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """All judgements, by claim; every claim has at least one row."""
    rows = [
        *accuracy.at_initialisation(results),
        *pretraining.more_data_need_more(results),
        *pretraining.logarithmic(results),
        *accuracy.narrower_is_better(results),
        *theory.wider_have_larger_terms(results),
        *accuracy.beats_the_dense_network(results),
        *pretraining.same_for_all_networks(results),
        *theory.same_choices(pruning_times),
        *theory.lemmas(results),
        *theory.square_root(singular_value_fits),
        *theory.condition_grows(results, condition_numbers),
        *accuracy.flat_on_imagenet(results),
        *pretraining.across_data_sets(results),
        *accuracy.smaller_is_relatively_better(results),
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seeds": "Int64"})


def summary(judgements: pd.DataFrame) -> pd.DataFrame:
    """One verdict per claim, with the number of judgements of each kind, and the judgement that decides (or the first).

    Columns: `claim`, `statement`, `verdict`, `reason`; `judgements` (that were run), `hold`, `do_not_hold`,
    `undecided`, `not_run`; and of the judgement that decides `part`, `experiment`, `method`, `lr_scaling`, `statistic`,
    `effect`, `low`, `high`, `line`, `seeds`, `figure`, `judgement_reason`.
    """
    # Empty cells, as when read from a file.
    text = [name for name in ("part", "experiment", "method", "lr_scaling", "reason") if name in judgements]
    judgements = judgements.fillna(dict.fromkeys(text, ""))
    return pd.DataFrame(
        [
            overall(int(cast(int, claim)), cast(list[Judgement], rows.to_dict("records")))
            for claim, rows in judgements.groupby("claim", sort=True)
        ]
    )
