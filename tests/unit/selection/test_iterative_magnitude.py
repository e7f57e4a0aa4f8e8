"""Iterative magnitude pruning: its gradients against torch, its training against a plain loop, and what it keeps."""

import numpy as np
import pytest
import torch

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import forward, initial_weights
from goodsubnet.selection.candidates import Candidates
from goodsubnet.selection.iterative import gradients, iterative_magnitude, sizes_of
from goodsubnet.training.loop import LOSSES
from goodsubnet.training.losses import mean_loss


def problem(loss, activation="relu", width=24, examples=50):
    rng = np.random.default_rng(0)
    weights = initial_weights(width, 9, "scaled", rng)
    inputs = rng.normal(size=(examples, 9)).astype(np.float32)
    targets = (inputs[:, 0] > 0).astype(np.float32)
    targets = targets if loss == "logistic" else 2 * targets - 1
    return Candidates(weights, inputs, targets, activation, loss, threads=1)


HOW = {"rounds": 3, "iterations": 20, "batch_size": 16, "learning_rate": 0.05, "seed": 7}


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradients_are_those_of_autograd(loss, activation):
    given = problem(loss, activation)
    doubles = {name: array.astype(np.float64) for name, array in given.weights.items()}
    found = gradients(doubles, given.inputs.astype(float), given.targets.astype(float), activation, loss)
    parameters = {name: torch.from_numpy(array).requires_grad_() for name, array in doubles.items()}
    outputs = forward(parameters, torch.from_numpy(given.inputs).double(), activation)
    LOSSES[loss](outputs, torch.from_numpy(given.targets).double()).backward()
    for name, parameter in parameters.items():
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_rounds_are_removal_and_gradient_descent(loss):
    """The same by torch in float64, from the rule as it is written down."""
    given = problem(loss)
    found = iterative_magnitude(given, 5, **HOW)
    weights = {name: torch.from_numpy(array).double() for name, array in given.weights.items()}
    left, order, done = np.arange(24), BatchOrder(7, 50, 16), 0
    losses = [mean_loss(forward(weights, torch.from_numpy(given.inputs).double(), "relu"), given.targets, loss)]
    for size in (14, 8, 5):
        importance = weights["b"].abs() * weights["a"].norm(dim=1)
        kept = np.sort(np.argsort(-importance.numpy(), kind="stable")[:size])
        left = left[kept]
        weights = {name: array[torch.from_numpy(kept)].clone().requires_grad_() for name, array in weights.items()}
        for _ in range(20):
            batch = order.indices(done)
            x, y = (torch.from_numpy(array[batch]).double() for array in (given.inputs, given.targets))
            slopes = torch.autograd.grad(LOSSES[loss](forward(weights, x, "relu"), y), list(weights.values()))
            with torch.no_grad():
                for parameter, slope in zip(weights.values(), slopes, strict=True):
                    parameter -= 0.05 * size * slope
            done += 1
        weights = {name: parameter.detach() for name, parameter in weights.items()}
        losses.append(mean_loss(forward(weights, torch.from_numpy(given.inputs).double(), "relu"), given.targets, loss))
    assert found.neurons.tolist() == left.tolist()
    assert found.sizes.tolist() == [24, 14, 8, 5]
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4)
    for name, array in weights.items():
        np.testing.assert_allclose(found.weights[name], array.numpy(), rtol=1e-3, atol=1e-4)
    # 20 batches of 16 out of 50: an epoch is 16, 16, 16 and 2.
    seen = np.array([sum(len(order.indices(i)) for i in range(20 * r, 20 * r + 20)) for r in range(3)])
    np.testing.assert_allclose(np.diff(found.passes), np.array([14, 8, 5]) / 24 * (3 * seen / 50 + 1))


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_batches():
    first, again = (iterative_magnitude(problem("logistic"), 5, **HOW) for _ in range(2))
    assert all(first.weights[name].tobytes() == again.weights[name].tobytes() for name in "ab")
    other = iterative_magnitude(problem("logistic"), 5, **{**HOW, "seed": 8})
    assert not np.array_equal(other.weights["b"], first.weights["b"])


def test_the_checkpoint_itself_is_not_changed():
    given = problem("logistic")
    before = {name: array.copy() for name, array in given.weights.items()}
    for array in given.weights.values():
        array.setflags(write=False)
    iterative_magnitude(given, 24, **HOW)
    assert all((given.weights[name] == before[name]).all() for name in "ab")


@pytest.mark.parametrize(("width", "size", "rounds"), [(1000, 10, 4), (50, 50, 3), (7, 1, 20), (500, 100, 1)])
def test_sizes_fall_by_the_same_factor_to_the_size(width, size, rounds):
    sizes = sizes_of(width, size, rounds)
    assert len(sizes) == rounds
    assert sizes[-1] == size
    factor = (size / width) ** (1 / rounds)
    np.testing.assert_allclose(sizes, width * factor ** np.arange(1, rounds + 1), atol=0.5)


@pytest.mark.filterwarnings("error")
def test_divergence_is_said():
    with pytest.raises(UserError, match=r"diverged: the loss is (nan|inf) with 14 neurons; lower the learning_rate"):
        iterative_magnitude(problem("squared"), 5, **{**HOW, "learning_rate": 1e9})
