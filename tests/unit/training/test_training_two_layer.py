"""Training of two-layer networks on the processor, against gradients in float64 and against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.networks.passes import Inputs, is_sparse
from goodsubnet.networks.two_layer import forward, initial_weights
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.training.blocks import InBlocks
from goodsubnet.training.loop import LOSSES as TORCH_LOSSES
from goodsubnet.training.loop import GradientDescent, tensor_batches, train
from goodsubnet.training.losses import accuracy, mean_loss
from goodsubnet.training.two_layer import LARGE, LOSSES, ByProducts, descend, trained_on

KINDS = [("blocks", "relu"), ("blocks", "tanh"), ("products", "relu"), ("products", "tanh")]
LOSS_NAMES = ["logistic", "squared"]


def problem(width, examples, inputs, density=0.2, seed=0):
    """Weights, inputs and targets; whole columns and one row are zero, as pixels at the border are."""
    generator = np.random.default_rng(seed)
    rows = generator.random((examples, inputs)) * (generator.random((examples, inputs)) < density)
    rows[:, ::7] = 0
    rows[0] = 0
    weights = initial_weights(width, inputs, "scaled", generator)
    return weights, rows.astype(np.float32), (generator.random(examples) < 0.4).astype(np.float32)


def network_of(kind, weights, rows, activation):
    return InBlocks(weights, Inputs(rows), activation) if kind == "blocks" else ByProducts(weights, rows, activation)


def trained(kind, weights, rows, targets, activation, loss, step, order, stops):
    """The weights after each of `stops`, each from a network of its own, as resumed jobs train."""
    start = 0
    for stop in stops:
        network = network_of(kind, weights, rows, activation)
        descend(network, targets, loss, step, order, start, stop, lambda done: None)
        weights, start = network.weights(), stop
        yield weights


def in_float64(weights, rows, targets, activation, loss, step, order, stop):
    """Gradient descent with the formulas of eqs. (2), (4) written out."""
    a, b, rows = weights["a"].astype(float), weights["b"].astype(float), rows.astype(float)
    for iteration in range(stop):
        batch = order.indices(iteration)
        x, y = rows[batch], targets[batch]
        before = x @ a.T
        hidden = np.maximum(before, 0) if activation == "relu" else np.tanh(before)
        slope = np.where(before > 0, 1.0, 0) if activation == "relu" else 1 - hidden**2
        f = hidden @ b / len(b)
        by_output = (1 / (1 + np.exp(-f)) - y if loss == "logistic" else f - y) / len(y)
        change_b = by_output @ hidden / len(b)
        change_a = (by_output[:, None] * slope * b).T @ x / len(b)
        a, b = a - step * change_a, b - step * change_b
    return {"a": a, "b": b}


@pytest.mark.parametrize(("kind", "activation"), KINDS)
@pytest.mark.parametrize("loss", LOSS_NAMES)
@settings(max_examples=15, deadline=None)
@given(
    width=st.sampled_from([1, 2, 63, 64, 65, 130]),
    examples=st.integers(2, 40),
    inputs=st.integers(1, 30),
    batch=st.sampled_from([1, 7, 16, "full"]),
    density=st.sampled_from([0.2, 0.9]),
    seed=st.integers(0, 9),
)
def test_a_step_is_that_of_the_formulas(kind, activation, loss, width, examples, inputs, batch, density, seed):
    weights, rows, targets = problem(width, examples, inputs, density, seed)
    # A step at which gradient descent is stable: a larger one multiplies the roundings of the steps before it.
    arguments = (weights, rows, targets, activation, loss, 0.1 * width, BatchOrder(seed, examples, batch))
    (found,) = trained(kind, *arguments, [3])
    wanted = in_float64(*arguments, 3)
    moved = max(np.abs(wanted[name] - weights[name]).max() for name in "ab")
    for name in "ab":
        # A hidden value that rounds to the other side of 0 would move by its whole step: none here is that near.
        assert np.abs(found[name] - wanted[name]).max() <= 3e-6 * (1 + moved)
    # What no input touches keeps its bits: a test image may touch it.
    assert np.array_equal(found["a"][:, ::7], weights["a"][:, ::7])


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_the_derivative_is_that_of_the_loss(loss):
    generator = np.random.default_rng(0)
    outputs = np.concatenate([generator.normal(0, 3, 50), [0, 90, -90]]).astype(np.float32)
    targets = (generator.random(53) < 0.5).astype(np.float32)
    value, derivative = LOSSES[loss](outputs, targets)
    assert value == pytest.approx(mean_loss(outputs, targets, loss), rel=1e-6)
    for place in range(53):
        around = [outputs.astype(float), outputs.astype(float)]
        around[0][place] -= 1e-4
        around[1][place] += 1e-4
        low, high = (mean_loss(each, targets, loss) for each in around)
        assert derivative[place] == pytest.approx((high - low) / 2e-4, abs=1e-6)
    assert derivative.dtype == np.float32


@pytest.mark.parametrize(("kind", "activation"), KINDS)
def test_a_resumed_training_is_the_same_to_the_last_bit(kind, activation):
    weights, rows, targets = problem(150, 50, 30)
    for stops in ([1, 5, 6, 20], [7, 20], [19, 20]):
        # 50 examples in batches of 16 end each epoch with a batch of 2.
        arguments = (kind, weights, rows, targets, activation, "logistic", 60.0, BatchOrder(0, 50, 16))
        (whole,) = trained(*arguments, [20])
        *_, resumed = trained(*arguments, stops)
        assert all(np.array_equal(whole[name], resumed[name]) for name in "ab"), stops


@pytest.mark.parametrize(("kind", "activation"), KINDS)
def test_saving_in_the_middle_changes_nothing(kind, activation):
    weights, rows, targets = problem(150, 50, 30)
    order = BatchOrder(0, 50, 16)
    (whole,) = trained(kind, weights, rows, targets, activation, "logistic", 60.0, order, [12])
    network = network_of(kind, weights, rows, activation)
    saved = []
    descend(network, targets, "logistic", 60.0, order, 0, 12, lambda done: saved.append(network.weights()))
    assert len(saved) == 12
    assert all(np.array_equal(whole[name], saved[-1][name]) for name in "ab")
    (seven,) = trained(kind, weights, rows, targets, activation, "logistic", 60.0, order, [7])
    assert all(np.array_equal(seven[name], saved[6][name]) for name in "ab")


def test_the_number_of_threads_changes_no_bit_of_training_in_blocks():
    weights, rows, targets = problem(400, 60, 50)
    results = []
    for threads in (1, 2):
        with limited_threads(threads):
            arguments = ("blocks", weights, rows, targets, "relu", "squared", 100.0, BatchOrder(0, 60, 16))
            results += trained(*arguments, [20])
    assert all(np.array_equal(results[0][name], results[1][name]) for name in "ab")


def by_torch(weights, rows, targets, loss, step, order, stop, inputs_in_order):
    """The loop that accelerators use; the inputs in another order are the same problem, summed in another order."""
    parameters = {
        "a": torch.tensor(weights["a"][:, inputs_in_order]).requires_grad_(),
        "b": torch.tensor(weights["b"]).requires_grad_(),
    }
    batches = tensor_batches(torch.tensor(rows[:, inputs_in_order]), torch.tensor(targets), order, 0, stop)
    curve = []

    def measure(done):
        if done % 20 == 0:
            with torch.no_grad():
                outputs = forward(parameters, torch.tensor(rows[:, inputs_in_order]), "relu").numpy()
            curve.append((mean_loss(outputs, targets, loss), accuracy(outputs, targets)))

    train(
        GradientDescent(parameters.values(), step),
        lambda x, y: TORCH_LOSSES[loss](forward(parameters, x, "relu"), y),
        batches,
        0,
        stop,
        measure,
    )
    return np.array(curve)


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_over_a_whole_run_the_curves_are_torchs_within_what_another_order_of_sums_makes(loss):
    """A hidden value that rounds to the other side of 0 makes a path part from all others, so medians are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    apart = {"another order": [], "blocks": [], "products": []}
    for seed in range(5):
        weights, rows, targets = problem(300, 200, 60, seed=seed)
        arguments = (weights, rows, targets, loss, 0.8 * 300, BatchOrder(0, 200, 32), 200)
        first = by_torch(*arguments, np.arange(60))
        assert first[-1, 0] < 0.8 * first[0, 0]
        curves = {"another order": by_torch(*arguments, np.random.default_rng(seed).permutation(60))}
        for kind in ("blocks", "products"):
            network = network_of(kind, weights, rows, "relu")
            curve = []

            def measure(done, network=network, curve=curve, rows=rows, targets=targets):
                if done % 20 == 0:
                    outputs = forward(network.weights(), rows, "relu")
                    curve.append((mean_loss(outputs, targets, loss), accuracy(outputs, targets)))

            descend(network, targets, loss, 0.8 * 300, BatchOrder(0, 200, 32), 0, 200, measure)
            curves[kind] = np.array(curve)
        for name, curve in curves.items():
            apart[name].append(np.abs(curve - first).max(axis=0))
    torch.set_num_threads(threads)
    medians = {name: np.median(values, axis=0) for name, values in apart.items()}
    for kind in ("blocks", "products"):
        assert (medians[kind] <= 3 * medians["another order"] + [1e-9, 0]).all(), medians


def test_the_way_is_chosen_by_the_size():
    weights, rows, _ = problem(3, 10, 20, density=0.1)
    assert isinstance(trained_on(weights, rows, "relu", 10), ByProducts)
    assert isinstance(trained_on(weights, rows, "relu", LARGE // 60 + 1), InBlocks)
    assert is_sparse(rows)
    assert not is_sparse(rows + 1)


@pytest.mark.parametrize(("kind", "activation"), KINDS)
@pytest.mark.parametrize("fault", [np.nan, np.inf, "step"])
def test_a_loss_that_is_no_number_ends_the_training_with_a_word(kind, activation, fault):
    weights, rows, targets = problem(20, 10, 8, density=0.9)
    step = 1e38 if fault == "step" else 1.0
    if fault != "step":
        rows[1, 1] = fault
    network = network_of(kind, weights, rows, activation)
    with np.errstate(all="ignore"), pytest.raises(UserError, match=r"diverged: the loss is (nan|inf) at"):
        descend(network, targets, "squared", step, BatchOrder(0, 10, "full"), 0, 5, lambda done: None)
