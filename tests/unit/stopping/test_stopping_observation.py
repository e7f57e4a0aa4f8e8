"""What is observed of a checkpoint, against numpy by hand and against the chain's own pruning."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from goodsubnet.data.batches import ResidentImages
from goodsubnet.networks.deep import initial_network
from goodsubnet.networks.layers import prunable_layers
from goodsubnet.networks.two_layer import initial_weights
from goodsubnet.pruning.layerwise import prune_network
from goodsubnet.pruning.methods.greedy import select
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings.methods import method_settings
from goodsubnet.settings.stages import ProbeSelection
from goodsubnet.stopping import deep
from goodsubnet.stopping.observation import NOT_FOR_DEEP, Observation, draw_probe, relative_distance
from goodsubnet.stopping.two_layer import observe
from goodsubnet.theory.terms import measured_terms
from goodsubnet.training.losses import targets_of

WIDTH, STEPS = 80, 12


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    images, classes = load_digits(return_X_y=True)
    return (images[:count] / 16).astype(np.float32), classes[:count]


@pytest.fixture(scope="module")
def two_layer() -> dict:
    rows, classes = digits(150)
    generator = np.random.default_rng(3)
    initial = initial_weights(WIDTH, 64, "scaled", generator)
    weights = {
        name: array + 0.3 * generator.standard_normal(array.shape).astype(np.float32) for name, array in initial.items()
    }
    return {"rows": rows, "labels": (classes >= 5).astype(np.int64), "initial": initial, "weights": weights}


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_a_two_layer_observation_is_what_numpy_and_the_chain_say(two_layer: dict, loss: str) -> None:
    rows, weights, initial = (two_layer[name] for name in ("rows", "weights", "initial"))
    y = targets_of(two_layer["labels"], loss)
    how = {"activation": "tanh", "loss": loss, "selection": ProbeSelection(steps=STEPS)}
    seen = observe(weights, rows, y, initial, 70, **how)

    phi = np.tanh(rows.astype(np.float64) @ weights["a"].T) * weights["b"]
    candidates = Candidates(weights, rows, y, "tanh", loss, 1)
    method = method_settings({"algorithm": "greedy", "steps": STEPS, "max_steps": 2000})
    neurons = select(candidates, method, 0).neurons
    f, z = phi.mean(1), phi[:, neurons].mean(1)

    def mean_loss(outputs: np.ndarray) -> float:
        if loss == "squared":
            return float(((outputs - y) ** 2).mean() / 2)
        return float((np.log1p(np.exp(outputs)) - y * outputs).mean())

    border = 0.5 if loss == "logistic" else 0
    share = two_layer["labels"].mean()
    trivial = 2 * share * (1 - share) if loss == "squared" else -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert seen.chosen == sorted(set(neurons.tolist()))
    assert (seen.iteration, seen.candidates) == (70, WIDTH)
    expected = {
        "pruned_loss": mean_loss(z),
        "dense_loss": mean_loss(f),
        "pruned_accuracy": ((z > 0) == (y > border)).mean(),
        "dense_accuracy": ((f > 0) == (y > border)).mean(),
        "trivial_loss": trivial,
    }
    for name, value in expected.items():
        assert getattr(seen, name) == pytest.approx(value, rel=1e-5), name
    moved = sum(((weights[n].astype(float) - initial[n]) ** 2).sum() for n in "ab")
    assert seen.distance == pytest.approx((moved / sum((initial[n].astype(float) ** 2).sum() for n in "ab")) ** 0.5)
    # The bound is the theory's, from the variance of the neurons, and holds.
    variance = measured_terms(phi, y, neurons, loss)["variance"]
    assert seen.bound >= seen.pruned_loss
    harmonic = sum(1 / k for k in range(1, STEPS + 1))
    looser = mean_loss(f) + (1 if loss == "squared" else 0.25) * variance * harmonic / (2 * STEPS)
    if loss == "logistic":
        assert seen.bound == pytest.approx(looser, rel=1e-5)
    else:
        assert mean_loss(f) + variance / (2 * STEPS) <= seen.bound * (1 + 1e-6) <= looser * (1 + 2e-6)
    # One pass, and 12 steps that each cost a 64th of one.
    assert seen.forward_passes["pruned_loss"] == 150 * (1 + 12 / 64)
    assert (seen.forward_passes["bound"], seen.forward_passes["distance"]) == (150, 0)
    assert Observation.from_dict(seen.as_dict()) == seen


def test_the_probe_is_drawn_once_a_trial() -> None:
    assert draw_probe(100, 100, 0).tolist() == list(range(100))
    assert draw_probe(100, 1024, 0).tolist() == list(range(100))
    probe = draw_probe(1000, 64, 0)
    assert len(set(probe.tolist())) == 64
    assert (np.diff(probe) > 0).all()
    assert probe.max() < 1000
    assert (probe == draw_probe(1000, 64, 0)).all()
    assert (probe != draw_probe(1000, 64, 1)).any()


def test_the_relative_distance_by_hand() -> None:
    before = {"a": np.array([[3.0, 0.0]]), "b": np.array([4.0])}
    after = {"a": np.array([[3.0, 2.0]]), "b": np.array([5.5])}
    assert relative_distance(after, before) == pytest.approx(2.5 / 5)
    with pytest.raises(ValueError, match="shape"):
        relative_distance({"a": np.zeros((1, 3)), "b": np.zeros(1)}, before)


def test_two_layer_networks_are_observed_without_torch() -> None:
    code = "import sys, goodsubnet.stages.two_layer.observe, goodsubnet; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.fixture(scope="module")
def thin() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small ResNet, trained a little, so that it is better than chance."""
    rows, classes = digits(200)
    images, labels = torch.from_numpy(rows.reshape(-1, 1, 8, 8)), torch.from_numpy(classes.astype(np.int64))
    architecture = {"architecture": "resnet8", "form": "cifar", "width_multiplier": 0.5}
    network = initial_network(architecture, 10, [0.3], [0.4], "x", "thin", 0)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network.train()
    for _ in range(15):
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network.eval(), images, labels


