"""Each claim: tables with a planted truth get that verdict, and what cannot be judged gets words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from claim_tables import GREEDY, ITERATIONS, SIZES, curves, deep, table, theory, two_layer

from goodsubnet.claims import CLAIMS, ExperimentResults, judge, pretraining, summary

K = 3


def noisy(accuracy, scale=1e-3, seed=0):
    return accuracy + scale * np.random.default_rng(seed).standard_normal(accuracy.shape)


def rising(exponent, factor=1.0, seeds=K, noise=0.05) -> np.ndarray:
    """Curves whose needs are 250 (size/100)^exponent, the wider network's so many times as large."""
    scatter = np.exp(noise * np.random.default_rng(1).standard_normal((2, seeds, len(SIZES))))
    needs = 150 * (np.array(SIZES) / 100) ** exponent * np.array([1, factor]).reshape(2, 1, 1) * scatter
    return curves(needs)


def slowing(narrow, wide) -> np.ndarray:
    """Curves that never stop to rise; a size meets the best of the largest after 3,200 (size/3,200)^exponent."""
    exponents = np.array([narrow, wide]).reshape(2, 1, 1)
    scatter = np.exp(0.02 * np.random.default_rng(4).standard_normal((2, K, len(SIZES))))
    needs = 2000 * (np.array(SIZES) / SIZES[-1]) ** exponents * scatter
    return 0.9 * (1 - np.exp(-np.array(ITERATIONS) / needs[..., None]))


def row(judgements, claim, part="", **names) -> pd.Series:
    chosen = judgements[(judgements["claim"] == claim) & (judgements["part"] == part)]
    for name, value in names.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1, chosen
    return chosen.iloc[0]


FLAT = np.full((2, K, 6, 7), 0.9)
LAST = np.arange(7) == 6


def stepped(rise):
    """Accuracies that rise by so much after initialisation."""
    return noisy(0.7 + rise * (np.arange(7) > 0) + np.zeros((2, K, 6, 1)))


def apart(difference):
    """The narrower network's last accuracies are higher by so much."""
    return noisy(0.8 + difference * np.array([1, 0]).reshape(2, 1, 1, 1) + np.zeros((2, K, 6, 7)))


def ahead(difference, kind=two_layer, checkpoints=7):
    values = noisy(np.full((2, K, 6 if kind is two_layer else 3, checkpoints), 0.8))
    return kind(values, dense=values - difference)


def tickets(needs, **more):
    """Deep networks (networks, K, 3) whose subnetworks reach the dense 0.85 after so many iterations."""
    accuracy = curves(np.asarray(needs), (50, 100, 150))
    return deep(accuracy, np.full(accuracy.shape, 0.85), **more)


SEED_SCATTER = np.exp(0.02 * np.random.default_rng(5).standard_normal((2, K, 3)))

