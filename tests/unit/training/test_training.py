"""The training loop, its batches and its schedules, against torch's own and sums by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.training.loop import LOSSES, GradientDescent, schedule_of, tensor_batches, train


def trained(start: int, stop: int, weight: float, batches, **named) -> tuple[float, list[int]]:
    """Minimises (weight * input - target)^2 / 2; the weight afterwards, and what was told of the iterations."""
    parameter = torch.tensor([weight], dtype=torch.float64, requires_grad=True)
    done = []
    train(
        torch.optim.SGD([parameter], lr=0.5),
        lambda inputs, targets: LOSSES["squared"](parameter * inputs, targets),
        batches,
        start,
        stop,
        done.append,
        **named,
    )
    return parameter.item(), done


def pair(value: float, target: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([value], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)


def test_a_step_goes_down_the_gradient_at_the_rate_of_its_iteration():
    batches = [pair(1, 2), pair(2, 0), pair(1, -1)]
    weight, done = trained(4, 7, 1.0, batches, learning_rate=lambda iteration: iteration / 10)
    expected = 1.0
    for iteration, (value, target) in zip(range(4, 7), [(1, 2), (2, 0), (1, -1)], strict=True):
        expected -= iteration / 10 * (expected * value - target) * value
    assert weight == pytest.approx(expected)
    assert done == [5, 6, 7]


def test_without_a_schedule_the_optimizers_rate_stays():
    assert trained(0, 1, 1.0, [pair(1, 2)])[0] == 1.5


def test_batches_must_be_as_many_as_iterations():
    with pytest.raises(ValueError, match="shorter"):
        trained(0, 2, 1.0, [pair(1, 2)])


def test_no_iteration_changes_nothing():
    assert trained(3, 3, 1.0, []) == (1.0, [])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training_before_it_is_counted(value):
    done = []
    parameter = torch.ones(1, requires_grad=True)
    with pytest.raises(UserError, match=r"the training diverged: the loss is (nan|inf) at iteration 1; lower the"):
        train(
            torch.optim.SGD([parameter], lr=1.0),
            lambda inputs, _: (parameter * inputs).sum(),
            [(torch.ones(1), None), (torch.tensor([value]), None)],
            *(0, 2, done.append),
        )
    assert done == [1]


@given(st.integers(1, 400), st.floats(1e-4, 10))
def test_a_cosine_is_torchs_own(iterations, rate):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    annealed = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    mine = schedule_of(rate, "cosine", iterations)
    assert mine(0) == rate
    for iteration in range(min(iterations, 50)):
        assert mine(iteration) == pytest.approx(annealed.get_last_lr()[0], rel=1e-6, abs=1e-9 * rate)
        optimizer.step()
        annealed.step()
    assert mine(iterations) == pytest.approx(0, abs=1e-15)
    assert mine(iterations / 2) == pytest.approx(rate / 2)


def test_a_constant_rate_needs_no_length():
    assert {schedule_of(0.3, "constant", None)(iteration) for iteration in (0, 7, 10**6)} == {0.3}


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 9), st.integers(0, 9))
def test_tensor_batches_are_those_of_the_order(examples, batch_size, start, more):
    inputs, targets = torch.arange(examples * 2.0).reshape(examples, 2), torch.arange(examples) * 10
    batches = list(tensor_batches(inputs, targets, BatchOrder(3, examples, batch_size), start, start + more))
    order = BatchOrder(3, examples, batch_size)
    assert len(batches) == more
    for iteration, (x, y) in enumerate(batches, start=start):
        indices = order.indices(iteration)
        np.testing.assert_array_equal(y.numpy(), indices * 10)
        np.testing.assert_array_equal(x.numpy(), inputs.numpy()[indices])


def test_losses_are_those_of_the_formulas():
    outputs = torch.tensor([0.3, -2.0, 1.5], dtype=torch.float64)
    labels = np.array([1.0, 0.0, 0.0])
    z = outputs.numpy()
    logistic = np.log1p(np.exp(-(2 * labels - 1) * z)).mean()
    assert LOSSES["logistic"](outputs, torch.tensor(labels)).item() == pytest.approx(logistic)
    signs = 2 * labels - 1
    assert LOSSES["squared"](outputs, torch.tensor(signs)).item() == pytest.approx(((z - signs) ** 2).mean() / 2)
    logits = np.array([[1.0, 0.0, -1.0], [0.2, 0.1, 3.0]])
    expected = -np.log(np.exp(logits)[[0, 1], [2, 2]] / np.exp(logits).sum(1)).mean()
    found = LOSSES["cross_entropy"](torch.tensor(logits), torch.tensor([2, 2])).item()
    assert found == pytest.approx(expected)


def test_plain_gradient_descent_is_torchs_to_the_last_bit():
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(shape, generator=generator) for shape in ((30, 7), (30,))]
    batches = [(torch.randn(11, 7, generator=generator), torch.randn(11, generator=generator)) for _ in range(20)]
    results = []
    for optimizer in (GradientDescent, torch.optim.SGD):
        a, b = (start.clone().requires_grad_() for start in starts)

        def loss_of(inputs: torch.Tensor, targets: torch.Tensor, a=a, b=b) -> torch.Tensor:
            return LOSSES["squared"](torch.tanh(inputs @ a.T) @ b, targets)

        train(optimizer([a, b], 0.037), loss_of, batches, 0, 20, lambda done: None)
        results.append((a.detach(), b.detach()))
    for ours, torchs, start in zip(*results, starts, strict=True):
        assert torch.equal(ours, torchs)
        assert not torch.equal(ours, start)
