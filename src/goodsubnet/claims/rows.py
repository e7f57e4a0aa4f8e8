"""A judgement as a row of the table: how each comes about, whatever is wrong with its input."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypedDict, cast

import numpy as np
import pandas as pd

from goodsubnet.claims.inputs import ExperimentResults, NotAsked
from goodsubnet.claims.statistics import FAILS, HOLDS, LEVEL, NOT_RUN, UNDECIDED, Estimate, Line, over_seeds
from goodsubnet.errors import UserError

COLUMNS = (
    *("claim", "part", "statement", "experiment", "method", "lr_scaling", "statistic", "effect", "low", "high"),
    *("line", "seeds", "verdict", "reason", "figure", "level_refuting"),
)

CLAIMS = {
    1: "There is no good subnetwork at initialisation",
    2: "More data need more pre-training",
    3: "The need grows logarithmically with the data",
    4: "Narrower dense networks have better subnetworks; wider ones have larger D and l(z₁)",
    5: "A subnetwork often beats the dense network before pre-training ends",
    6: "The need does not depend on width or architecture",
    7: "Algorithm 2 chooses what Algorithm 1 chooses",
    8: "Lemmas 1 and 2 hold; D²/m and l(z₁)/m stay bounded, weights move little (Lemma 3, Theorem 1)",
    9: "The smallest singular value grows like √N",
    10: "The condition number grows with the number of examples",
    11: "On ImageNet subnetworks are flat after 100 of 150 epochs",
    12: "The need rises from MNIST to CIFAR10 to ImageNet",
    13: "Subnetworks of smaller dense networks are relatively better",
}
UNDER_BOTH_SCALINGS = (4, 6)
MOST_NAMED = 6


class Measured(NamedTuple):
    """An effect and what must be said about it.

    note: words that stand in the reason, whatever the verdict; where needs are censored, how many. comparisons: of how
    many estimates this is the one that speaks most against the claim.
    """

    estimate: Estimate
    note: str = ""
    comparisons: int = 1


class Judgement(TypedDict):
    """A row of the table of judgements: `COLUMNS`."""

    claim: int
    part: str
    statement: str
    experiment: str
    method: str
    lr_scaling: str
    statistic: str
    effect: float
    low: float
    high: float
    line: str
    seeds: object  # a whole number, or pandas' NA
    verdict: str
    reason: str
    figure: str
    level_refuting: float


# What measures an experiment by one of its methods, and what chooses such a pair.
Measure: TypeAlias = Callable[[ExperimentResults, str], Measured]
Choice: TypeAlias = Callable[[ExperimentResults, str], bool]


@dataclass(frozen=True)
class Question:
    """What is asked of each experiment: a claim, or a part of it, with its statistic and its line."""

    claim: int
    part: str
    statistic: str
    line: Line
    figure: str

    def row(self, experiment: str, verdict: str, reason: str, **more: object) -> Judgement:
        """A row of the table; the effect is empty where `more` has none."""
        empty = {"effect": math.nan, "low": math.nan, "high": math.nan, "seeds": pd.NA, "level_refuting": math.nan}
        names = {"part": self.part, "method": "", "lr_scaling": "", "statistic": self.statistic}
        known = {"claim": self.claim, "statement": CLAIMS[self.claim], "experiment": experiment, "figure": self.figure}
        row = {**names, **empty, **known, "line": str(self.line), "verdict": verdict, "reason": reason, **more}
        return cast(Judgement, {name: row[name] for name in COLUMNS})

    def judged(self, experiment: str, measured: Measured, **more: object) -> Judgement:
        """The row of an effect that was measured."""
        estimate, line = measured.estimate, self.line
        verdict, why = estimate.verdict(line)
        level = min(1.0, measured.comparisons * estimate.level_refuting(line))
        if verdict == FAILS and level > LEVEL:
            verdict, why = UNDECIDED, f"on the other side of the line, but not at the level 0.05/{measured.comparisons}"
        low, high = (line.shown(end) for end in estimate.interval())
        return self.row(
            experiment,
            verdict,
            (": " if why == "censored" else "; ").join(words for words in (why, measured.note) if words),
            **{"effect": line.shown(estimate.effect), "low": low, "high": high, "seeds": estimate.seeds},
            **{"level_refuting": level, **more},
        )

    def attempted(self, experiment: str, measure: Callable[[], Measured], **more: object) -> Judgement:
        """The row of what `measure` gives; where it raises UserError, not run or undecided, with its message."""
        try:
            return self.judged(experiment, measure(), **more)
        except NotAsked as error:
            return self.row(experiment, NOT_RUN, str(error), **more)
        except UserError as error:
            return self.row(experiment, UNDECIDED, str(error), **more)

    def not_run(self, what: str, experiment: str = "", **more: object) -> Judgement:
        return self.row(experiment, NOT_RUN, what, **more)


def over_experiments(
    question: Question,
    results: Iterable[ExperimentResults],
    measure: Measure,
    lacking: str,
    chosen: Choice,
    table: str = "evaluations",
) -> list[Judgement]:
    """A row for each experiment and method of the paper; "not run" with the words `lacking` where there is none.

    measure: takes an experiment and the name of a method. chosen: whether the question is about these two.
    table: the part of the results that it is measured on.
    """
    rows = []
    for each in results:
        for method in each.greedy:
            if not chosen(each, method):
                continue
            names = {"method": method, "lr_scaling": each.lr_scaling or ""}
            if getattr(each, table) is None:
                rows.append(question.not_run(run_words(each), each.name, **names))
            else:
                rows.append(
                    question.attempted(
                        each.name,
                        cast(Callable[[], Measured], lambda each=each, name=method: measure(each, name)),
                        **names,
                    )
                )
    return rows or [question.not_run(lacking)]


def run_words(results: ExperimentResults) -> str:
    """How to run an experiment that the configuration has."""
    if results.source == "folder":
        return f"name the path of its images under datasets, and {target_words(results.name)}"
    return target_words(results.name)


def target_words(name: str) -> str:
    """How to run something that the verdict is to cover."""
    return f"add {name} to targets and run again"


def example_words(name: str) -> str:
    """What to run where the configuration has no experiment of a kind."""
    return f"run an experiment such as {name} of config/config.yaml"


def seed_means(values: np.ndarray, note: str = "") -> Measured:
    """The effect of one number per seed (K,). Raises UserError where one is not a finite number."""
    if not np.isfinite(values).all():
        raise UserError("a value is not a finite number; look at the training of that seed")
    return Measured(over_seeds(values), note)


def _part(row: Judgement) -> str:
    """The part of a claim, with the scaling of the learning rate where the claim is judged under both."""
    scaling = row["lr_scaling"] if row["claim"] in UNDER_BOTH_SCALINGS else ""
    return " ".join(words for words in (row["part"], f"({scaling})" if scaling else "") if words)


def _counted(rows: Sequence[Judgement], verdict: str) -> str:
    """How many rows have a verdict, and which; empty for none."""
    plural = {HOLDS: "hold", FAILS: "do not hold"}.get(verdict, verdict)
    return f"{len(rows)} {verdict if len(rows) == 1 else plural}{_named(rows)}" if rows else ""


def _named(rows: Sequence[Judgement]) -> str:
    """The parts that some rows belong to, in brackets; empty where they have none or are too many to name."""
    parts = list(dict.fromkeys(row["part"] for row in rows if row["part"]))
    return f" ({'; '.join(parts)})" if 0 < len(parts) <= MOST_NAMED else ""


def overall(claim: int, rows: Sequence[Judgement]) -> dict[str, object]:
    """A claim's verdict from its rows."""
    ran = [row for row in rows if row["verdict"] != NOT_RUN]
    level = LEVEL / max(1, len(ran))
    holding, failing = ([row for row in ran if row["verdict"] == verdict] for verdict in (HOLDS, FAILS))
    # Without a level, chance played no part.
    refuting = [row for row in failing if math.isnan(row["level_refuting"]) or row["level_refuting"] <= level]
    deciding = None
    if not ran:
        verdict, reason = NOT_RUN, rows[0]["reason"]
    elif refuting:
        deciding = min(refuting, key=lambda row: -1 if math.isnan(row["level_refuting"]) else row["level_refuting"])
        verdict = FAILS
        reason = f"refuted by {len(refuting)} of {len(ran)}, at the level 0.05/{len(ran)}{_named(refuting)}"
        if holding:
            reason += f"; {_counted(holding, HOLDS)}"
    elif len(holding) == len(ran):
        deciding = holding[0]
        verdict, reason = HOLDS, f"all {len(ran)} hold" if len(ran) > 1 else "the one judgement holds"
    else:
        undecided = [row for row in ran if row["verdict"] == UNDECIDED]
        # One with an effect tells more.
        deciding = min(undecided or failing, key=lambda row: math.isnan(row["effect"]))
        verdict = UNDECIDED
        parts = [
            _counted(some, verdict) for some, verdict in ((undecided, UNDECIDED), (holding, HOLDS), (failing, FAILS))
        ]
        reason = f"of {len(ran)}: {', '.join(filter(None, parts))}"
        if failing:
            reason += f", but not at the level 0.05/{len(ran)}"
    unseen = [part for part in dict.fromkeys(map(_part, rows)) if part not in set(map(_part, ran))]
    if ran and unseen:
        reason += f"; not run: {', '.join(unseen)}"
    shown = deciding or rows[0]
    return {
        **{"claim": claim, "statement": CLAIMS[claim], "verdict": verdict, "reason": reason},
        **{"judgements": len(ran), "hold": len(holding), "do_not_hold": len(failing)},
        **{"undecided": len(ran) - len(holding) - len(failing), "not_run": len(rows) - len(ran)},
        **{name: shown[name] for name in ("part", "experiment", "method", "lr_scaling", "statistic")},
        **{name: shown[name] for name in ("effect", "low", "high", "line", "seeds", "figure")},
        "judgement_reason": shown["reason"],
    }