PLANTED = [
    (1, "steps: mean", two_layer(stepped(0.2)), "holds"),
    (1, "steps: mean", two_layer(stepped(-0.1)), "does not hold"),
    (1, "steps: weakest cell", two_layer(stepped(0.2)), "holds"),
    (1, "steps: weakest cell", two_layer(stepped(0.2) - 0.4 * (np.arange(6) == 2)[:, None] * LAST), "does not hold"),
    (1, "distinct: mean", two_layer(stepped(0.2), methods={"greedy": {**GREEDY["greedy"], "distinct": 9}}), "holds"),
    (2, "red line", two_layer(rising(0.5)), "holds"),
    (2, "red line", two_layer(slowing(0.5, 0.4)), "holds"),
    (2, "red line", two_layer(rising(-0.4)), "does not hold"),
    (2, "winning ticket", tickets(np.array([60, 90, 120]) * SEED_SCATTER), "holds"),
    (2, "winning ticket", tickets(np.array([120, 90, 60]) * SEED_SCATTER), "does not hold"),
    (4, "accuracy", two_layer(apart(0.02)), "holds"),
    (4, "accuracy", two_layer(apart(-0.02)), "does not hold"),
    (4, "D²", theory(diameter=lambda width, size, at: width**0.3), "holds"),
    (4, "D²", theory(diameter=lambda width, size, at: width**-0.3), "does not hold"),
    (4, "l(z₁)", theory(first=lambda width, size, at: width**0.1 / 10), "holds"),
    (4, "l(z₁)", theory(first=lambda width, size, at: width**-0.1), "does not hold"),
    (5, "two-layer", ahead(0.05), "holds"),
    (5, "two-layer", ahead(-0.05), "does not hold"),
    (5, "deep", ahead(0.05, deep, 3), "holds"),
    (5, "deep", ahead(-0.05, deep, 3), "does not hold"),
    (6, "width", two_layer(slowing(0.4, 0.4)), "holds"),
    (6, "width", two_layer(slowing(0.6, 0.2)), "does not hold"),
    (6, "architecture", tickets(np.array([70, 80, 90]) * SEED_SCATTER), "holds"),
    (6, "architecture", tickets(np.array([55, 60, 70]) * [[[1]], [[2]]] * SEED_SCATTER), "does not hold"),
    (8, "Lemma 1", theory(), "holds"),
    (8, "Lemma 2", theory(), "holds"),
    (8, "Lemma 2", theory(diameter=lambda width, size, at: 0.4 + 0 * width), "does not hold"),
    *[(8, f"{q}/m over {over}", theory(), "holds") for q in ("D²", "l(z₁)") for over in ("training", "N", "m")],
    (8, "D²/m over training", theory(diameter=lambda width, size, at: 1 + at + 0 * width), "does not hold"),
    (8, "D²/m over N", theory(diameter=lambda width, size, at: width**0.4), "does not hold"),
    (8, "D²/m over m", theory(diameter=lambda width, size, at: size**0.4 + 0 * width), "does not hold"),
    (8, "l(z₁)/m over training", theory(first=lambda width, size, at: 1 + at + 0 * width), "does not hold"),
    (8, "l(z₁)/m over N", theory(first=lambda width, size, at: width**0.4), "does not hold"),
    (8, "l(z₁)/m over m", theory(first=lambda width, size, at: size**0.4 + 0 * width), "does not hold"),
    (8, "movement", theory(movement=1), "holds"),
    (8, "movement", theory(movement=9), "does not hold"),
    (10, "features at initialisation", theory(), "holds"),
    (10, "features at initialisation", theory(condition=lambda width, size: 9 / size + 0 * width), "does not hold"),
    (13, "", deep(apart(0.02)[:, :, :3, :3], np.full((2, K, 3, 3), 0.9)), "holds"),
    (13, "", deep(apart(-0.02)[:, :, :3, :3], np.full((2, K, 3, 3), 0.9)), "does not hold"),
]


@pytest.mark.parametrize(("claim", "part", "results", "verdict"), PLANTED)
def test_a_planted_truth_is_found(claim, part, results, verdict, monkeypatch):
    # The laws, which are slow to fit, have a test of their own.
    monkeypatch.setattr(pretraining, "logarithmic", lambda results: iter(()))
    judgements = judge([results])
    found = judgements[(judgements["claim"] == claim) & (judgements["part"] == part) & (judgements["experiment"] != "")]
    assert found["verdict"].to_list() == [verdict], found["reason"].to_list()
    assert set(judgements["claim"]) == set(CLAIMS) - {3}
    assert (judgements["reason"].ne("") | judgements["verdict"].isin(["holds", "does not hold"])).all()


def test_effects_are_those_that_were_planted():
    found = row(judge([two_layer(rising(0.5, 2.0, noise=0))]), 2, "red line")
    assert found["effect"] == pytest.approx(0.5, abs=0.1)
    assert row(judge([two_layer(apart(0.02))]), 4, "accuracy", lr_scaling="per_neuron")["effect"] == pytest.approx(
        0.02, abs=1e-3
    )
    widened = judge([theory(diameter=lambda width, size, at: width**0.5)])
    assert row(widened, 4, "D²", lr_scaling="per_neuron")["effect"] == pytest.approx(2, rel=1e-2)
    assert row(widened, 8, "D²/m over N")["effect"] == pytest.approx(0.5, abs=1e-2)
    assert row(judge([theory(movement=7)]), 8, "movement")["effect"] == pytest.approx(0.25, rel=1e-2)


