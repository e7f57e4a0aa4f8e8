"""The threshold in pre-training: curves worked out by hand, Theorem 3 by brute force, the fitted constant, refusals."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import required_pretraining
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.thresholds import (
    fitted_constant,
    greedy_evaluations,
    measured_thresholds,
    seed_requirements,
    seed_thresholds,
    thresholds,
)

CHECKPOINTS = (0, 100, 200, 400)


def evaluations(values, examples=(10,), iterations=CHECKPOINTS, **names) -> pd.DataFrame:
    """Return evaluations from losses (seeds, examples, iterations)."""
    values = np.asarray(values, dtype=float)
    cells = itertools.product(range(values.shape[0]), examples, iterations)
    rows = [(*cell, value) for cell, value in zip(cells, values.ravel(), strict=True)]
    frame = pd.DataFrame(rows, columns=["seed", "examples", "iteration", "train_loss"])
    names = {"experiment": "e", "network": "net", "width": 50, "method": "greedy", **names}
    return frame.assign(train_accuracy=1 - frame["train_loss"].clip(0, 1), **names)


def terms_of(frame, **terms) -> pd.DataFrame:
    """Return the terms of every row of evaluations; the numbers give about 100 iterations with c = 1."""
    keys = ["experiment", "network", "width", "method", "examples", "seed", "iteration"]
    known = {"steps": 20, "dense_loss": 0.5, "first_loss": 0.6, "squared_diameter": 1.0}
    known |= {"learning_rate_per_neuron": 2.0, "smallest_singular_value": 2.0, "condition_number": 7.0}
    return frame[keys].assign(**known | terms)


def only(curve, **arguments) -> pd.Series:
    """Return the row of one seed and one size."""
    return measured_thresholds(evaluations([[curve]]), **arguments).iloc[0]


@pytest.mark.parametrize(
    ("curve", "measured", "censored", "level"),
    [
        # From 0.6 at 100 to 0.0 at 200, the level of 0.1 is five sixths of the way.
        ([1.0, 0.6, 0.0, 0.0], 100 + 500 / 6, "no", 0.1),
        # It falls below the level, rises above it, and stays below from the second fall on only.
        ([1.0, 0.0, 0.0, 0.1], 90, "first interval", 0.1),
        ([1.0, 0.0, 0.5, 0.0], 200 + 160, "no plateau", 0.1),
        ([1.0, 0.0, 0.0, 0.2], np.nan, "never", 0.1),
        ([0.5, 0.6, 0.7, 0.8], np.nan, "never", 0.5),
        ([0.5, 0.5, 0.5, 0.5], 0, "at or before first", 0.5),
        ([0.5, 0.7, 0.5, 0.5], 200, "no", 0.5),
        ([1.0, 0.9, 0.8, 0.0], 200 + 175, "no plateau", 0.1),
    ],
)
def test_thresholds_worked_out_by_hand(curve, measured, censored, level):
    row = only(curve)
    assert row["measured"] == pytest.approx(measured, nan_ok=True)
    assert (row["censored"], row["level"]) == (censored, pytest.approx(level))
    assert (row["initial_loss"], row["plateau_loss"], row["last_iteration"]) == (curve[0], min(curve), 400)
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])
    seed = seed_thresholds(evaluations([[curve]])).iloc[0]
    assert seed["censored"] == censored
    assert seed["value"] == pytest.approx(measured if censored == "no" else np.nan, nan_ok=True)


def test_the_margin_moves_the_level():
    assert only([1.0, 0.6, 0.0, 0.0], margin=0.8)["measured"] == pytest.approx(50)


def test_a_mean_that_equals_the_level_on_paper_is_not_above_it():
    # 0.1 + 0.3 (0.7 - 0.1) is 0.28 on paper, and 0.27999999999999997 in float64.
    assert only([0.7, 0.28, 0.28, 0.1], margin=0.3)["measured"] == 100


def test_the_mean_over_seeds_is_measured_and_the_single_seeds_have_levels_of_their_own():
    early, late = [1.0, 0.0, 0.0, 0.0], [3.0, 3.0, 1.0, 1.0]
    frame = evaluations([[early], [late]])
    # Means 2, 1.5, 0.5, 0.5: the level is 0.65. Alone: 0.1, met at 90, in the first interval; 1.2, met at 190.
    row = measured_thresholds(frame).iloc[0]
    assert row[["measured", "level", "seeds"]].to_list() == pytest.approx([185, 0.65, 2])
    assert seed_thresholds(frame)["value"].to_list() == pytest.approx([np.nan, 190], nan_ok=True)
    # The three resamples are one seed, the other, and both: with weights 1, 1 and 2.
    assert row[["low", "high"]].to_list() == pytest.approx([90, 190])
    narrow = measured_thresholds(frame, confidence=0.4).iloc[0]
    assert narrow[["low", "high"]].to_list() == pytest.approx([185, 185])


def test_an_interval_reaches_beyond_the_last_checkpoint_where_a_seed_never_settles():
    frame = evaluations([[[1.0, 0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.3]]])
    row = measured_thresholds(frame).iloc[0]
    assert (row["low"], row["high"]) == (pytest.approx(90), np.inf)


@st.composite
def losses(draw):
    """Return losses (seeds, sizes, checkpoints) on a coarse grid, where ties are common."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6)))
    values = draw(st.lists(st.integers(0, 12), min_size=math.prod(shape), max_size=math.prod(shape)))
    return np.array(values).reshape(shape) / 4


