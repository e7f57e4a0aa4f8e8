"""Claims on how much pre-training is needed: 2, 3, 6 and 12. What is measured: docs/claims.md."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NotRequired, TypedDict, cast

import numpy as np
import pandas as pd

from goodsubnet.claims.accuracy import Rows, under_both_scalings
from goodsubnet.claims.inputs import (
    ExperimentResults,
    Network,
    NotAsked,
    dense_parameters,
    narrowest_and_widest,
    networks_of,
    rows_of,
)
from goodsubnet.claims.needs import EARLY, LATE, Needs, combined, joined, plateau, red_line, winning_tickets
from goodsubnet.claims.rows import Choice, Measured, Question, example_words, over_experiments, run_words
from goodsubnet.claims.statistics import FAILS, HOLDS, UNDECIDED, Line, between_groups, over_seeds
from goodsubnet.errors import UserError
from goodsubnet.theory.laws import DECISIVE_SHARE, DECISIVE_SIZES, DECISIVE_WEIGHT, compare_laws
from goodsubnet.theory.thresholds import LOSS, seed_requirements, seed_thresholds

SAME_NEED = Line(0.8, 1.25, ratio=True)
FEW_SIZES = f"fewer than {DECISIVE_SIZES} numbers of examples; name more under examples"
LAW_LINE = f"weight {DECISIVE_WEIGHT:g}, best in {DECISIVE_SHARE:.0%} of resamples"
# The data sets of claim 12: how their experiments are found, and the smallest number of examples that is all of them.
FULL_SIZES = {"MNIST": 50_000, "CIFAR10": 50_000, "ImageNet": 1_000_000}
RUNS = {"MNIST": "figure1", "CIFAR10": "table1", "ImageNet": "table2"}


class _Found(TypedDict):
    """What claim 3 found in the laws of an experiment and method."""

    effect: float
    seeds: int
    level_refuting: float


class _Law(TypedDict):
    """What claim 3 says of an experiment and method."""

    verdict: str
    reason: str
    effect: NotRequired[float]
    seeds: NotRequired[int]
    level_refuting: NotRequired[float]


def more_data_need_more(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 2."""
    statistic = "slope of ln(need) in ln(examples)"
    for part, kind, figure, run in (
        ("red line", "two_layer", "figure1", "figure1"),
        ("winning ticket", "deep", "accuracy", "table1"),
    ):
        yield from over_experiments(
            Question(2, part, statistic, Line(low=0), figure),
            results,
            _slope_in_examples,
            example_words(run),
            cast(Choice, lambda each, method, kind=kind: each.kind == kind),
        )


