"""What every method says of its steps, and what the prune stage stores of it."""

import numpy as np
import pytest

from goodsubnet.data.inputs import network_inputs
from goodsubnet.networks.two_layer import initial_weights, subnetwork_forward
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.selection.trace import distinct_so_far
from goodsubnet.settings.methods import algorithms, method_model, method_settings
from goodsubnet.settings.stages import NeuronPruneSettings
from goodsubnet.stages.two_layer.prune import prune
from goodsubnet.training.losses import mean_loss, targets_of

ALGORITHMS = [name for name in algorithms() if method_model(name).kind == "two_layer"]
WIDTH, SIZE, EXAMPLES = 40, 12, 60


def pruned(algorithm: str, loss: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """What the stage returns, and inputs and targets of the sub-dataset."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 17, (90, 1, 3, 3), dtype=np.uint8)
    labels = (images[:, 0, 1].sum(1) > images[:, 0, 2].sum(1)).astype(np.int64)
    files = {
        "data": {"train_images": images, "train_labels": labels, "pixel_max": np.array([16])},
        "subset": {"indices": np.sort(rng.permutation(90)[:EXAMPLES])},
        "checkpoint": initial_weights(WIDTH, 9, "unit", rng),
    }
    settings = NeuronPruneSettings(
        method=method_settings({"algorithm": algorithm, "steps": SIZE}),
        **{"threads": 1, "activation": "tanh", "loss": loss, "inputs": "unit_range"},
    )
    task = Task(settings, {})
    task.tensors = files.__getitem__
    inputs = network_inputs(images[files["subset"]["indices"]], 16, "unit_range")
    return prune(task, Machine("cpu"), seed=0), inputs, targets_of(labels[files["subset"]["indices"]], loss)


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_last_point_of_the_trace_is_the_subnetwork_that_is_stored(algorithm, loss):
    stored, inputs, targets = pruned(algorithm, loss)
    assert len(stored["losses"]) == len(stored["sizes"]) == len(stored["passes"])
    assert stored["sizes"][-1] == len(stored["distinct_neurons"]) == len(stored["a"]) == len(stored["b"]) <= SIZE
    assert (np.diff(stored["distinct_neurons"]) > 0).all()
    assert stored["share"].dtype == np.float32
    assert stored["share"].sum() == pytest.approx(1, rel=1e-6)
    outputs = subnetwork_forward(stored, stored["share"], inputs, "tanh")
    assert mean_loss(outputs, targets, loss) == pytest.approx(stored["losses"][-1], rel=1e-5)
    assert (np.diff(stored["passes"]) > 0).all()
    assert stored["passes"][0] > 0
    assert (stored["sizes"] >= 1).all()
    assert {stored["sizes"].dtype.kind, stored["passes"].dtype.kind} == {"i", "f"}


def test_there_are_all_methods():
    assert set(ALGORITHMS) >= {"greedy", "greedy_backward", "greedy_line_search", "greedy_fully_corrective"}
    assert set(ALGORITHMS) >= {"iterative_magnitude", "magnitude", "random"}


def test_costs_that_hang_on_the_sizes_alone():
    steps = np.arange(1, SIZE + 1)
    np.testing.assert_allclose(pruned("greedy", "logistic")[0]["passes"], 1 + steps)
    for ranking in ("random", "magnitude"):
        stored = pruned(ranking, "logistic")[0]
        np.testing.assert_allclose(stored["passes"], steps / WIDTH)
        assert stored["sizes"].tolist() == steps.tolist()


def test_sizes_of_a_selection_with_repeats():
    assert distinct_so_far(np.array([5, 5, 2, 5, 2, 9, 0])).tolist() == [1, 1, 2, 2, 2, 3, 4]
    rng = np.random.default_rng(0)
    found = greedy_forward_selection(rng.normal(size=(30, 8)), rng.integers(0, 2, 30), 20)
    assert found.sizes.tolist() == [len(set(found.neurons[:k].tolist())) for k in range(1, 21)]


def test_shares_of_a_multiset_are_multiplicities_over_steps():
    rng = np.random.default_rng(0)
    found = greedy_forward_selection(rng.normal(size=(30, 8)), rng.integers(0, 2, 30), 20)
    kept, share = found.shares()
    assert kept.tolist() == sorted(set(found.neurons.tolist()))
    assert [round(20 * s) for s in share] == [found.neurons.tolist().count(n) for n in kept]
