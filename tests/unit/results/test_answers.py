"""From which checkpoint on pre-training is enough: worked out by hand, properties, intervals against Student's."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_analysis import table

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import student_interval
from goodsubnet.results.answers import AT_FIRST, ONE_CHECKPOINT, STILL_RISING, answers, sentence

CHECKPOINTS = (0, 100, 200, 400)


def test_worked_out_by_hand():
    values = [
        [[0.5, 0.8, 0.9, 0.9], [0.5, 0.6, 0.7, 0.9], [0.9, 0.9, 0.9, 0.9]],
        [[0.5, 0.9, 1.0, 0.98], [0.5, 0.6, 0.7, 1.0], [0.9, 0.9, 0.9, 0.9]],
    ]
    found = answers(table(values, (10, 20, 30), CHECKPOINTS), "train_accuracy", 0.02).set_index("examples")
    # Means of size 10: .5 .85 .95 .94; within .02 of .95 from 200 on.
    assert found["enough_at"].to_list() == [200, 400, 0]
    assert found["best_at"].to_list() == [200, 400, 0]
    np.testing.assert_allclose(found["accuracy"], [0.95, 0.95, 0.9], rtol=1e-12)
    np.testing.assert_allclose(found["share_saved"], [0.5, 0, 1], rtol=1e-12)
    np.testing.assert_allclose(found["accuracy_lost"], 0, atol=1e-12)
    assert found["note"].to_list() == ["", STILL_RISING, AT_FIRST]
    assert (found["total_iterations"] == 400).all()


def test_the_margin_is_spent_where_it_saves_something():
    values = [[[0.5, 0.89, 0.895, 0.9]]]
    for margin, enough, lost in ((0.0, 400, 0), (0.005, 200, 0.005), (0.01, 100, 0.01), (0.5, 0, 0.4)):
        row = answers(table(values, (10,), CHECKPOINTS), "train_accuracy", margin).iloc[0]
        assert row["enough_at"] == enough
        assert row["accuracy_lost"] == pytest.approx(lost, abs=1e-12)
        assert np.isnan(row["low"])
        assert np.isnan(row["lost_high"])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 5), st.integers(1, 3), st.integers(2, 5), st.floats(0, 0.3), st.integers(0, 2**32 - 1)
)  # seeds, sizes, checkpoints, margin
def test_the_answer_keeps_its_promise(seeds, sizes, checkpoints, margin, seed):
    values = np.random.default_rng(seed).random((seeds, sizes, checkpoints)).round(3)
    marks = tuple(range(0, 100 * checkpoints, 100))
    found = answers(table(values, tuple(range(10, 10 + sizes)), marks), "train_accuracy", margin)
    means = values.mean(axis=0)
    for row, curve in zip(found.itertuples(), means, strict=True):
        place = marks.index(row.enough_at)
        assert curve[place] >= curve.max() - margin - 1e-9
        assert (curve[:place] < curve.max() - margin + 1e-9).all()
        assert row.low <= row.enough_at <= row.high
        assert {row.low, row.high} <= set(marks)
        assert 0 <= row.accuracy_lost <= margin + 1e-9


def test_of_a_mean_the_interval_is_students():
    values = np.random.default_rng(0).normal(3, 2, (5, 4))
    low, high = student_interval(lambda counts: counts @ values / 5, 5)
    expected = stats.t.interval(0.95, 4, values.mean(axis=0), stats.sem(values))
    np.testing.assert_allclose([low, high], expected, rtol=1e-12)


def test_the_interval_of_random_resamples_is_near_students():
    values = np.random.default_rng(1).normal(0, 1, (12, 1))
    low, high = student_interval(lambda counts: counts @ values / 12, 12, samples=20_000)
    expected = stats.t.interval(0.95, 11, values.mean(axis=0), stats.sem(values))
    # The standard error of 20,000 draws is known to 0.5%; four times that.
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.02)


@pytest.mark.parametrize("trials", [3, 5])
def test_students_interval_covers_what_it_promises(trials):
    """Means of normal trials, 3,000 at once: the interval is of each column."""
    values = np.random.default_rng(2).normal(0, 1, (trials, 3000))
    low, high = student_interval(lambda counts: counts @ values / trials, trials)
    covered = ((low <= 0) & (high >= 0)).mean()
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 3000))


def test_one_trial_has_no_interval_and_an_infinite_resample_none_either():
    assert np.isnan(student_interval(lambda counts: counts @ np.ones((1, 2)), 1)).all()
    values = np.array([[1.0, 1.0], [2.0, np.inf]])
    with np.errstate(invalid="ignore"):
        low, high = student_interval(lambda counts: (counts[:, :, None] * values).sum(axis=1), 2)
    assert np.isfinite([low[0], high[0]]).all()
    assert np.isnan([low[1], high[1]]).all()
    with pytest.raises(UserError, match="confidence"):
        student_interval(lambda counts: counts, 2, confidence=1.0)


def test_the_sentence_is_of_the_largest_size_and_the_network_that_needs_most():
    quick = table([[[0.5, 0.9, 0.9, 0.9]], [[0.5, 0.9, 0.9, 0.9]]], (1000,), CHECKPOINTS, network="quick", width=5)
    slow = table([[[0.5, 0.6, 0.9, 0.9]], [[0.5, 0.6, 0.9, 0.9]]], (1000,), CHECKPOINTS, network="slow")
    small = table([[[0.5, 0.6, 0.7, 0.9]], [[0.5, 0.6, 0.7, 0.9]]], (10,), CHECKPOINTS, network="slow")
    other = slow.assign(method="random", train_accuracy=lambda rows: rows["train_accuracy"] * rows["iteration"] / 400)
    found = answers(pd.concat([quick, slow, small, other]), "train_accuracy", 0.01)
    assert sentence(found, "greedy") == (
        "e: enough at iteration 200 of 400 (95% interval 100 to 200), 50% of the pre-training saved, "
        "as accurate as the best checkpoint (slow, greedy, 1,000 examples)"
    )
    assert "train longer" in sentence(found, "random")
    flat = answers(table([[[0.5, 0.5, 0.5, 0.5]]], (10,), CHECKPOINTS), "train_accuracy", 0.01)
    assert "as good as any later one" in sentence(flat, "greedy")


def test_one_checkpoint_answers_nothing():
    found = answers(table([[[0.9]], [[0.8]]], (10,), (0,)), "train_accuracy", 0.01)
    assert found["note"].to_list() == [ONE_CHECKPOINT]
    assert np.isnan(found["share_saved"]).all()
    assert "says nothing" in sentence(found, "greedy")


def test_a_missing_cell_is_refused():
    whole = table([[[0.5, 0.9, 0.9, 0.9]], [[0.5, 0.9, 0.9, 0.9]]], (10,), CHECKPOINTS)
    with pytest.raises(UserError, match="cells are missing"):
        answers(whole.drop(3), "train_accuracy", 0.01)
