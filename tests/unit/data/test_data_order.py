"""Batches: functions of (seed, iteration, examples, batch size), however they are reached."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.data import order
from goodsubnet.data.order import BatchOrder, epoch_order

sizes = st.integers(1, 200)
seeds = st.integers(0, 2**40)


@settings(deadline=None)
@given(seeds, st.integers(0, 5), sizes, sizes)
def test_an_epoch_holds_each_example_once(seed, epoch, examples, batch_size):
    batches = BatchOrder(seed, examples, batch_size)
    start = epoch * batches.batches_per_epoch
    drawn = [batches.indices(start + batch) for batch in range(batches.batches_per_epoch)]
    assert sorted(np.concatenate(drawn).tolist()) == list(range(examples))
    assert all(len(batch) == min(batch_size, examples) for batch in drawn[:-1])
    assert 1 <= len(drawn[-1]) <= batch_size
    if batch_size < examples:
        np.testing.assert_array_equal(np.concatenate(drawn), epoch_order(seed, epoch, examples))


@settings(deadline=None)
@given(seeds, sizes, sizes, st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_a_batch_is_the_same_however_reached(seed, examples, batch_size, iterations):
    batches = BatchOrder(seed, examples, batch_size)
    for iteration in iterations:
        alone = BatchOrder(seed, examples, batch_size).indices(iteration)
        np.testing.assert_array_equal(batches.indices(iteration), alone)


def test_resumed_equals_straight():
    straight = BatchOrder(3, 50, 8)
    batches = [straight.indices(iteration) for iteration in range(40)]
    resumed = BatchOrder(3, 50, 8)
    for iteration in range(17, 40):
        np.testing.assert_array_equal(resumed.indices(iteration), batches[iteration])


@settings(deadline=None)
@given(seeds, sizes, st.integers(0, 50))
def test_full_batches(seed, examples, iteration):
    for batch_size in ("full", examples, examples + 1):
        assert BatchOrder(seed, examples, batch_size).indices(iteration).tolist() == list(range(examples))


def test_epochs_and_seeds_differ():
    orders = {tuple(epoch_order(seed, epoch, 100)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_the_order_does_not_change():
    """Recorded once: another stream of numpy's would silently change every result."""
    assert epoch_order(0, 0, 10).tolist() == [1, 5, 9, 3, 2, 0, 4, 8, 7, 6]
    assert BatchOrder(1, 10, 4).indices(5).tolist() == [3, 8]


def test_one_permutation_an_epoch(monkeypatch):
    drawn = []
    monkeypatch.setattr(order, "epoch_order", lambda *key: drawn.append(key) or epoch_order(*key))
    batches = BatchOrder(0, 100, 8)
    for iteration in range(39):
        batches.indices(iteration)
    assert drawn == [(0, 0, 100), (0, 1, 100), (0, 2, 100)]


def test_changing_a_batch_changes_no_other():
    batches = BatchOrder(0, 20, "full")
    batches.indices(0)[:] = 0
    assert batches.indices(1).tolist() == list(range(20))


@pytest.mark.parametrize(("examples", "batch_size"), [(0, 1), (5, 0), (5, -1), (5, "half")])
def test_impossible_sizes(examples, batch_size):
    with pytest.raises(ValueError, match="must be"):
        BatchOrder(0, examples, batch_size)


def test_negative_iteration():
    with pytest.raises(ValueError, match="iteration"):
        BatchOrder(0, 10, 2).indices(-1)
