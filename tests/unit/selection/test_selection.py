"""Greedy selection against a plain float64 loop over all candidates, summed exactly."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.selection.losses import losses_along, mean_loss
from goodsubnet.selection.trace import Selection

LOSSES = ("squared", "logistic")


def plain_score(phi, total, y, step, loss):
    """The summed loss (logistic) or the part of it that differs between candidates (squared), exactly summed."""
    if loss == "squared":
        return math.fsum(p * (2 * u - 2 * step * t + p) for p, u, t in zip(phi, total, y, strict=True))
    signed = [(-1 if t else 1) * (u + p) / step for p, u, t in zip(phi, total, y, strict=True)]
    return math.fsum(max(t, 0.0) + math.log1p(math.exp(-abs(t))) for t in signed)


def plain_selection(outputs, y, steps, loss):
    columns = [column.tolist() for column in np.asarray(outputs, np.float64).T]
    total, chosen = np.zeros(len(y)), []
    for step in range(1, steps + 1):
        scores = [plain_score(phi, total.tolist(), y.tolist(), step, loss) for phi in columns]
        chosen.append(scores.index(min(scores)))
        total += columns[chosen[-1]]
    return chosen


def agrees(outputs, y, steps, loss):
    found = greedy_forward_selection(outputs, y, steps, loss)
    return found.neurons.tolist() == plain_selection(outputs, y, steps, loss)


def targets_for(rng, examples, loss):
    y = rng.integers(0, 2, examples).astype(float)
    return y if loss == "logistic" else 2 * y - 1


def relu_outputs(rng, examples, neurons, scale=1.0, dtype=np.float32):
    inputs = rng.normal(size=(examples, 8))
    hidden = np.maximum(inputs @ rng.normal(size=(8, neurons)), 0) * rng.normal(size=neurons)
    return (scale * hidden).astype(dtype)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (60, 37), (517, 21)])
def test_chooses_what_the_plain_loop_chooses(loss, dtype, scale, shape):
    rng = np.random.default_rng([*shape, int(scale * 10)])
    outputs = relu_outputs(rng, *shape, scale, dtype)
    assert agrees(np.asfortranarray(outputs), targets_for(rng, shape[0], loss), 12, loss)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), loss=st.sampled_from(LOSSES), dtype=st.sampled_from([np.float32, np.float64]), order=st.booleans()
)
def test_any_small_problem(data, loss, dtype, order):
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    width = 32 if dtype is np.float32 else 64
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-50, 50, width=width, allow_subnormal=False))
    outputs = data.draw(arrays.arrays(dtype, shape, elements=numbers))
    y = data.draw(arrays.arrays(np.int64, shape[:1], elements=st.integers(0, 1))).astype(float)
    y = y if loss == "logistic" else 2 * y - 1
    found = greedy_forward_selection(np.asfortranarray(outputs) if order else outputs, y, 5, loss)
    # Two sums of logarithms may differ by rounding alone: then either is right; anything more is not.
    total = np.zeros(shape[0])
    for step, neuron in enumerate(found.neurons, start=1):
        scores = [plain_score(phi, total, y, step, loss) for phi in outputs.T.astype(float)]
        sizes = abs(outputs.astype(float)) * (2 * abs(total[:, None]) + 2 * step * abs(y[:, None]) + abs(outputs))
        slack = 1e-15 * (sizes.sum(0).max() if loss == "squared" else 60 * max(scores))
        assert scores[neuron] <= min(scores) + slack
        assert scores.index(scores[neuron]) == neuron
        total += outputs[:, neuron]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(4))
def test_true_ties_go_to_the_lowest_index(loss, seed):
    rng = np.random.default_rng(seed)
    y = targets_for(rng, 40, loss)
    outputs = rng.integers(-2, 3, (40, 6)).astype(np.float32)
    # Permuting the examples of one class changes a column but not its loss at the first step.
    moved = np.arange(40)
    moved[y > 0] = rng.permutation(moved[y > 0])
    outputs = np.concatenate((outputs, outputs[moved], outputs), axis=1)
    chosen = greedy_forward_selection(outputs, y, 10, loss).neurons
    assert chosen.tolist() == plain_selection(outputs, y, 10, loss)
    assert chosen[0] < 6
    assert chosen.max() < 12
    backwards = greedy_forward_selection(outputs[:, ::-1], y, 1, loss).neurons
    assert backwards.tolist() == plain_selection(outputs[:, ::-1], y, 1, loss)


@pytest.mark.parametrize("loss", LOSSES)
def test_dead_neurons_by_the_hundred(loss):
    rng = np.random.default_rng(5)
    outputs = np.zeros((300, 700), np.float32)
    outputs[:, 600:] = relu_outputs(rng, 300, 100, 5.0)
    outputs[:, 3:600:2] = -0.0
    outputs[:, 650] = outputs[:, 620]
    y = targets_for(rng, 300, loss)
    found = greedy_forward_selection(outputs, y, 8, loss).neurons
    alive = np.r_[0, 600:700]
    assert found.tolist() == alive[plain_selection(outputs[:, alive], y, 8, loss)].tolist()
    only_dead = greedy_forward_selection(np.zeros((50, 400), np.float32), y[:50], 3, loss)
    assert only_dead.neurons.tolist() == [0, 0, 0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e3, 1e6, 1e18])
def test_huge_outputs(loss, scale):
    rng = np.random.default_rng(6)
    outputs = relu_outputs(rng, 50, 30, scale)
    assert agrees(outputs, targets_for(rng, 50, loss), 6, loss)


@pytest.mark.parametrize("loss", LOSSES)
def test_perfect_fit_leaves_only_underflow(loss):
    y = np.tile([0.0, 1.0], 30)
    signs = 2 * y - 1
    outputs = np.stack([900 * signs, 1000 * signs, -signs, 1000 * signs], axis=1)
    assert agrees(outputs, y if loss == "logistic" else 950 * signs, 5, loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("difference", [1e-6, 1e-9])
def test_differences_too_small_for_float32(loss, difference):
    rng = np.random.default_rng(7)
    base = rng.normal(size=(400, 1))
    outputs = base + difference * rng.normal(size=(400, 25))
    y = (base[:, 0] > 0).astype(float)
    assert agrees(outputs, y, 6, loss)
    assert greedy_forward_selection(outputs, y, 1, loss).neurons[0] > 0


@pytest.fixture(scope="module")
def digits():
    """Random ReLU features of real images, the output weights fitted, so that selection has something to find."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(8)
    hidden = np.maximum(images / 16 @ rng.normal(size=(64, 150)) / 4, 0)
    y = (labels < 5).astype(float)
    weights = np.linalg.solve(hidden.T @ hidden + np.eye(150), hidden.T @ (8 * y - 4)) * 150
    return (hidden * weights).astype(np.float32), y


