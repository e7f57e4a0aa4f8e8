"""Claims on the accuracy of subnetworks: 1, 4 (its first part), 5, 11 and 13. What is measured: docs/claims.md."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np
import pandas as pd

from goodsubnet.claims.inputs import (
    ExperimentResults,
    Network,
    NotAsked,
    dense_parameters,
    narrowest_and_widest,
    networks_of,
)
from goodsubnet.claims.rows import (
    Choice,
    Judgement,
    Measure,
    Measured,
    Question,
    example_words,
    over_experiments,
    seed_means,
)
from goodsubnet.claims.statistics import LEVEL, Line, over_seeds
from goodsubnet.errors import UserError

Rows: TypeAlias = Iterator[Judgement]

INITIAL_MARGIN = 0.01
FLAT_BAND = 0.005
SCALINGS = {"per_neuron": "figure1", "plain": "figure1_plain"}


def at_initialisation(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 1."""
    for key in ("steps", "distinct"):
        lacking = {
            "steps": example_words("figure1"),
            "distinct": "add a method {algorithm: greedy, distinct: 200} to a two-layer experiment and run again",
        }[key]
        for part, measure in (("mean", _gain), ("weakest cell", _weakest_gain)):
            statistic = "accuracy of the last checkpoint minus iteration 0"
            question = Question(1, f"{key}: {part}", statistic, Line(low=INITIAL_MARGIN), "curves")
            yield from over_experiments(
                question,
                results,
                measure,
                lacking,
                cast(Choice, lambda each, method, key=key: each.kind == "two_layer" and stops_at(each, method) == key),
            )


def stops_at(results: ExperimentResults, method: str) -> str:
    """What a greedy method of a two-layer network stops at: "steps" or "distinct"."""
    return "distinct" if results.methods[method].get("distinct") else "steps"


