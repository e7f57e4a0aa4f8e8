"""Subsets: exact shares, no repeats, functions of their key, uniform."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.data.randomness import random_generator
from goodsubnet.data.subsets import class_shares, draw_subset, hold_out
from goodsubnet.errors import UserError
from goodsubnet.settings.classes import check_subset_size
from goodsubnet.settings.datasets import source_settings

SRC = Path(__file__).parents[3] / "src"
MNIST_COUNTS = list(source_settings({"source": "mnist"}).classes().values())

class_counts = st.lists(st.integers(1, 60), min_size=1, max_size=8)
seeds = st.integers(0, 2**40)


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def check_draw(labels, quotas, examples, seed, shares):
    drawn = draw_subset(labels, examples, seed, shares, name="d")
    assert drawn.dtype == np.int64
    assert drawn.shape == (examples,)
    assert (np.diff(drawn) > 0).all()
    assert np.bincount(labels[drawn], minlength=len(quotas)).tolist() == quotas
    np.testing.assert_array_equal(drawn, draw_subset(labels, examples, seed, shares, name="d"))


@settings(deadline=None)
@given(class_counts, seeds, st.data())
def test_equal_shares(counts, seed, data):
    each = data.draw(st.integers(1, min(counts)))
    check_draw(labels_of(counts), [each] * len(counts), each * len(counts), seed, "equal")


@settings(deadline=None)
@given(class_counts, seeds, st.data())
def test_shares_of_the_data(counts, seed, data):
    total = sum(counts)
    examples = data.draw(st.integers(1, total))
    quotas = class_shares(counts, examples, "data")
    assert sum(quotas) == examples
    assert all(abs(quota - examples * count / total) < 1 for quota, count in zip(quotas, counts, strict=True))
    check_draw(labels_of(counts), quotas, examples, seed, "data")


def test_largest_remainders_first_then_lowest_class():
    assert class_shares([50, 30, 20], 11, "data") == [6, 3, 2]
    assert class_shares([1, 1, 1], 2, "data") == [1, 1, 0]
    assert class_shares([98, 1, 1], 10, "data") == [10, 0, 0]


def test_all_of_the_data():
    labels = labels_of([5, 3, 9])
    assert draw_subset(labels, 17, 0, "data", name="d").tolist() == list(range(17))


@settings(deadline=None)
@given(seeds, seeds)
def test_seeds_differ(one, other):
    labels = labels_of([100, 100])
    same = np.array_equal(draw_subset(labels, 50, one, name="d"), draw_subset(labels, 50, other, name="d"))
    assert same == (one == other)


def test_name_and_size_belong_to_the_key():
    labels = labels_of([100, 100])
    drawn = draw_subset(labels, 50, 0, name="d")
    assert not np.array_equal(drawn, draw_subset(labels, 50, 0, name="e"))
    assert not set(drawn) <= set(draw_subset(labels, 52, 0, name="d"))


def test_numpy_integers_are_integers():
    labels = labels_of([100, 100])
    np.testing.assert_array_equal(
        draw_subset(labels, np.int64(50), np.int32(3), name="d"), draw_subset(labels, 50, 3, name="d")
    )


def test_uniform():
    """Each example equally often: chi-squared within 4 standard deviations of its mean, for every class."""
    counts, each, trials = [20, 50], 10, 2000
    labels = labels_of(counts)
    hits = np.zeros(len(labels))
    pairs = np.zeros((20, 20))
    first_class = np.flatnonzero(labels == 0)
    for seed in range(trials):
        drawn = draw_subset(labels, 2 * each, seed, name="d")
        hits[drawn] += 1
        chosen = np.isin(first_class, drawn)
        pairs += np.outer(chosen, chosen)
    for label, count in enumerate(counts):
        share = each / count
        variance = trials * share * (1 - share)
        # Hits of a class are correlated (no replacement): count - 1 degrees of freedom.
        statistic = ((hits[labels == label] - trials * share) ** 2).sum() / variance * (count - 1) / count
        assert abs(statistic - (count - 1)) < 4 * np.sqrt(2 * (count - 1))
    # Pairs too: two examples are drawn together with probability (10 / 20) * (9 / 19).
    together = pairs[np.triu_indices(20, 1)] / trials
    expected = 0.5 * 9 / 19
    assert np.abs(together - expected).max() < 5 * np.sqrt(expected * (1 - expected) / trials)


def test_the_draw_does_not_change():
    """Recorded once: another stream of numpy's would silently change every result."""
    drawn = draw_subset(np.arange(1000) % 10, 20, 7, name="mnist")
    assert drawn.tolist() == [
        35,
        101,
        217,
        260,
        275,
        376,
        426,
        478,
        644,
        648,
        650,
        684,
        759,
        822,
        839,
        843,
        847,
        892,
        893,
        971,
    ]
    assert random_generator("a", 1).integers(0, 1000, 5).tolist() == [716, 984, 519, 773, 931]


def test_the_draw_is_the_same_in_every_process():
    program = (
        "import numpy as np; from goodsubnet.data.subsets import draw_subset\n"
        "print(*draw_subset(np.arange(1000) % 10, 20, 7, name='mnist'))"
    )
    for hash_seed in ("1", "2"):
        environ = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
        assert [int(index) for index in done.stdout.split()] == draw_subset(
            np.arange(1000) % 10, 20, 7, name="mnist"
        ).tolist()


