"""Costs of a network: counted by hand, known from papers, and measured fairly."""

import numpy as np
import pytest
import torch
from torch import nn

from goodsubnet.networks.complexity import complexity, latency
from goodsubnet.networks.deep import build

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "form", "classes", "size", "multiply_adds", "parameters"),
    [
        # In millions, to the digits that are known: of the CIFAR forms from their reference implementation, of the
        # ImageNet forms from torchvision's documentation.
        ("resnet34", "cifar", 10, 32, "1159", "21.28"),
        ("mobilenet_v2", "cifar", 10, 32, "88.0", "2.237"),
        ("resnet34", "imagenet", 1000, 224, "3664", "21.797672"),
        ("mobilenet_v2", "imagenet", 1000, 224, "301", "3.504872"),
        ("resnet18", "imagenet", 1000, 224, "1814", "11.689512"),
    ],
)
def test_networks_cost_what_is_known_of_them(name, form, classes, size, multiply_adds, parameters):
    architecture = {"architecture": name, "form": form, "width_multiplier": 1}
    network = build(architecture, classes, [0.5] * 3, [0.25] * 3)
    cost = complexity(network, (3, size, size))
    for key, known in (("multiply_adds", multiply_adds), ("parameters", parameters)):
        decimals = len(known.partition(".")[2])
        assert f"{cost[key] / 1e6:.{decimals}f}" == known


def test_convolutions_and_matrix_products_are_counted_and_nothing_else():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 12, 1, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 7),
    ).double()
    network[0].weight.requires_grad_(False)
    positions = 5 * 8
    assert complexity(network, (3, 10, 16)) == {
        "multiply_adds": positions * (8 * 3 * 9 + 8 * 25 + 12 * 4) + 12 * 7,
        "parameters": 8 * 3 * 9 + 2 * 8 + (8 * 25 + 8) + (12 * 4 + 12) + (12 * 7 + 7),
    }


def test_counting_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    complexity(network, (1, 4, 4))
    assert all(module.training for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class Recorder(nn.Module):
    """A network that writes down when it is called, and how."""

    def __init__(self, name, calls):
        super().__init__()
        self.name, self.calls = name, calls
        self.linear = nn.Linear(4, 1)

    def forward(self, images):
        self.calls.append((self.name, tuple(images.shape), self.training, torch.is_inference_mode_enabled()))
        return self.linear(images)


@pytest.mark.parametrize("repeats", [1, 5])
def test_networks_take_turns_and_every_one_has_a_time(repeats):
    calls = []
    networks = {name: Recorder(name, calls).train() for name in ("dense", "greedy", "random")}
    medians = latency(networks, (3, 2, 4), 6, "cpu", repeats=repeats, seconds=0)
    assert medians.keys() == networks.keys()
    assert all(np.isfinite(value) and value > 0 for value in medians.values())
    assert {call[1:] for call in calls} == {((6, 3, 2, 4), False, True)}
    assert all(module.training for network in networks.values() for module in network.modules())
    # One round to warm up, then as many as asked for; in each every network once, and not always in the same order.
    assert len(calls) == 3 * (1 + repeats)
    rounds = [[call[0] for call in calls[start : start + 3]] for start in range(0, len(calls), 3)]
    assert all(set(names) == set(networks) for names in rounds)
    if repeats >= 3:
        assert {names[0] for names in rounds[1:]} == set(networks)


def test_the_median_is_over_the_measured_rounds_alone(monkeypatch):
    """The clock shows 100 s for the round that warms up, then 1, 3 and 2 s."""
    durations = iter([100.0, 1.0, 3.0, 2.0])

    class Clock:
        now = 0.0

    class Slow(nn.Module):
        def forward(self, images):
            Clock.now += next(durations)
            return images

    monkeypatch.setattr("goodsubnet.networks.complexity.time.perf_counter", lambda: Clock.now)
    assert latency({"slow": Slow()}, (1, 1, 1), 1, "cpu", repeats=2, seconds=5) == {"slow": 2.0}
