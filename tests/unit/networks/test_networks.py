"""The two-layer network, its training and its subnetworks, against formulas written out in float64."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.order import BatchOrder
from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import (
    forward,
    forward_in_blocks,
    initial_weights,
    neuron_outputs,
    subnetwork_forward,
)
from goodsubnet.pruning.contract import neuron_method
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings.methods import method_settings
from goodsubnet.training.loop import LOSSES, tensor_batches, train
from goodsubnet.training.losses import accuracy, mean_loss, targets_of

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}
SLOPES = {"relu": lambda x: (x > 0).astype(float), "tanh": lambda x: 1 - np.tanh(x) ** 2}


def example(width=7, inputs=5, examples=11, seed=0):
    generator = np.random.default_rng(seed)
    weights = initial_weights(width, inputs, "scaled", generator)
    rows = generator.random((examples, inputs)).astype(np.float32)
    return weights, rows, (generator.random(examples) < 0.5).astype(np.int64)


@pytest.mark.parametrize("as_torch", [False, True])
@pytest.mark.parametrize("width", [5, 33, 700])
def test_outputs_of_a_share_are_those_of_the_whole_to_the_last_bit(width, as_torch):
    rng = np.random.default_rng(width)
    weights = initial_weights(width, 50, "scaled", rng)
    rows = rng.random((90, 50), np.float32)
    if as_torch:
        weights, rows = {name: torch.from_numpy(w) for name, w in weights.items()}, torch.from_numpy(rows)
    whole = np.asarray(neuron_outputs(weights, rows, "relu"))
    for cuts in ([0, 1, width], [0, width // 3, width // 2, width], [0, *sorted(rng.integers(0, width, 4)), width]):
        parts = [neuron_outputs(weights, rows, "relu", *map(int, pair)) for pair in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate([np.asarray(part) for part in parts], axis=1), whole)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("as_torch", [False, True])
def test_outputs_are_the_papers_formulas(activation, as_torch):
    weights, rows, _ = example()
    phi = weights["b"].astype(float) * ACTIVATIONS[activation](rows.astype(float) @ weights["a"].T.astype(float))
    given_weights = {name: torch.from_numpy(w) for name, w in weights.items()} if as_torch else weights
    given_rows = torch.from_numpy(rows) if as_torch else rows
    outputs = neuron_outputs(given_weights, given_rows, activation)
    assert outputs.shape == (11, 7)
    assert outputs.T.is_contiguous() if as_torch else outputs.T.flags.c_contiguous
    np.testing.assert_allclose(np.asarray(outputs), phi, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(forward(given_weights, given_rows, activation)), phi.mean(1), rtol=1e-4)
    in_blocks = forward_in_blocks(given_weights, given_rows, activation, cells=20)
    np.testing.assert_allclose(in_blocks, phi.mean(1), rtol=1e-4, atol=1e-7)


def test_a_subnetwork_averages_over_the_steps():
    """Eq. (3) on a multiset: a neuron that was chosen three times of ten weighs three tenths."""
    weights, rows, _ = example()
    multiset = np.array([2, 5, 2, 2, 0, 5, 6, 6, 0, 0])
    phi = neuron_outputs(weights, rows, "relu")
    neurons, counts = np.unique(multiset, return_counts=True)
    small = {name: w[neurons] for name, w in weights.items()}
    got = subnetwork_forward(small, (counts / len(multiset)).astype(np.float32), rows, "relu")
    np.testing.assert_allclose(got, phi[:, multiset].mean(1), rtol=1e-5)


@pytest.mark.parametrize("initialisation", ["scaled", "unit"])
def test_initial_weights_have_the_stated_spread(initialisation):
    weights = initial_weights(4000, 100, initialisation, random_generator("test", 1))
    assert weights["a"].dtype == weights["b"].dtype == np.float32
    expected = 0.1 if initialisation == "scaled" else 1.0
    assert weights["a"].std() == pytest.approx(expected, rel=0.01)
    assert weights["b"].std() == pytest.approx(1, rel=0.05)
    assert abs(weights["a"].mean()) < 4 * expected / np.sqrt(4e5)


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("batch_size", [4, "full"])
def test_training_is_gradient_descent_on_the_mean_loss(loss, activation, batch_size):
    """Against the gradients written out in float64, over more than an epoch."""
    weights, rows, labels = example()
    y, width, rate = targets_of(labels, loss), 7, 0.3
    order = BatchOrder(3, len(rows), batch_size)
    a, b = weights["a"].astype(float), weights["b"].astype(float)
    for iteration in range(7):
        batch = order.indices(iteration)
        x, wanted = rows[batch].astype(float), y[batch]
        before = x @ a.T
        hidden = ACTIVATIONS[activation](before)
        z = hidden @ b / width
        slope = (expit(z) - wanted if loss == "logistic" else z - wanted) / len(batch) / width
        step_b = hidden.T @ slope
        step_a = ((slope[:, None] * b) * SLOPES[activation](before)).T @ x
        a, b = a - rate * width * step_a, b - rate * width * step_b
    parameters = {name: torch.tensor(w).requires_grad_() for name, w in weights.items()}
    seen = []
    for start, stop in ((0, 3), (3, 7)):
        train(
            torch.optim.SGD(parameters.values(), lr=rate * width),
            lambda x, targets: LOSSES[loss](forward(parameters, x, activation), targets),
            tensor_batches(
                torch.from_numpy(rows), torch.from_numpy(y), BatchOrder(3, len(rows), batch_size), start, stop
            ),
            start,
            stop,
            seen.append,
        )
    assert seen == list(range(1, 8))
    np.testing.assert_allclose(parameters["a"].detach().numpy(), a, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(parameters["b"].detach().numpy(), b, rtol=2e-4, atol=1e-6)


def test_divergence_is_an_error():
    weights, rows, labels = example()
    parameters = {name: torch.tensor(w).requires_grad_() for name, w in weights.items()}
    targets = torch.from_numpy(targets_of(labels, "squared"))
    with pytest.raises(UserError, match=r"the training diverged: the loss is (nan|inf) at iteration \d+; lower"):
        train(
            torch.optim.SGD(parameters.values(), lr=1e20),
            lambda x, y: LOSSES["squared"](forward(parameters, x, "relu"), y),
            tensor_batches(torch.from_numpy(rows), targets, BatchOrder(0, len(rows), 4), 0, 100),
            0,
            100,
            lambda iteration: None,
        )


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_losses_and_accuracy(values, chance):
    z, labels = np.array(values), np.array([chance.randint(0, 1) for _ in values])
    p = expit(z)
    cross_entropy = -np.mean(np.where(labels == 1, np.log(p), np.log(expit(-z))))
    assert mean_loss(z, targets_of(labels, "logistic"), "logistic") == pytest.approx(cross_entropy, rel=1e-9)
    sides = np.where(labels == 1, 1, -1)
    assert mean_loss(z, targets_of(labels, "squared"), "squared") == pytest.approx(np.mean((z - sides) ** 2) / 2)
    for loss in ("logistic", "squared"):
        assert accuracy(z, targets_of(labels, loss)) == np.mean((z > 0) == (labels == 1))


def test_inputs_are_scaled_as_asked():
    images = np.random.default_rng(0).integers(0, 17, (4, 1, 2, 3), dtype=np.uint8)
    images[1] = 0
    rows = network_inputs(images, 16, "unit_range")
    np.testing.assert_array_equal(rows, (images.reshape(4, 6) / 16).astype(np.float32))
    lengths = np.linalg.norm(network_inputs(images, 16, "unit_length"), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1, 1], rtol=1e-6)


def candidates(seed=0):
    weights, rows, labels = example(width=30, examples=40, seed=seed)
    return Candidates(weights, rows, targets_of(labels, "logistic"), "relu", "logistic", threads=1)


def select(algorithm, given_to, size, seed):
    settings = method_settings({"algorithm": algorithm, **size})
    return neuron_method(settings).select(given_to, settings, seed)


@pytest.mark.parametrize("algorithm", ["random", "magnitude"])
@pytest.mark.parametrize("size", [{"steps": 12, "distinct": None}, {"steps": None, "distinct": 12}])
def test_baselines_choose_each_neuron_once(algorithm, size):
    given_to = candidates()
    selection = select(algorithm, given_to, size, 5)
    assert len(set(selection.neurons.tolist())) == 12
    phi = given_to.outputs().astype(float)
    losses = [mean_loss(phi[:, selection.neurons[:k]].mean(1), given_to.targets, "logistic") for k in range(1, 13)]
    np.testing.assert_allclose(selection.losses, losses, rtol=1e-6)
    again = select(algorithm, given_to, size, 5)
    np.testing.assert_array_equal(selection.neurons, again.neurons)


def test_magnitude_takes_the_largest_and_random_depends_on_the_seed():
    given_to, size = candidates(), {"steps": 12, "distinct": None}
    weights = given_to.weights
    scores = np.abs(weights["b"]) * np.linalg.norm(weights["a"], axis=1)
    chosen = select("magnitude", given_to, size, 0).neurons
    assert scores[chosen].min() >= np.delete(scores, chosen).max()
    draws = [select("random", given_to, size, seed).neurons.tolist() for seed in range(3)]
    assert len(set(map(tuple, draws))) == 3


@pytest.mark.parametrize("size", [{"steps": 9, "distinct": None}, {"steps": None, "distinct": 4}])
def test_greedy_is_algorithm_1(size):
    given_to = candidates()
    phi = given_to.outputs().astype(float)
    total, chosen = np.zeros(len(phi)), []
    while len(chosen) < 9 if size["steps"] else len(set(chosen)) < 4:
        losses = [mean_loss((total + phi[:, q]) / (len(chosen) + 1), given_to.targets, "logistic") for q in range(30)]
        chosen.append(int(np.argmin(losses)))
        total += phi[:, chosen[-1]]
    selection = select("greedy", given_to, {**size, "max_steps": 100}, 0)
    assert selection.neurons.tolist() == chosen