@pytest.mark.parametrize(
    ("law", "verdict"),
    [
        (lambda sizes: 100 * np.log(sizes / 20), "holds"),
        (lambda sizes: 120 * (sizes / 100) ** 0.9, "does not hold"),
        (lambda sizes: 100 + 0.9 * sizes, "does not hold"),
    ],
)
def test_the_law_of_the_losses_is_told(law, verdict):
    sizes = np.array([100, 200, 400, 800, 1200, 1600, 2400, 3000])
    scatter = np.exp(0.02 * np.random.default_rng(3).standard_normal((2, K, 8)))
    thresholds = law(sizes) * scatter
    # A straight fall to the plateau meets the level after nine tenths of the way.
    iterations = np.arange(0, 6400, 50)
    loss = np.clip(1 - iterations * 0.9 / thresholds[..., None], 0, 1)
    results = two_layer(1 - loss, sizes=tuple(sizes), iterations=tuple(iterations))
    found = row(judge([results]), 3, "loss threshold")
    assert found["verdict"] == verdict, found["reason"]
    assert (found["effect"] > 0.9) == (verdict == "holds")
    few = two_layer(1 - loss[:, :, :4], sizes=tuple(sizes[:4]), iterations=tuple(iterations))
    found = row(judge([few]), 3, "loss threshold")
    assert found["verdict"] == "not run"
    assert found["reason"].startswith("fewer than 5 numbers of examples")


def times(chosen) -> pd.DataFrame:
    cells = [(workers, repetition) for workers in (1, 2, 4) for repetition in (1, 2)]
    return pd.DataFrame(cells, columns=["workers", "repetition"]).assign(what="layer1", chosen=chosen)


def test_the_choices_of_several_workers():
    found = row(judge([], pruning_times=times("a1")), 7, "layer1")
    assert (found["verdict"], found["effect"]) == ("holds", 1)
    found = row(judge([], pruning_times=times(["a1"] * 5 + ["b2"])), 7, "layer1")
    assert (found["verdict"], found["effect"]) == ("does not hold", 2)
    old = row(judge([], pruning_times=times("a1").drop(columns="chosen")), 7)
    assert (old["verdict"], old["reason"]) == (
        "not run",
        "the table has no column chosen; add pruning_times to targets and run again",
    )
    assert row(judge([], pruning_times=times(["a1"] * 5 + [None])), 7, "layer1")["verdict"] == "undecided"
    alone = times("a1").query("workers == 1")
    assert row(judge([], pruning_times=alone), 7, "layer1")["reason"].startswith("one number of workers")


def test_a_single_violation_of_lemma_1_refutes_it_and_those_of_other_bounds_do_not():
    results = theory()
    results.violations.loc[results.violations["bound"] == "lemma1", "violations"] = 1
    judgements = judge([results])
    found = row(judgements, 8, "Lemma 1")
    assert (found["verdict"], found["effect"]) == ("does not hold", 1)
    verdicts = summary(judgements).set_index("claim")
    assert verdicts.loc[8, "verdict"] == "does not hold"
    assert verdicts.loc[8, "part"] == "Lemma 1"


def fits(exponent, reach) -> pd.DataFrame:
    cell = {"examples": 50, "inputs": 10, "widths": 6, "draws": 10}
    return pd.DataFrame([{**cell, "exponent": exponent, "low": exponent - reach, "high": exponent + reach}])


def test_singular_values_and_condition_numbers():
    for exponent, reach, verdict in (
        (0.5, 0.02, "holds"),
        (0.6, 0.02, "does not hold"),
        (0.5, 0.1, "undecided"),
        (0.3, 0.02, "does not hold"),
    ):
        found = row(judge([], singular_value_fits=fits(exponent, reach)), 9, "m = 50, d = 10")
        assert (found["verdict"], found["low"]) == (verdict, pytest.approx(exponent - reach))
    wordy = fits(0.5, 0.02).assign(low="not applicable (fewer than 3 widths)")
    assert "fewer than 3 widths" in row(judge([], singular_value_fits=wordy), 9, "m = 50, d = 10")["reason"]

    cells = [(examples, width) for examples in (10, 20, 50, 100) for width in (100, 200, 400)]
    numbers = pd.DataFrame(cells, columns=["examples", "width"])
    numbers["median"] = numbers["examples"] ** 0.3 * np.exp(0.01 * np.sin(numbers["width"] + numbers["examples"]))
    assert row(judge([], condition_numbers=numbers), 10, "Gaussian matrices")["verdict"] == "holds"
    numbers["median"] = 1 / numbers["median"]
    assert row(judge([], condition_numbers=numbers), 10, "Gaussian matrices")["verdict"] == "does not hold"
    narrow = numbers[numbers["width"] == 100]
    assert row(judge([], condition_numbers=narrow), 10, "Gaussian matrices")["reason"].startswith("one seed")