@settings(max_examples=80, deadline=None)
@given(losses(), st.sampled_from([0.05, 0.1, 0.5, 0.9]))
def test_after_the_threshold_the_mean_stays_at_or_below_the_level_and_before_it_it_is_above(values, margin):
    iterations = np.arange(values.shape[2]) ** 2 * 50
    frame = evaluations(values, range(1, values.shape[1] + 1), iterations)
    for row, means in zip(measured_thresholds(frame, margin).itertuples(), values.mean(axis=0), strict=True):
        grid = np.linspace(0, iterations[-1], 2001)
        curve = np.interp(grid, iterations, means)
        if row.censored == "never":
            assert means[-1] > row.level
            continue
        after = grid >= row.measured + 1e-6
        assert (curve[after] <= row.level + 1e-6).all()
        if row.censored != "at or before first":
            assert np.interp(row.measured, iterations, means) == pytest.approx(row.level, abs=1e-6)
            last_above = iterations[np.flatnonzero(means > row.level + 1e-9)[-1]]
            assert last_above < row.measured
            assert (row.censored == "no plateau") == (last_above == iterations[-2])
            assert (row.censored == "first interval") == (last_above == 0 and len(iterations) > 2)


def test_required_pretraining_of_single_seeds_leaves_out_what_the_checkpoints_cannot_tell():
    # The first seed's largest size is best at 200, the second's at the end.
    first = [[1.0, 0.5, 0.1, 0.1], [1.0, 0.5, 0.4, 0.5]]
    second = [[1.0, 0.5, 0.1, 0.1], [1.0, 0.5, 0.4, 0.3]]
    frame = evaluations([first, second], (10, 20))
    needs = seed_requirements(frame).set_index(["examples", "seed"])
    for seed in (0, 1):
        alone = required_pretraining(frame[frame["seed"] == seed]).set_index("examples")["iteration"]
        assert needs.loc[(10, seed), "value"] == alone[10]
    assert needs.loc[(20, 0), "value"] == 200
    assert np.isnan(needs.loc[(20, 1), "value"])
    assert needs["censored"].to_list() == ["no", "no", "no", "no plateau"]
    early = seed_requirements(evaluations([[[1.0, 0.2, 0.1, 0.1], [1.0, 0.5, 0.4, 0.5]]], (10, 20)))
    assert early["censored"].to_list() == ["first interval", "no"]
    assert np.isnan(early["value"][0])


def brute_force(steps, dense, first, squared_diameter, rate) -> int:
    """Iterate the dense loss down until Theorem 3's inequality holds."""
    rest = first + squared_diameter / 2 * (sum(1 / k for k in range(1, steps + 1)) - 1)
    iteration = 0
    while (steps - 1) * dense > rest:
        dense *= 1 - rate
        iteration += 1
    return iteration