def test_random_generator_keys():
    def first(*key):
        return random_generator(*key).integers(0, 2**63)

    assert first("a", 1) == first("a", np.int64(1))
    assert len({first("a", 1), first("a", "1"), first("a", 1, 0), first("a1"), first("a", 2), first()}) == 6
    assert first("ab", "c") != first("a", "bc")
    with pytest.raises(TypeError):
        random_generator("a", 0.5)


@pytest.mark.parametrize(
    ("counts", "examples", "shares", "parts"),
    [
        (MNIST_COUNTS, 1003, "equal", ["examples", "1003", "1000 or 1010", "multiple of 10"]),
        (MNIST_COUNTS, 60000, "equal", ["60000", "class (5) has only 5421", "allowed: 54210."]),
        (MNIST_COUNTS, 54211, "equal", ["54211", "allowed: 54210."]),
        (MNIST_COUNTS, 54205, "equal", ["54200 or 54210"]),
        (MNIST_COUNTS, 3, "equal", ["allowed: 10."]),
        (MNIST_COUNTS, 0, "equal", ["allowed: 10."]),
        (MNIST_COUNTS, -20, "equal", ["allowed: 10."]),
        ([3, 0], 2, "equal", ["class 1 has no training examples"]),
        (MNIST_COUNTS, 60001, "data", ["60001", "allowed: 60000."]),
        (MNIST_COUNTS, 0, "data", ["allowed: 1."]),
        (MNIST_COUNTS, 1000, "fair", ["shares", "'fair'", "equal, data"]),
    ],
)
def test_impossible_sizes(counts, examples, shares, parts):
    with pytest.raises(UserError) as error:
        check_subset_size(counts, examples, shares)
    assert all(part in str(error.value) for part in parts), str(error.value)
    with pytest.raises(UserError) as same:
        draw_subset(
            np.repeat(np.arange(len(counts)), counts) if min(counts) else np.array([1, 1]),
            examples,
            0,
            shares,
            name="d",
        )
    if min(counts):
        assert str(same.value) == str(error.value)


@pytest.mark.parametrize("examples", [10, 1000, 50000, 54210])
def test_possible_sizes(examples):
    check_subset_size(MNIST_COUNTS, examples, "equal")
    check_subset_size(MNIST_COUNTS, examples + 1, "data")


@settings(deadline=None)
@given(class_counts, seeds, st.floats(0.01, 0.99), st.data())
def test_held_out_examples_are_a_share_of_each_class(counts, seed, share, data):
    labels = labels_of(counts)
    indices = draw_subset(labels, data.draw(st.integers(1, sum(counts))), seed, "data", name="d")
    drawn = np.bincount(labels[indices], minlength=len(counts))
    quotas = [round(share * count) for count in drawn]
    if sum(quotas) == 0 or any(quota == count > 0 for quota, count in zip(quotas, drawn, strict=True)):
        with pytest.raises(UserError, match="validation_share"):
            hold_out(labels, indices, share, seed, name="d")
        return
    train, validation = hold_out(labels, indices, share, seed, name="d")
    assert train.dtype == validation.dtype == np.int64
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert sorted([*train, *validation]) == indices.tolist()
    assert np.bincount(labels[validation], minlength=len(counts)).tolist() == quotas


def test_what_is_held_out_is_a_function_of_name_size_and_seed():
    labels = labels_of([100, 100])
    indices = draw_subset(labels, 100, 0, name="d")
    held_out = hold_out(labels, indices, 0.3, 0, name="d")[1]
    np.testing.assert_array_equal(held_out, hold_out(labels, indices, 0.3, 0, name="d")[1])
    for other in (hold_out(labels, indices, 0.3, 1, name="d"), hold_out(labels, indices, 0.3, 0, name="e")):
        assert not np.array_equal(held_out, other[1])


def test_nothing_is_held_out_where_nothing_is_asked():
    indices = np.array([1, 4])
    train, validation = hold_out(np.zeros(5, int), indices, 0, 0, name="d")
    assert train.tolist() == [1, 4]
    assert validation.tolist() == []


def test_held_out_examples_are_drawn_uniformly():
    labels, hits = labels_of([40]), np.zeros(40)
    for seed in range(1000):
        hits[hold_out(labels, np.arange(40), 0.25, seed, name="d")[1]] += 1
    # 39 degrees of freedom; of a draw without replacement.
    statistic = ((hits - 250) ** 2).sum() / (1000 * 0.25 * 0.75) * 39 / 40
    assert abs(statistic - 39) < 4 * np.sqrt(2 * 39)


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.95, "0.95 of the 4 examples of class 1 leaves none"), (0.05, "0.05 of 8 examples holds none")],
)
def test_shares_that_cannot_be_held_out(share, said):
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    labels = np.concatenate([labels, np.full(30, 0)]) if share > 0.5 else labels
    with pytest.raises(UserError, match=f"validation_share: {said}"):
        hold_out(labels, np.arange(len(labels)), share, 0, name="d")