@pytest.mark.parametrize("loss", LOSSES)
def test_realistic_network_on_any_path(digits, loss):
    outputs, y = digits
    y = y if loss == "logistic" else 2 * y - 1
    rows = np.ascontiguousarray(outputs.T)
    wanted = greedy_forward_selection(rows.T, y, 60, loss, threads=1)
    assert len(set(wanted.neurons.tolist())) > 10

    total, exact = np.zeros(len(y)), outputs.astype(float)
    for step, neuron in enumerate(wanted.neurons[:30], start=1):
        z = (total[:, None] + exact) / step
        each = (z - y[:, None]) ** 2 if loss == "squared" else np.logaddexp(0, z) - y[:, None] * z
        assert np.argmin(each.sum(0)) == neuron
        total += exact[:, neuron]

    for again in (
        greedy_forward_selection(rows.T, y, 60, loss, threads=2),
        greedy_forward_selection(np.ascontiguousarray(outputs), y, 60, loss),
        greedy_forward_selection(np.repeat(outputs, 2, axis=0)[::2, ::1], y, 60, loss),
        greedy_forward_selection(outputs.astype(np.float64), y, 60, loss),
    ):
        assert again.neurons.tolist() == wanted.neurons.tolist()
        assert again.losses.tolist() == wanted.losses.tolist()
    tensors = greedy_forward_selection(torch.from_numpy(rows).T, torch.from_numpy(y), 60, loss)
    assert isinstance(tensors.neurons, torch.Tensor)
    assert tensors.neurons.dtype == torch.int64
    assert tensors.losses.dtype == torch.float64
    assert tensors.neurons.tolist() == wanted.neurons.tolist()
    assert tensors.distinct == wanted.distinct


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_those_of_the_prefix_averages(digits, loss):
    outputs, y = digits
    found = greedy_forward_selection(outputs, y, 40, loss)
    averages = np.cumsum(outputs[:, found.neurons].astype(float), axis=1) / np.arange(1, 41)
    each = (averages - y[:, None]) ** 2 / 2
    if loss == "logistic":
        each = np.logaddexp(0, np.where(y[:, None] > 0, -averages, averages))
    np.testing.assert_allclose(found.losses, each.mean(0), rtol=1e-12)
    np.testing.assert_allclose(losses_along(outputs, y, found.neurons, loss), each.mean(0), rtol=1e-12)
    assert losses_along(torch.from_numpy(outputs), y, found.neurons, loss).tolist() == found.losses.tolist()
    assert mean_loss(averages[:, -1], y, loss) == pytest.approx(each[:, -1].mean(), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_stops_at_distinct_neurons(digits, loss):
    outputs, y = digits
    found = greedy_forward_selection(outputs, y, None, loss, distinct=9)
    assert found.distinct == 9
    assert len(set(found.neurons[:-1].tolist())) == 8
    longer = greedy_forward_selection(outputs, y, len(found.neurons) + 3, loss)
    assert longer.neurons[: len(found.neurons)].tolist() == found.neurons.tolist()


def test_distinct_never_reached_stops_at_max_steps():
    outputs, seen = np.stack([np.ones(4), -np.ones(4)], axis=1), []
    selection = greedy_forward_selection(
        outputs, np.ones(4), loss="logistic", distinct=2, max_steps=50, after_step=seen.append
    )
    assert selection.neurons.tolist() == [0] * 50
    assert selection.distinct == 1
    assert seen == list(range(1, 51))
    with pytest.raises(ValueError, match="only 2 neurons"):
        greedy_forward_selection(outputs, np.ones(4), loss="logistic", distinct=3)


GOOD = np.ones((4, 2), np.float32), np.array([0.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("outputs", "targets", "arguments", "message"),
    [
        (np.full((4, 2), np.nan, np.float32), GOOD[1], {"steps": 1}, "NaN"),
        (np.where(np.eye(4, 2) > 0, np.inf, 1.0), GOOD[1], {"steps": 1}, "infinite"),
        (np.full((4, 2), 1e308), GOOD[1], {"steps": 3, "loss": "squared"}, "overflow"),
        (np.full((4, 2), 1e308), GOOD[1], {"steps": 3, "loss": "logistic"}, "overflow"),
        (GOOD[0], GOOD[1] * 2, {"steps": 1}, "0 or 1"),
        (GOOD[0], GOOD[1] * np.nan, {"steps": 1, "loss": "squared"}, "targets contain NaN"),
        (GOOD[0], GOOD[1][:3], {"steps": 1}, "one per example"),
        (GOOD[0][0], GOOD[1], {"steps": 1}, "examples, neurons"),
        (GOOD[0][:, :0], GOOD[1], {"steps": 1}, "at least one"),
        (GOOD[0].astype(int), GOOD[1], {"steps": 1}, "float32 or float64"),
        (GOOD[0].tolist(), GOOD[1], {"steps": 1}, "numpy array or a torch tensor"),
        (GOOD[0], GOOD[1], {}, "exactly one"),
        (GOOD[0], GOOD[1], {"steps": 1, "distinct": 1}, "exactly one"),
        (GOOD[0], GOOD[1], {"steps": 0}, "whole number"),
        (GOOD[0], GOOD[1], {"steps": 1.5}, "whole number"),
        (GOOD[0], GOOD[1], {"steps": 1, "loss": "hinge"}, "squared, logistic"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_says_what_is_wrong(outputs, targets, arguments, message):
    with pytest.raises(ValueError, match=message):
        greedy_forward_selection(outputs, targets, **arguments)


def test_selection_is_frozen():
    found = Selection(np.array([1, 1, 2]), np.zeros(3), np.array([1, 1, 2]), np.arange(2.0, 5.0))
    assert found.distinct == 2
    with pytest.raises(AttributeError):
        found.neurons = None
