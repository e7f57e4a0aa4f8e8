"""The required amount of pre-training: crossings worked out by hand, properties, intervals, refusals."""

import itertools
import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import required_pretraining, summary, weighted_quantile

CHECKPOINTS = (0, 100, 300)


def table(values, examples, iterations, network="net", width=10, method="greedy") -> pd.DataFrame:
    """Return evaluations from values (seeds, examples, iterations)."""
    values = np.asarray(values, dtype=float)
    cells = itertools.product(range(values.shape[0]), examples, iterations)
    rows = [
        {"seed": seed, "examples": size, "iteration": iteration, "train_accuracy": value}
        for (seed, size, iteration), value in zip(cells, values.ravel(), strict=True)
    ]
    frame = pd.DataFrame(rows).assign(experiment="e", network=network, width=width, method=method)
    return frame.assign(test_accuracy=frame["train_accuracy"] / 2)


@pytest.fixture
def known() -> pd.DataFrame:
    """Return one seed of four sizes; the target is 0.9, met by the full size at 100."""
    values = [[0.9, 0.95, 1.0], [0.5, 0.8, 1.0], [0.5, 0.6, 0.8], [0.5, 0.9, 0.85]]
    return table([values], (10, 20, 30, 40), CHECKPOINTS)


def test_crossings_worked_out_by_hand(known):
    required = required_pretraining(known).set_index("examples")
    assert required["target"].unique() == [0.9]
    # Size 20 climbs from 0.8 at 100 to 1.0 at 300: it passes 0.9 half-way.
    np.testing.assert_allclose(required["iteration"], [0, 200, np.nan, 100], rtol=1e-12)
    assert required["censored"].to_list() == ["at or before first", "no", "never", "no"]
    np.testing.assert_allclose(required["share_saved"], [1, 1 / 3, np.nan, 2 / 3], rtol=1e-12)
    assert (required["total_iterations"] == 300).all()


def test_columns_types_and_order(known):
    other = known.assign(network="a", width=5)
    deep = known.assign(network="resnet", width=np.nan)
    required = required_pretraining(pd.concat([deep, known, other]))
    assert list(required.columns) == [
        *("experiment", "network", "width", "method", "examples", "iteration", "low", "high", "censored"),
        *("target", "total_iterations", "share_saved", "seeds"),
    ]
    assert required["network"].unique().tolist() == ["a", "net", "resnet"]
    assert required["width"].isna().sum() == 4


def test_another_column_can_be_asked(known):
    required = required_pretraining(known, accuracy="test_accuracy")
    assert required["target"].unique() == [0.45]
    np.testing.assert_allclose(required["iteration"], [0, 200, np.nan, 100], rtol=1e-12)


def test_means_that_differ_only_by_rounding_are_equal():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in float64; a size with the same mean meets the target.
    small = [[0.0, 0.3], [0.0, 0.2], [0.0, 0.1]]
    full = [[0.0, 0.1], [0.0, 0.2], [0.0, 0.3]]
    values = np.stack([small, full], axis=1)
    required = required_pretraining(table(values, (10, 20), (0, 100)))
    assert required["iteration"].to_list() == [100, 100]


def test_one_seed_has_no_interval(known):
    required = required_pretraining(known)
    assert required[["low", "high"]].isna().all(axis=None)
    assert (required["seeds"] == 1).all()


def test_interval_of_two_seeds_worked_out_by_hand():
    # Alone, seed 0 needs 100 and seed 1 needs 50 at size 10; together 200/3.
    first = [[0.0, 0.5], [0.0, 0.5]]
    second = [[0.0, 1.0], [0.0, 0.5]]
    required = required_pretraining(table([first, second], (10, 20), (0, 100))).set_index("examples")
    assert required.loc[10, "iteration"] == pytest.approx(200 / 3)
    assert required.loc[10, ["low", "high"]].to_list() == [50, 100]
    assert required.loc[20, ["low", "high"]].to_list() == [100, 100]
    # With a confidence of 0.4 the ends lie at 30% and 70%, inside the middle resample's 50% of the weight.
    narrow = required_pretraining(table([first, second], (10, 20), (0, 100)), confidence=0.4)
    assert narrow.loc[0, ["low", "high"]].to_list() == pytest.approx([200 / 3, 200 / 3])


def test_interval_reaches_beyond_the_last_checkpoint_and_to_the_first():
    late = [[0.0, 0.2], [0.0, 0.5]]
    early = [[0.6, 0.9], [0.0, 0.5]]
    required = required_pretraining(table([late, early], (10, 20), (0, 100))).set_index("examples")
    assert required.loc[10, "low"] == 0
    assert required.loc[10, "high"] == np.inf
    assert required.loc[10, "censored"] == "no"


def test_sampled_interval_agrees_with_the_enumerated_one():
    generator = np.random.default_rng(0)
    values = np.sort(generator.uniform(0.5, 1, (5, 3, 6)), axis=2)
    frame = table(values, (10, 20, 30), range(0, 600, 100))
    exact = required_pretraining(frame, samples=126)
    drawn = required_pretraining(frame, samples=125, seed=1)
    finite = np.isfinite(exact["high"]) & np.isfinite(drawn["high"])
    assert finite.any()
    np.testing.assert_allclose(drawn.loc[finite, "low"], exact.loc[finite, "low"], atol=60)
    assert drawn.equals(required_pretraining(frame, samples=125, seed=1))