@pytest.mark.parametrize(("gain", "verdict"), [(0.0, "holds"), (0.02, "does not hold"), (-0.02, "does not hold")])
def test_imagenet_is_flat_for_each_network_by_itself(gain, verdict):
    values = noisy(np.full((2, K, 1, 3), 0.7), 2e-4)
    values[1, ..., -1] += gain
    results = deep(values, sizes=(2_000_000,), source="folder", title="ImageNet", paper_table="table2")
    judgements = judge([results])
    assert row(judgements, 11, "n0")["verdict"] == "holds"
    assert row(judgements, 11, "n1")["verdict"] == verdict
    assert summary(judgements).set_index("claim").loc[11, "verdict"] == verdict
    odd = deep(values, sizes=(2_000_000,), iterations=(50, 90, 150), paper_table="table2")
    assert "two thirds" in row(judge([odd]), 11, "n0")["reason"]


def full_sets(later=1.0, steps=16):
    """MNIST whose plateau begins near 700 of 3,200, CIFAR10 so many times later, ImageNet ten times that."""
    scatter = np.exp(0.05 * np.random.default_rng(2).standard_normal((2, K, 2)))
    mnist = two_layer(curves(400 * scatter), sizes=(10_000, 50_000), name="mnist")
    found = [mnist]
    for name, source, size, times_later in (
        ("cifar", "cifar10", 50_000, later),
        ("imagenet", "folder", 1_200_000, 10 * later),
    ):
        iterations = tuple(int(200 * times_later * step) for step in range(1, steps + 1))
        values = curves(400 * times_later * scatter, iterations)
        found.append(
            deep(values, sizes=(10_000, size), iterations=iterations, name=name, source=source, title="ImageNet")
        )
    return found


def test_needs_across_data_sets():
    judgements = judge(full_sets(10))
    assert row(judgements, 12, "MNIST to CIFAR10", experiment="mnist / cifar")["verdict"] == "holds"
    assert row(judgements, 12, "CIFAR10 to ImageNet")["verdict"] == "holds"
    assert row(judgements, 12, "CIFAR10 to ImageNet")["effect"] == pytest.approx(10, rel=0.2)
    assert row(judge(full_sets(0.25)[:2]), 12, "MNIST to CIFAR10")["verdict"] == "does not hold"
    # A plateau that begins in the last interval may begin later: that can only help the claim.
    rising_still = row(judge(full_sets(10, 4)[:2]), 12, "MNIST to CIFAR10")
    assert rising_still["high"] == np.inf
    assert rising_still["verdict"] == "holds"
    small = replace(full_sets()[1], evaluations=None, examples=(10_000,))
    lacking = row(judge([full_sets()[0], small]), 12, "MNIST to CIFAR10")
    assert (lacking["verdict"], "CIFAR10 in full" in lacking["reason"]) == ("not run", True)


def test_needs_that_are_never_met_are_ranges():
    accuracy = rising(0.5)
    # The second-largest size ends below the target of the largest: it needs more than the last checkpoint.
    accuracy[:, :, 4, :] = np.minimum(accuracy[:, :, 4, :], 0.6)
    found = row(judge([two_layer(accuracy)]), 2, "red line")
    assert (found["verdict"], found["high"]) == ("holds", np.inf)
    assert "needs censored" in found["reason"]
    # Now the smallest one: the slope has no lower end.
    accuracy[:, :, 0, :] = np.minimum(accuracy[:, :, 0, :], 0.6)
    found = row(judge([two_layer(accuracy)]), 2, "red line")
    assert (found["verdict"], found["low"]) == ("undecided", -np.inf)
    assert found["reason"].startswith("censored: 12 of 30 needs")