def test_a_deep_subnetwork_is_the_one_that_the_chain_makes(thin: tuple) -> None:
    """layer_magnitude with as many channels keeps the same ones, and its outputs are those of the silenced network."""
    network, images, labels = thin
    silent, shrunk = copy.deepcopy(network), copy.deepcopy(network)
    chosen, candidates = deep.mask_smallest(silent, 0.5)
    layers = prunable_layers(network)
    widths = {layer.name: round(0.5 * layer.channels) for layer in layers}
    pixels = ResidentImages((images.numpy() * 255).round().astype(np.uint8), labels.numpy(), 255, "cpu")
    magnitude = method_settings({"algorithm": "layer_magnitude", "widths_from": "greedy"})
    records = prune_network(shrunk, magnitude, pixels, 0, widths=widths)
    kept, first = [], 0
    for record in records:
        kept += (first + record.kept).tolist()
        first += record.channels
    assert (chosen, candidates) == (kept, first)
    for each in (silent, shrunk):
        deep.renew_norms(each, images)
    with torch.no_grad():
        assert torch.allclose(silent(images), shrunk(images), atol=1e-4)


def test_a_deep_observation_is_what_torch_says(thin: tuple) -> None:
    network, images, labels = thin
    initial = {name: np.zeros_like(array) + 1 for name, array in deep.weights_of(network).items()}
    seen = deep.observe(network, images, labels, initial, 5, share=0.5)
    with torch.no_grad():
        logits = network(images).double()
    assert seen.dense_loss == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-5)
    assert seen.dense_accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert seen.dense_accuracy > 0.5
    shares = np.bincount(labels) / len(labels)
    assert seen.trivial_loss == pytest.approx(-(shares * np.log(shares)).sum())
    flat = np.concatenate([value.detach().numpy().ravel().astype(float) for value in network.parameters()])
    assert seen.distance == pytest.approx(np.linalg.norm(flat - 1) / np.sqrt(len(flat)), rel=1e-6)
    assert seen.bound == NOT_FOR_DEEP
    assert len(seen.chosen) == seen.candidates // 2
    assert seen.forward_passes == {"pruned_loss": 400.0, "chosen": 0.0, "bound": 0.0, "distance": 0.0}


def test_the_norms_are_renewed_over_all_images(thin: tuple) -> None:
    """Of a norm that sees the images themselves: the mean over even batches, and the mean of their variances."""
    _, images, _ = thin
    norm = nn.Sequential(nn.BatchNorm2d(1))
    deep.renew_norms(norm, images)
    halves = [images[:100].double(), images[100:].double()]
    assert float(norm[0].running_mean) == pytest.approx(float(images.double().mean()), rel=1e-5)
    assert float(norm[0].running_var) == pytest.approx(float(sum(half.var() for half in halves)) / 2, rel=1e-5)
    assert norm[0].momentum == 0.1
    assert norm.training
    assert [(each.start, each.stop) for each in deep.batches(257)] == [(0, 85), (85, 171), (171, 257)]