def planted(constant, widths=(50, 400), sizes=(10, 20, 40)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return evaluations whose measured thresholds are Theorem 3's with a known constant, and their terms."""
    tables, terms = [], []
    for width, size in itertools.product(widths, sizes):
        singular = math.sqrt(width) / size**0.5
        base = {"squared_diameter": 0.5 + size / 100, "smallest_singular_value": singular}
        frame = evaluations([[[1.0, 1.0, 0.0, 0.0]]] * 2, (size,), network=f"n{width}", width=width)
        terms.append(terms_of(frame, **base))
        rate = constant * 2.0 * singular**2 / (width * size)
        numerator = math.log(19 * 0.5 / (0.6 + base["squared_diameter"] / 2 * (sum(1 / k for k in range(1, 21)) - 1)))
        threshold = numerator / -math.log1p(-rate)
        # The loss is 1 until `start` and 0 from `end` on: linear, it meets the level of 0.1 at the threshold.
        start, end = 0.5 * threshold, (threshold - 0.05 * threshold) / 0.9
        tables.append(frame.assign(iteration=np.tile([0.0, start, end, 2 * threshold], 2)))
        terms[-1]["iteration"] = tables[-1]["iteration"]
    return pd.concat(tables), pd.concat(terms)


@pytest.mark.parametrize("constant", [0.02, 0.7, 3.0])
def test_a_planted_constant_is_recovered_and_predicts_every_cell(constant):
    # Sizes have their own checkpoints here, so each is a network of its own: the constant is fitted over all.
    frame, terms = planted(constant)
    names = {"network": frame["network"] + "-" + frame["examples"].astype(str)}
    table = thresholds(frame.assign(**names), terms.assign(**names))
    assert (table["censored"] == "no").all()
    np.testing.assert_allclose(table["constant"], constant, rtol=1e-6)
    np.testing.assert_allclose(table["ratio"], 1, rtol=1e-6)
    np.testing.assert_allclose(table["predicted"], table["measured"], rtol=1e-6)


def test_predictions_are_where_the_iterated_inequality_first_holds():
    curves = [[[1.0, 0.7, 0.0, 0.0], [1.0, 0.9, 0.0, 0.0], [1.0, 0.4, 0.0, 0.0]]] * 2
    frame = evaluations(curves, (10, 20, 40))
    terms = terms_of(frame, first_loss=0.3 + frame["examples"] / 50, dense_loss=0.4 + 0.1 * frame["seed"])
    table = thresholds(frame, terms)
    assert table["constant"].nunique() == 1
    for row in table.itertuples():
        rate = row.constant * 2.0 * 2.0**2 / (50 * row.examples)
        # Terms are means over the seeds, whose dense losses are 0.4 and 0.5.
        needed = brute_force(20, 0.45, 0.3 + row.examples / 50, 1.0, rate)
        assert math.ceil(row.predicted) == needed


def test_the_constant_is_the_median_in_logarithms_and_one_wild_cell_does_not_move_it():
    numerators, rates = np.full(5, 2.0), np.array([1e-3, 2e-3, 4e-3, 8e-3, 1e-2])
    measured = numerators / -np.log1p(-0.5 * rates)
    assert fitted_constant(numerators, rates, measured, 1e-2) == pytest.approx(0.5)
    measured[4] *= 1e4
    assert fitted_constant(numerators, rates, measured, 1e-2) == pytest.approx(0.5)
    two = fitted_constant(numerators[:2], rates[:2], numerators[:2] / -np.log1p(-rates[:2] * [0.1, 10]), 1e-2)
    assert two == pytest.approx(1)


def test_the_constant_keeps_every_rate_below_one():
    constant = fitted_constant(np.array([2.0, 2.0]), np.array([1e-4, 1e-4]), np.array([5.0, 5.0]), 0.5)
    assert 1.9 < constant < 2


def test_cells_without_a_numerator_or_a_threshold_say_nothing_of_the_constant():
    assert fitted_constant(np.array([0.0, 2.0]), np.array([0.1, 0.1]), np.array([9.0, 0.0]), 0.1) == NotApplicable(
        "no measured threshold to fit the constant to"
    )


def test_what_the_theory_leaves_out_is_text_with_the_reason():
    falls, never = [1.0, 0.7, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]
    frame = evaluations([[falls, never, falls, falls]], (10, 20, 30, 40))
    terms = terms_of(frame)
    terms["condition_number"] = terms["condition_number"].astype(object)
    terms.loc[terms["examples"] == 30, "condition_number"] = "not applicable (more examples than neurons)"
    terms.loc[terms["examples"] == 40, "dense_loss"] = 0.01
    table = thresholds(frame, terms).set_index("examples")
    assert table.loc[10, "ratio"] == pytest.approx(1)
    assert table.loc[20, "predicted"] > 0
    assert np.isnan(table.loc[20, "ratio"])
    assert table.loc[30, "predicted"] == table.loc[30, "constant"] == "not applicable (more examples than neurons)"
    assert table.loc[40, ["predicted", "ratio"]].to_list() == [0, 0]
    unfitted = thresholds(frame[frame["examples"].isin([20, 40])], terms).set_index("examples")
    assert unfitted.loc[20, "predicted"] == "not applicable (no measured threshold to fit the constant to)"
    assert unfitted.loc[40, "predicted"] == 0


def test_reasons_survive_a_file_and_experiments_have_constants_of_their_own(tmp_path):
    frame = evaluations([[[1.0, 0.7, 0.0, 0.0]]])
    other = frame.assign(experiment="f", width=np.nan)
    reason = "not applicable (mini-batches)"
    terms = pd.concat(
        [terms_of(frame), terms_of(other, smallest_singular_value=reason, condition_number=reason)], ignore_index=True
    )
    terms.to_csv(tmp_path / "terms.csv")
    table = thresholds(pd.concat([frame, other]), pd.read_csv(tmp_path / "terms.csv"))
    assert table["constant"][0] > 0
    assert table.loc[1, ["predicted", "constant"]].to_list() == [reason, reason]
    assert list(table.columns) == [
        *("experiment", "network", "width", "method", "examples", "seeds", "measured", "low", "high", "censored"),
        *("initial_loss", "plateau_loss", "level", "last_iteration", "predicted", "ratio", "constant"),
    ]


@pytest.mark.parametrize("initial", [2.0, "not applicable (not at initialisation)"])
def test_without_a_checkpoint_at_initialisation_there_is_no_prediction(initial):
    frame = evaluations([[[1.0, 0.7, 0.0, 0.0]]], iterations=(50, 100, 200, 400))
    table = thresholds(frame, terms_of(frame, smallest_singular_value=initial, condition_number=initial))
    assert table["predicted"][0] == "not applicable (no checkpoint at iteration 0)"
    assert table["measured"][0] > 100


def test_a_singular_value_of_zero_predicts_nothing():
    frame = evaluations([[[1.0, 0.7, 0.0, 0.0]]])
    table = thresholds(frame, terms_of(frame, smallest_singular_value=0.0))
    assert table["predicted"][0] == "not applicable (the contraction rate is 0)"


def test_only_methods_with_terms_are_tabulated():
    frame = evaluations([[[1.0, 0.7, 0.0, 0.0]]])
    table = thresholds(pd.concat([frame, frame.assign(method="random")]), terms_of(frame))
    assert table["method"].to_list() == ["greedy"]
    with pytest.raises(UserError, match=r"no method of the evaluations \(random\) has terms \(greedy\)"):
        greedy_evaluations(frame.assign(method="random"), terms_of(frame))


@pytest.mark.parametrize("margin", [0, 1, -0.1, math.nan])
def test_a_margin_out_of_range_is_refused(margin):
    for function in (measured_thresholds, seed_thresholds):
        with pytest.raises(UserError, match=r"margin is .*; it must lie between 0 and 1"):
            function(evaluations([[[1.0, 0.7, 0.0, 0.0]]]), margin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="train_loss"), "no column 'train_loss'"),
        (lambda frame: frame.head(0), "has no rows"),
        (lambda frame: frame.iloc[1:], "10 examples, seed 0, iteration 0 .* missing"),
        (lambda frame: frame.assign(train_loss=np.nan), "no train_loss for 10 examples"),
        (lambda frame: frame.assign(train_loss=np.inf), "train_loss is inf .* losses are finite and at least 0"),
        (lambda frame: frame.assign(train_loss=-1.0), "train_loss is -1 "),
    ],
)
def test_incomplete_evaluations_are_refused(change, message):
    frame = evaluations([[[1.0, 0.7, 0.0, 0.0], [1.0, 0.7, 0.0, 0.0]]], (10, 20))
    for function in (measured_thresholds, seed_thresholds):
        with pytest.raises(UserError, match=message):
            function(change(frame))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda terms: terms.drop(columns="steps"), "table of terms has no column 'steps'"),
        (lambda terms: terms[terms["seed"] == 0], "no row for network 'net', method 'greedy', 10 examples, seed 1"),
        (lambda terms: pd.concat([terms, terms]), "more than one row for network 'net'"),
        (lambda terms: terms.assign(dense_loss=np.nan), "dense_loss is nan for network 'net'"),
        (lambda terms: terms.assign(smallest_singular_value=np.nan), "smallest_singular_value is nan"),
        (lambda terms: terms.assign(first_loss="unknown"), "first_loss is unknown"),
        (lambda terms: terms.assign(squared_diameter=-1.0), "squared_diameter is -1"),
    ],
)
def test_incomplete_terms_are_refused(change, message):
    frame = evaluations([[[1.0, 0.7, 0.0, 0.0]]] * 2)
    with pytest.raises(UserError, match=message):
        thresholds(frame, change(terms_of(frame)))