def test_widths_whose_needs_are_censored_alike_say_nothing():
    never = np.minimum(rising(0.5), 0.6)
    never[:, :, -1, :] = rising(0.5)[:, :, -1, :]
    assert row(judge([two_layer(never)]), 6, "width", lr_scaling="per_neuron")["reason"].startswith(
        "censored: at every"
    )
    assert (
        row(judge([two_layer(never)]), 2, "red line")["reason"] == "censored: every need is beyond the last checkpoint"
    )


def test_what_was_not_run_says_what_to_run():
    configured = ExperimentResults("figure1_plain", "two_layer", "mnist", methods=GREEDY, lr_scaling="plain")
    judgements = judge([configured])
    assert set(judgements["verdict"]) == {"not run"}
    assert row(judgements, 4, "accuracy", lr_scaling="plain")["reason"] == "add figure1_plain to targets and run again"
    assert "lr_scaling: per_neuron" in row(judgements, 4, "accuracy", lr_scaling="per_neuron")["reason"]
    assert "distinct: 200" in row(judgements, 1, "distinct: mean")["reason"]
    assert "imagenet.path" in row(judgements, 11)["reason"]
    verdicts = summary(judgements)
    assert set(verdicts["verdict"]) == {"not run"}
    assert verdicts["claim"].to_list() == list(CLAIMS)
    assert set(summary(judge([]))["verdict"]) == {"not run"}


GOOD = two_layer(rising(0.5))


def spoiled(change) -> ExperimentResults:
    frame = GOOD.evaluations.copy()
    return replace(GOOD, evaluations=change(frame))


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda frame: frame[frame["seed"] == 0], "undecided", "one seed"),
        (lambda frame: frame.drop(index=frame.index[40]), "undecided", "cells are missing"),
        (lambda frame: frame.iloc[:0], "undecided", "no rows"),
        (lambda frame: frame.assign(train_accuracy=np.nan), "undecided", "cells are missing"),
        (lambda frame: frame.assign(train_accuracy="much"), "undecided", "cells are missing"),
        (lambda frame: frame.assign(train_accuracy=7.0), "undecided", "shares in [0, 1]"),
        (lambda frame: frame.assign(train_accuracy=np.inf), "undecided", "shares in [0, 1]"),
        (lambda frame: frame.drop(columns="train_accuracy"), "undecided", "no column 'train_accuracy'"),
        (lambda frame: frame.drop(columns="seed"), "undecided", "no column 'seed'"),
        (lambda frame: frame.assign(seed="first"), "undecided", "not a number"),
        (lambda frame: frame.assign(width=np.inf), "undecided", "not a number"),
        (lambda frame: pd.concat([frame, frame]), "undecided", "more than one row"),
        (lambda frame: frame[(frame["network"] == "w10") | (frame["seed"] > 0)], "undecided", "differ in seeds"),
        (lambda frame: frame.assign(method="magnitude"), "undecided", "no rows of method 'greedy'"),
        (lambda frame: frame[frame["examples"] == 100], "not run", "one number of examples"),
        (lambda frame: frame[frame["iteration"] == 0], "not run", "one checkpoint"),
    ],
)
def test_bad_tables_get_words_and_no_number(change, verdict, words):
    results = spoiled(change)
    judgements = judge([results, replace(deep(rising(0.5)[:, :, :3, :3]), evaluations=results.evaluations)])
    found = row(judgements, 2, "red line")
    assert (found["verdict"], words in found["reason"]) == (verdict, True), found["reason"]
    # The losses may be as they were.
    decided = judgements[judgements["verdict"].isin(["holds", "does not hold"])]
    assert set(decided["part"]) <= {"loss threshold"}