def narrower_is_better(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 4, the accuracy."""
    question = Question(4, "accuracy", "accuracy, narrowest minus widest", Line(low=0), "curves")
    yield from under_both_scalings(question, results, _narrowest_minus_widest)


def under_both_scalings(
    question: Question,
    results: Sequence[ExperimentResults],
    measure: Measure,
    table: str = "evaluations",
) -> Rows:
    """A question about two-layer experiments, asked under each scaling of the learning rate."""
    for scaling, experiment in SCALINGS.items():
        rows = over_experiments(
            question,
            results,
            measure,
            f"{example_words(experiment)}, with lr_scaling: {scaling}",
            cast(
                Choice,
                lambda each, method, scaling=scaling: each.kind == "two_layer" and each.lr_scaling == scaling,
            ),
            table,
        )
        yield from (cast(Judgement, {**row, "lr_scaling": scaling}) for row in rows)


def beats_the_dense_network(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 5."""
    for kind, figure in (("two_layer", "curves"), ("deep", "accuracy")):
        statistic = "accuracy of an earlier subnetwork minus the final dense network, median"
        question = Question(5, kind.replace("_", "-"), statistic, Line(low=0), figure)
        yield from over_experiments(
            question,
            results,
            _earlier_minus_dense,
            example_words("figure1" if kind == "two_layer" else "table1"),
            cast(Choice, lambda each, method, kind=kind: each.kind == kind),
        )


def flat_on_imagenet(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 11: one row per network and method."""
    statistic = "accuracy of the last checkpoint minus two thirds of pre-training"
    line = Line(-FLAT_BAND, FLAT_BAND)
    chosen = [each for each in results if each.paper_table == "table2"]
    lacking = f"{example_words('table2')}, with datasets.imagenet.path"
    for each in chosen:
        for method in each.greedy:
            names = {"method": method, "lr_scaling": each.lr_scaling or ""}
            question = Question(11, "", statistic, line, "accuracy")
            if each.evaluations is None:
                yield question.not_run(lacking, each.name, **names)
                continue
            try:
                networks = networks_of(each.evaluations, method, each.accuracy)
            except UserError as error:
                yield question.attempted(
                    each.name, cast(Callable[[], Measured], lambda error=error: _raise(error)), **names
                )
                continue
            for network in networks:
                question = Question(11, network.name, statistic, line, "accuracy")
                yield question.attempted(
                    each.name, cast(Callable[[], Measured], lambda network=network: _last_third(network)), **names
                )
    if not any(each.greedy for each in chosen):
        yield Question(11, "", statistic, line, "accuracy").not_run(lacking)


def smaller_is_relatively_better(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 13."""
    statistic = "accuracy over the dense network's, smallest minus largest network"
    yield from over_experiments(
        Question(13, "", statistic, Line(low=0), "accuracy"),
        results,
        _relative_smallest_minus_largest,
        example_words("table1"),
        lambda each, method: each.kind == "deep",
    )


def _raise(error: UserError) -> Measured:
    raise error


def _stacked(results: ExperimentResults, method: str, column: str | None = None) -> np.ndarray:
    """(networks, K, S, T) of the accuracy to judge by, or of another column."""
    networks = networks_of(results.evaluations, method, column or results.accuracy)
    return np.stack([each.trials.values for each in networks])


def _gains(results: ExperimentResults, method: str) -> np.ndarray:
    """Accuracy of the last checkpoint minus iteration 0: (networks, K, S)."""
    networks = networks_of(results.evaluations, method, results.accuracy)
    iterations = networks[0].trials.iterations
    if iterations[0] != 0 or len(iterations) < 2:
        raise NotAsked("no checkpoint at iteration 0 and a later one; add them to checkpoints")
    values = np.stack([each.trials.values for each in networks])
    return values[..., -1] - values[..., 0]


def _gain(results: ExperimentResults, method: str) -> Measured:
    return seed_means(_gains(results, method).mean(axis=(0, 2)))


def _weakest_gain(results: ExperimentResults, method: str) -> Measured:
    """The cell with the lowest low end, or that which refutes the claim most clearly."""
    gains = _gains(results, method)
    cells = [over_seeds(gains[network, :, size]) for network, size in np.ndindex(gains.shape[0], gains.shape[2])]
    levels = [each.level_refuting(Line(low=INITIAL_MARGIN)) for each in cells]
    lows = [each.effect if each.seeds < 2 else np.nan_to_num(each.interval()[0], nan=each.effect) for each in cells]
    weakest = np.argmin(levels) if min(levels) <= LEVEL / len(cells) else np.argmin(lows)
    return Measured(cells[weakest], f"the weakest of {len(cells)} cells", comparisons=len(cells))


def _narrowest_minus_widest(results: ExperimentResults, method: str) -> Measured:
    networks = networks_of(results.evaluations, method, results.accuracy)
    narrow, wide = narrowest_and_widest(networks)
    last = np.stack([each.trials.values[..., -1] for each in networks])
    return seed_means((last[narrow] - last[wide]).mean(axis=1), _width_words(networks, narrow, wide))


def _width_words(networks: Sequence[Network], narrow: int, wide: int) -> str:
    return f"widths {networks[narrow].width:,.0f} and {networks[wide].width:,.0f}"


def _earlier_minus_dense(results: ExperimentResults, method: str) -> Measured:
    values = _stacked(results, method)
    dense = _stacked(results, method, f"dense_{results.accuracy}")[..., -1]
    seeds, checkpoints = values.shape[1], values.shape[3]
    if checkpoints < 2:
        raise NotAsked("one checkpoint only; add one before the last")
    if seeds < 2:
        raise UserError("one seed, and the checkpoint is chosen by the others; add seeds")
    earlier = values[..., :-1]
    # Of the other seeds; equal means differ by rounding with the order of summation.
    others = np.round(earlier.sum(axis=1, keepdims=True) - earlier, 12)
    chosen = np.take_along_axis(earlier, others.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    differences = np.moveaxis(chosen - dense, 1, 0).reshape(seeds, -1)
    differences = np.round(differences, 12)
    above, equal = np.count_nonzero(differences > 0), np.count_nonzero(differences == 0)
    note = f"above the dense network in {above} of {differences.size} runs" + (f", equal in {equal}" if equal else "")
    return seed_means(np.median(differences, axis=1), note)


def _last_third(network: Network) -> Measured:
    iterations = network.trials.iterations
    (at,) = np.nonzero(iterations * 3 == iterations[-1] * 2)
    if not len(at):
        raise NotAsked("no checkpoint at two thirds of the pre-training; add one")
    values = network.trials.values
    return seed_means((values[..., -1] - values[..., at[0]]).mean(axis=1))


def _relative_smallest_minus_largest(results: ExperimentResults, method: str) -> Measured:
    networks = networks_of(results.evaluations, method, results.accuracy)
    small, large = dense_parameters(cast(pd.DataFrame, results.evaluations), method, networks)
    last = np.stack([each.trials.values[..., -1] for each in networks])
    dense = _stacked(results, method, f"dense_{results.accuracy}")[..., -1]
    if (dense == 0).any():
        raise UserError("a dense network has accuracy 0; look at its training")
    relative = last / dense
    words = f"{networks[small].name} and {networks[large].name}"
    return seed_means((relative[small] - relative[large]).mean(axis=1), words)