def test_coverage_of_the_interval_on_data_with_a_known_answer():
    # Accuracy rises along a line whose height varies by seed; the full size ends at 0.5 exactly, so the
    # requirement of the small size under true means is where 0.8 * t / 1000 reaches 0.5: at 625.
    generator = np.random.default_rng(1)
    iterations, covered = np.arange(0, 1001, 100), []
    for trial in range(200):
        small = np.clip((0.8 + generator.normal(0, 0.05, (12, 1))) * iterations / 1000, 0, 1)
        full = np.broadcast_to(0.5 * iterations / 1000, small.shape)
        frame = table(np.stack([small, full], axis=1), (10, 20), iterations)
        row = required_pretraining(frame, samples=400, seed=trial).iloc[0]
        covered.append(row["low"] <= 625 <= row["high"])
    assert 0.86 <= np.mean(covered) <= 0.99


def test_fast_enough_for_the_whole_sweep():
    generator = np.random.default_rng(0)
    frames = [
        table(generator.uniform(0.5, 1, (3, 11, 9)), range(1, 12), range(9), f"n{width}", width, method)
        for width in (5, 10, 20)
        for method in ("greedy", "random", "magnitude")
    ]
    start = time.perf_counter()
    required_pretraining(pd.concat(frames), samples=2000)
    assert time.perf_counter() - start < 2


def test_summary_of_seeds():
    row = summary(table([[[0.2, 0.5]], [[0.4, 0.5]]], (10,), (0, 100))).iloc[0]
    assert row[["mean", "min", "max", "seeds"]].to_list() == [0.3, 0.2, 0.4, 2]
    assert row["std"] == pytest.approx(0.1 * 2**0.5)
    assert summary(table([[[0.2, 0.5]]], (10,), (0, 100)))["std"].isna().all()


@pytest.mark.parametrize("probability", [0.01, 0.025, 0.5, 0.975, 1.0])
def test_weighted_quantile_is_that_of_the_repeated_values(probability):
    values = np.array([[3.0], [1.0], [np.inf], [2.0]])
    weights = np.array([3, 1, 2, 4])
    repeated = np.sort(np.repeat(values[:, 0], weights))
    expected = repeated[int(np.ceil(probability * len(repeated))) - 1]
    assert weighted_quantile(values, weights, probability)[0] == expected


def test_a_missing_cell_is_named(known):
    with pytest.raises(UserError, match=r"'net'.*'greedy'.*20 examples, seed 0, iteration 100") as error:
        required_pretraining(known[(known["examples"] != 20) | (known["iteration"] != 100)])
    assert "1 of 12" in str(error.value)


def test_an_empty_cell_is_named(known):
    known.loc[5, "train_accuracy"] = np.nan
    with pytest.raises(UserError, match="20 examples, seed 0, iteration 300"):
        required_pretraining(known)


def test_a_cell_that_is_there_twice_is_named(known):
    with pytest.raises(UserError, match="more than one row for 10 examples, seed 0, iteration 0"):
        summary(pd.concat([known, known.head(1)]))


def test_percentages_are_refused(known):
    with pytest.raises(UserError, match=r"shares in \[0, 1\]"):
        required_pretraining(known.assign(train_accuracy=99.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"accuracy": "accuracy"}, "no column 'accuracy'"),
    ],
)
def test_wrong_arguments_are_refused(known, arguments, message):
    with pytest.raises(UserError, match=message):
        required_pretraining(known, **arguments)


def test_an_empty_table_is_refused(known):
    with pytest.raises(UserError, match="no rows"):
        required_pretraining(known.head(0))


@st.composite
def accuracies(draw):
    """Return values (seeds, sizes, checkpoints) on a coarse grid, where ties are common."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5)))
    steps = draw(st.lists(st.integers(0, 20), min_size=math.prod(shape), max_size=math.prod(shape)))
    return np.array(steps).reshape(shape) / 20


def evaluated(values, **names):
    """Return a table with unequally spaced checkpoints."""
    return table(values, range(10, 10 + values.shape[1]), np.arange(values.shape[2]) ** 2 * 50, **names)


@settings(max_examples=60, deadline=None)
@given(accuracies())
def test_the_full_size_meets_its_own_target_where_it_is_best(values):
    full = required_pretraining(evaluated(values)).iloc[-1]
    means = np.round(values[:, -1].mean(axis=0), 12)
    assert full["iteration"] == means.argmax() ** 2 * 50
    assert full["censored"] == ("at or before first" if means.argmax() == 0 else "no")


@settings(max_examples=60, deadline=None)
@given(accuracies(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_seeds_changes_nothing(values, random):
    order = list(range(values.shape[0]))
    random.shuffle(order)
    shuffled = evaluated(values[order]).sample(frac=1, random_state=random.randrange(1000))
    pd.testing.assert_frame_equal(required_pretraining(evaluated(values)), required_pretraining(shuffled))


@settings(max_examples=60, deadline=None)
@given(accuracies(), st.data())
def test_higher_accuracies_never_raise_the_requirement(values, data):
    raised = values.copy()
    for seed, size, checkpoint in itertools.product(*map(range, values[:, :-1].shape)):
        raised[seed, size, checkpoint] = min(1, raised[seed, size, checkpoint] + data.draw(st.integers(0, 5)) / 20)
    before, after = (required_pretraining(evaluated(each)) for each in (values, raised))
    for column in ("iteration", "low", "high"):
        ends = [each[column].fillna(np.inf) for each in (before, after)]
        if column == "iteration" or len(values) > 1:
            assert (ends[1] <= ends[0] + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(accuracies())
def test_an_interval_holds_its_ends_in_order_and_within_reach(values):
    required = required_pretraining(evaluated(values))
    if len(values) > 1:
        assert (required["low"] <= required["high"]).all()
        reach = required[["low", "high"]].to_numpy()
        assert ((reach >= 0) & ((reach <= required["total_iterations"].iloc[0]) | np.isinf(reach))).all()