@pytest.mark.parametrize(
    ("change", "part", "verdict", "words"),
    [
        (lambda frame: frame[frame["network"] == "t100"], "D²/m over N", "not run", "one width"),
        (lambda frame: frame[frame["examples"] == 10], "D²/m over m", "not run", "one number of examples"),
        (lambda frame: frame[frame["iteration"] > 0], "D²/m over training", "not run", "assumptions"),
        (lambda frame: frame.assign(squared_diameter=0.0), "D²/m over N", "undecided", "no logarithm"),
        (lambda frame: frame.drop(columns="squared_diameter"), "D²/m over N", "undecided", "no column"),
        (lambda frame: frame.drop(columns="iteration"), "D²/m over N", "undecided", "no column"),
        (lambda frame: frame.drop(columns="variance"), "Lemma 2", "undecided", "no column"),
        (lambda frame: frame.assign(variance=np.nan), "Lemma 2", "undecided", "no numbers"),
        (lambda frame: frame.iloc[:0], "Lemma 2", "undecided", "no numbers"),
    ],
)
def test_bad_terms_get_words(change, part, verdict, words):
    results = theory()
    found = row(judge([replace(results, terms=change(results.terms))]), 8, part)
    assert (found["verdict"], words in found["reason"]) == (verdict, True), found["reason"]


def test_empty_tables_of_matrices_and_times_are_not_run():
    empty = pd.DataFrame()
    judgements = judge([], singular_value_fits=empty, condition_numbers=empty, pruning_times=empty)
    assert set(judgements["verdict"]) == {"not run"}
    odd = pd.DataFrame({"nothing": [1]})
    judgements = judge([], singular_value_fits=odd, condition_numbers=odd, pruning_times=odd)
    assert not set(judgements["verdict"]) & {"holds", "does not hold"}


def test_a_claim_is_refuted_only_at_the_level_that_its_judgements_leave():
    def of(p):
        scatter = np.array([-1, 0, 1]) / np.sqrt(3)
        from scipy import stats

        gains = -stats.t.isf(p / 2, 2) / 3 * np.ones(3) + scatter
        return 0.01 * gains

    shape = (2, K, 6, 7)
    first = two_layer(0.5 + np.zeros(shape) + (np.array([1, 0]).reshape(2, 1, 1, 1) * of(0.04).reshape(1, 3, 1, 1)))
    judgements = judge([first, replace(two_layer(apart(0.02)), name="other")])
    failing = row(judgements, 4, "accuracy", experiment="e")
    assert failing["verdict"] == "does not hold"
    assert failing["level_refuting"] == pytest.approx(0.04)
    verdict = summary(judgements).set_index("claim").loc[4]
    assert (verdict["verdict"], verdict["judgements"]) == ("undecided", 2)
    assert "not at the level 0.05/2" in verdict["reason"]
    alone = summary(judge([first])).set_index("claim").loc[4]
    assert alone["verdict"] == "does not hold"


def test_judgements_from_a_file_have_the_same_verdicts(tmp_path):
    judgements = judge([two_layer(rising(0.5)), theory()], pruning_times=times("a1"))
    judgements.to_csv(tmp_path / "claims.csv", index=False)
    again = summary(pd.read_csv(tmp_path / "claims.csv"))
    pd.testing.assert_frame_equal(again.drop(columns="seeds"), summary(judgements).drop(columns="seeds"))


def test_the_same_tables_give_the_same_judgements_in_any_order_of_rows():
    shuffled = replace(GOOD, evaluations=GOOD.evaluations.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(judge([GOOD]), judge([shuffled]))


def test_every_method_of_the_paper_is_judged_by_itself():
    more = GOOD.evaluations.assign(method="two")
    both = replace(
        GOOD,
        methods={**GREEDY, "two": GREEDY["greedy"], "random": {"algorithm": "random", "steps": 9}},
        evaluations=pd.concat([GOOD.evaluations, more]),
    )
    judgements = judge([both])
    assert judgements[(judgements["claim"] == 2) & (judgements["experiment"] == "e")]["method"].to_list() == [
        *("greedy", "two")
    ]


def test_the_tables_here_are_as_the_workflow_writes_them():
    frame = table({"train_accuracy": FLAT}, {"a": 1, "b": 2})
    assert len(frame) == FLAT.size
    assert frame.groupby(["network", "seed", "examples"])["iteration"].agg(tuple).map(ITERATIONS.__eq__).all()