def logarithmic(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 3."""
    for part in ("required pre-training", "loss threshold"):
        question = Question(3, part, "Akaike weight of the logarithmic law", Line(), "thresholds")
        rows = []
        for each in results:
            for method in each.greedy if each.kind == "two_layer" else []:
                names = {"method": method, "lr_scaling": each.lr_scaling or "", "line": LAW_LINE}
                if each.evaluations is None:
                    rows.append(question.not_run(run_words(each), each.name, **names))
                elif len(set(_sizes(each))) < DECISIVE_SIZES:
                    rows.append(question.not_run(FEW_SIZES, each.name, **names))
                else:
                    rows.append(question.row(each.name, **_law(each, method, part), **names))
        yield from rows or [question.not_run(example_words("figure1"), line=LAW_LINE)]


def same_for_all_networks(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 6."""
    statistic = "need of the largest over that of the smallest network"
    yield from under_both_scalings(Question(6, "width", statistic, SAME_NEED, "figure1"), results, _ratio_of_needs)
    yield from over_experiments(
        Question(6, "architecture", statistic, SAME_NEED, "accuracy"),
        results,
        _ratio_of_needs,
        example_words("table1"),
        lambda each, method: each.kind == "deep",
    )


def across_data_sets(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 12: a row for each two experiments on full data sets, by the first greedy method of each."""
    known: dict[str, list[ExperimentResults]] = {name: [] for name in FULL_SIZES}
    for each in results:
        name = data_set_of(each)
        if name and each.greedy and max(_sizes(each), default=0) >= FULL_SIZES[name]:
            known[name].append(each)
    for first, second in pairwise(FULL_SIZES):
        question = Question(12, f"{first} to {second}", "ratio of the needs", Line(low=1, ratio=True), "answers")
        lacking = [
            f"{name} in full ({FULL_SIZES[name]:,} examples or more): "
            + (run_words(known[name][0]) if known[name] else example_words(RUNS[name]))
            for name in (first, second)
            if all(each.evaluations is None for each in known[name])
        ]
        if lacking:
            yield question.not_run("; ".join(lacking))
            continue
        for one in known[first]:
            for other in known[second]:
                if one.evaluations is not None and other.evaluations is not None:
                    both = f"{one.name} / {other.name}"
                    yield question.attempted(
                        both, cast(Callable[[], Measured], lambda one=one, other=other: _ratio_of_plateaus(one, other))
                    )


def data_set_of(results: ExperimentResults) -> str | None:
    """Which of the paper's three data sets an experiment is on, as the paper used it; None for another."""
    title = results.title.lower().replace("-", "")
    if results.kind == "two_layer":
        return "MNIST" if results.source == "mnist" else None
    if results.source == "cifar10" or title.startswith("cifar10 ") or title == "cifar10":
        return "CIFAR10"
    return "ImageNet" if "imagenet" in title else None


def _sizes(results: ExperimentResults) -> list[float]:
    if results.evaluations is None or "examples" not in results.evaluations:
        return list(results.examples)
    return pd.to_numeric(results.evaluations["examples"], errors="coerce").dropna().tolist()


def _needs(results: ExperimentResults, method: str) -> tuple[list[Network], np.ndarray, list[Needs]]:
    """The networks, the sizes that are judged, and the needs of each network."""
    networks = networks_of(results.evaluations, method, results.accuracy)
    examples = networks[0].trials.examples
    if results.kind == "two_layer":
        return networks, examples[:-1], [red_line(each.trials) for each in networks]
    dense = networks_of(results.evaluations, method, f"dense_{results.accuracy}")
    pairs = zip(networks, dense, strict=True)
    return networks, examples, [winning_tickets(each.trials, other.trials) for each, other in pairs]


def _measured(needs: Needs, weights: np.ndarray, note: str = "") -> Measured:
    """A weighted sum over the columns of the needs."""
    words = needs.words
    if (needs.censored == needs.censored.flat[0]).all() and words:
        side = "before the second" if needs.censored.flat[0] == EARLY else "beyond the last"
        raise UserError(f"censored: every need is {side} checkpoint")
    return Measured(over_seeds(*combined(needs, weights)), "; ".join(filter(None, (words, note))))


def _slope_in_examples(results: ExperimentResults, method: str) -> Measured:
    networks, examples, needs = _needs(results, method)
    if len(examples) < 2:
        beside = " beside the largest" if results.kind == "two_layer" else ""
        raise NotAsked(f"fewer than two numbers of examples{beside}; name more under examples")
    deviation = np.log(examples) - np.log(examples).mean()
    weights = deviation / (deviation**2).sum() / len(networks)
    return _measured(joined(needs), np.tile(weights, len(networks)))


def _ratio_of_needs(results: ExperimentResults, method: str) -> Measured:
    networks, _, needs = _needs(results, method)
    if results.kind == "two_layer":
        first, last = narrowest_and_widest(networks)
    else:
        first, last = dense_parameters(cast(pd.DataFrame, results.evaluations), method, networks)
    small, large = needs[first], needs[last]
    silent = np.zeros(small.value.shape[1], bool)
    for side in (EARLY, LATE):
        silent |= ((small.censored == side) & (large.censored == side)).all(axis=0)
    if silent.all():
        raise UserError("censored: at every size both networks need less, or more, than the checkpoints show")
    both = joined([small.at(~silent), large.at(~silent)])
    sizes = np.count_nonzero(~silent)
    note = f"{networks[first].name} and {networks[last].name}"
    if silent.any():
        note += f"; {np.count_nonzero(silent)} of {len(silent)} sizes left out, censored for both"
    return _measured(both, np.repeat([-1 / sizes, 1 / sizes], sizes), note)


def _law(results: ExperimentResults, method: str, part: str) -> _Law:
    """Verdict, reason, effect, seeds and level of claim 3 for one experiment and method."""
    try:
        column, largest = (LOSS, np.inf) if part == "loss threshold" else (results.accuracy, 1)
        # All networks must have all seeds, or the mean would be over different networks for different seeds.
        networks_of(results.evaluations, method, column, largest)
        table = rows_of(results.evaluations, method, [column])
        values = seed_thresholds(table) if column == LOSS else seed_requirements(table, column)
        laws = compare_laws(_geometric_means(values), part).set_index("law")
    except UserError as error:
        return {"verdict": UNDECIDED, "reason": str(error)}
    said, seeds = str(laws["verdict"].iloc[0]), values["seed"].nunique()
    if laws["weight"].isna().all():
        return {"verdict": UNDECIDED, "reason": said.removeprefix("not applicable (").removesuffix(")"), "seeds": seeds}
    weights = ", ".join(f"{law} {weight:.2f}" for law, weight in laws["weight"].sort_values(ascending=False).items())
    reason = f"weights: {weights}"
    left_out, points = int(laws["left_out"].iloc[0]), int(laws["points"].iloc[0])
    if left_out:
        reason += f"; {left_out} of {left_out + points} needs censored and left out"
    rivals = laws.drop("logarithmic")
    rival = rivals.loc[cast(str, rivals["weight"].idxmax())]
    level = max((1 - rival["weight"]) / 2, 1 - rival["best_share"])
    found: _Found = {
        "effect": cast(float, laws.loc["logarithmic", "weight"]),
        "seeds": seeds,
        "level_refuting": cast(float, level),
    }
    if said == "logarithmic":
        return {"verdict": HOLDS, "reason": reason, **found}
    if said in rivals.index:
        return {"verdict": FAILS, "reason": f"the law is {said}; {reason}", **found}
    why = said.removeprefix("undecided").strip(" ()") or "no law is clearly the best"
    return {"verdict": UNDECIDED, "reason": f"{why}; {reason}", **found, "level_refuting": 1.0}


def _geometric_means(values: pd.DataFrame) -> pd.DataFrame:
    """Each seed's geometric mean over all networks: a value is censored where that of any network is."""
    keys = ["experiment", "method", "examples", "seed"]
    logs = values.assign(value=np.log(values["value"]))
    means = logs.groupby(keys, as_index=False)["value"].agg(lambda group: np.exp(group.mean(skipna=False)))
    return means.assign(network="all", width=pd.NA)


def _ratio_of_plateaus(first: ExperimentResults, second: ExperimentResults) -> Measured:
    estimates, words = [], []
    for each in (first, second):
        networks = networks_of(each.evaluations, each.greedy[0], each.accuracy)
        needs = joined([plateau(network.trials) for network in networks])
        weights = np.full(len(networks), 1 / len(networks))
        estimates.append(over_seeds(*combined(needs, weights)))
        need = np.exp(estimates[-1].effect)
        words.append(f"{each.name} {need:,.0f} iterations" + (f" ({needs.words})" if needs.words else ""))
    return Measured(between_groups(*estimates), " and ".join(words))
