"""Backward elimination against a plain float64 loop over all neurons that are left, summed exactly."""

import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_selection import LOSSES, plain_score, relu_outputs, targets_for
from test_selection_bounds import exact_losses, run_python

from goodsubnet.selection.backward import LogisticElimination, backward_elimination
from goodsubnet.selection.forward import columns_of
from goodsubnet.selection.losses import mean_loss


def plain_elimination(outputs, y, size, loss):
    columns = np.asarray(outputs, np.float64).T
    left, total = list(range(len(columns))), columns.sum(0)
    while len(left) > size:
        scores = [plain_score(-columns[n], total, y, len(left) - 1, loss) for n in left]
        total -= columns[left.pop(scores.index(min(scores)))]
    return left


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
@pytest.mark.parametrize(("examples", "neurons"), [(1, 9), (60, 37), (517, 12)])
def test_removes_what_the_plain_loop_removes(loss, dtype, scale, examples, neurons):
    rng = np.random.default_rng([examples, int(scale * 10)])
    outputs, y = relu_outputs(rng, examples, neurons, scale, dtype), targets_for(rng, examples, loss)
    for size in (1, 4):
        found = backward_elimination(outputs, y, size, loss)
        assert found.neurons.tolist() == plain_elimination(outputs, y, size, loss)
        assert found.losses[-1] == pytest.approx(mean_loss(outputs[:, found.neurons].mean(1, np.float64), y, loss))


@settings(max_examples=30, deadline=None)
@given(data=st.data(), loss=st.sampled_from(LOSSES))
def test_any_small_problem_of_integers(data, loss):
    """Sums of integers are exact, so ties are true ties; two sums of logarithms may still differ by rounding alone."""
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(2, 6)))
    outputs = data.draw(arrays.arrays(np.float32, shape, elements=st.integers(-3, 3).map(float)))
    y = data.draw(arrays.arrays(np.int64, shape[:1], elements=st.integers(0, 1))).astype(float)
    y = y if loss == "logistic" else 2 * y - 1
    columns, left = outputs.T.astype(float), list(range(shape[1]))
    orders = [set(backward_elimination(outputs, y, size, loss).neurons.tolist()) for size in range(shape[1] - 1, 0, -1)]
    for after in orders:
        (gone,) = set(left) - after
        total, step = columns[left].sum(0), len(left) - 1
        scores = {n: plain_score(-columns[n], total, y, step, loss) for n in left}
        assert scores[gone] <= min(scores.values()) + (0 if loss == "squared" else 1e-14 * max(scores.values()))
        assert gone == min(n for n in left if scores[n] == scores[gone])
        left.remove(gone)


@pytest.mark.parametrize("loss", LOSSES)
def test_copies_and_dead_neurons_go_one_by_one_the_lowest_first(loss):
    rng = np.random.default_rng(3)
    outputs = np.zeros((40, 45), np.float32)
    outputs[:, ::5] = relu_outputs(rng, 40, 9, 4.0)
    outputs[:, 1:30:5] = -0.0
    outputs[:, [7, 23, 41]] = outputs[:, [20]]
    y = targets_for(rng, 40, loss)
    for size in (25, 3):
        found = backward_elimination(outputs, y, size, loss).neurons.tolist()
        assert found == plain_elimination(outputs, y, size, loss)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_trace_goes_from_the_dense_network_to_the_size(loss):
    rng = np.random.default_rng(4)
    outputs, y, seen = relu_outputs(rng, 50, 12), targets_for(rng, 50, loss), []
    found = backward_elimination(outputs, y, 4, loss, after_step=seen.append)
    assert seen == list(range(9))
    assert found.sizes.tolist() == [12, 11, 10, 9, 8, 7, 6, 5, 4]
    np.testing.assert_allclose(found.passes, 1 + np.cumsum([0, 12, 11, 10, 9, 8, 7, 6, 5]) / 12)
    for size, value in zip(found.sizes, found.losses, strict=True):
        left = plain_elimination(outputs, y, size, loss)
        assert value == pytest.approx(mean_loss(outputs[:, left].mean(1, np.float64), y, loss), rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_every_bound_of_the_logistic_loss_holds(scale):
    rng = np.random.default_rng(int(scale))
    outputs = (scale * rng.normal(size=(700, 40)) * rng.random(40)).astype(np.float32)
    search = LogisticElimination(*columns_of(-outputs, rng.integers(0, 2, 700), "logistic"))
    while search.step > 1:
        exact = exact_losses(search)
        for lower, upper in (search.taylor_bounds(), search.exact_bounds(search.candidates)):
            assert (lower <= exact).all()
            assert (exact <= upper).all()
        search.remove(int(rng.choice(search.candidates)))


@pytest.mark.parametrize("loss", LOSSES)
def test_threads_layout_and_tensors_change_nothing(loss):
    rng = np.random.default_rng(6)
    outputs, y = relu_outputs(rng, 200, 40), targets_for(rng, 200, loss)
    wanted = backward_elimination(outputs, y, 7, loss, threads=1)
    for other, threads in ((np.asfortranarray(outputs), 2), (torch.from_numpy(outputs), None)):
        found = backward_elimination(other, y, 7, loss, threads=threads)
        assert found.neurons.tolist() == wanted.neurons.tolist()
        assert found.losses.tolist() == wanted.losses.tolist()


def test_the_accelerators_path_removes_the_same():
    """On the processor, with Triton's interpreter in the place of its compiler."""
    code = """
import numpy as np, torch
from goodsubnet.selection import accelerator
from goodsubnet.selection.backward import LogisticElimination, SquaredElimination, backward_elimination
rng = np.random.default_rng(0)
outputs = (np.maximum(rng.normal(size=(99, 6)) @ rng.normal(size=(6, 9)), 0) * rng.normal(size=9)).astype(np.float32)
outputs[:, [3, 7]] = 0
y = rng.integers(0, 2, 99).astype(float)
for loss, kind in (("squared", SquaredElimination), ("logistic", LogisticElimination)):
    wanted = backward_elimination(outputs, y, 2, loss).neurons.tolist()
    search, left = kind(accelerator.DeviceColumns(torch.from_numpy(-outputs).T, y), y), set(range(9))
    while len(left) > 2:
        neuron = search.best()
        search.remove(neuron)
        left.remove(neuron)
    assert sorted(left) == wanted
"""
    run_python(code, PYTHONPATH=os.pathsep.join(sys.path), TRITON_INTERPRET="1")


@pytest.mark.parametrize(
    ("outputs", "size", "message"),
    [
        (np.full((4, 2), np.nan, np.float32), 1, "NaN"),
        (np.full((4, 2), 1e308), 1, "overflow"),
        (np.ones((4, 2)), 0, "from 1 to the 2 neurons"),
        (np.ones((4, 2)), 3, "from 1 to the 2 neurons"),
    ],
)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.filterwarnings("error")
def test_says_what_is_wrong(outputs, size, message, loss):
    with pytest.raises(ValueError, match=message):
        backward_elimination(outputs, np.array([0.0, 1.0, 0.0, 1.0]), size, loss)
