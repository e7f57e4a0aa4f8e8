"""Pruning of whole networks against masks hooked to the unpruned one, and the search of a tolerance."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks.complexity import complexity
from goodsubnet.networks.layers import prunable_layers
from goodsubnet.pruning.contract import layer_method
from goodsubnet.pruning.layerwise import (
    KeepsEverything,
    KeepsNothing,
    LayerAtHand,
    find_tolerance,
    least_flops_ratio,
    prune_network,
)
from goodsubnet.pruning.methods import layer_greedy
from goodsubnet.settings.methods import method_settings

CLASSES, SHAPE = 9, (3, 8, 8)
BASELINES = ("layer_random", "layer_magnitude", "layer_slimming")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class Block(nn.Module):
    """Expansion, depthwise convolution, projection, and perhaps a shortcut."""

    def __init__(self, channels, inner, shortcut):
        super().__init__()
        self.shortcut = shortcut
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)),
            *(nn.Conv2d(inner, inner, 3, padding=1, groups=inner), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x):
        return self.layers(x) + (x if self.shortcut else 0)


def images_of_bars(count=360):
    """Nine classes, told by where the bright bar is and by its colour; float32 images and labels."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, count)
    pixels = 0.7 * rng.random((count, *SHAPE), dtype=np.float32)
    for image, label in zip(pixels, labels, strict=True):
        place, colour = divmod(int(label), 3)
        image[colour, 2 * place : 2 * place + 2] += 0.3
    return torch.from_numpy(pixels), torch.from_numpy(labels)


class Source:
    def __init__(self):
        self.images, self.labels = images_of_bars()

    def __len__(self):
        return len(self.images)

    def take(self, indices):
        return self.images[indices], self.labels[indices]


def train(shortcut):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        *(Block(6, 12, shortcut), Block(6, 16, shortcut), nn.AvgPool2d((1, 8)), nn.Flatten(), nn.Linear(48, CLASSES)),
    )
    images, labels = images_of_bars()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for iteration in range(120):
        batch = np.random.default_rng(iteration).choice(len(images), 48)
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    assert (network(images).argmax(1) == labels).double().mean() > 0.95
    return network


@pytest.fixture(scope="module")
def trained():
    return train(shortcut=True)


@pytest.fixture
def network(trained):
    return copy.deepcopy(trained)


def greedy(**keys):
    given_keys = {"algorithm": "layer_greedy", "batch_size": 32, "probe_size": 96} | keys
    if "flops_ratio" not in keys:
        given_keys = {"tolerance": 0.03} | given_keys
    return method_settings(given_keys)


def baseline(name, **keys):
    return method_settings({"algorithm": name, "widths_from": "greedy"} | keys)


def masked_logits(network, records, images):
    """Of the unpruned network, with the masks of all records at once."""
    hooks = []
    for layer, record in zip(prunable_layers(network), records, strict=True):
        gains = torch.zeros(layer.channels, dtype=images.dtype)
        gains[record.kept] = torch.from_numpy(record.gains).to(images.dtype)
        consumer = network.get_submodule(layer.consumer)
        hooks.append(consumer.register_forward_pre_hook(lambda _, i, g=gains: (i[0] * g[:, None, None],)))
    with torch.no_grad():
        logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits


def test_the_pruned_network_is_the_masked_one_and_smaller(network):
    dense, source = copy.deepcopy(network), Source()
    records = prune_network(network, greedy(), source, 0)
    with torch.no_grad():
        pruned = network(source.images)
    torch.testing.assert_close(pruned, masked_logits(dense, records, source.images), rtol=1e-4, atol=1e-4)
    assert complexity(network, SHAPE)["multiply_adds"] < complexity(dense, SHAPE)["multiply_adds"]
    for layer, record in zip(prunable_layers(dense), records, strict=True):
        width = network.get_submodule(layer.name).out_channels
        assert (record.name, record.channels, len(record.kept)) == (layer.name, layer.channels, width)
        assert record.complete
        assert len(record.losses) == record.steps
        assert record.gains.sum() == pytest.approx(layer.channels)
        assert record.accuracy_after >= 0.97 * record.accuracy_before
        assert 0 < record.evaluations <= record.considered == record.steps * layer.channels


def test_accuracies_are_those_of_the_probe(network):
    dense, source = copy.deepcopy(network), Source()
    records = prune_network(network, greedy(), source, 7)
    for index, record in enumerate(records):
        probe = random_generator("probe", 7, index).choice(len(source), 96, replace=False)
        images, labels = source.take(probe)
        for seen, accuracy in ((index, record.accuracy_before), (index + 1, record.accuracy_after)):
            whole = [
                type(record)(**vars(r) | {"kept": np.arange(r.channels), "gains": np.ones(r.channels)}) for r in records
            ]
            logits = masked_logits(dense, [*records[:seen], *whole[seen:]], images)
            assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-9)


def test_the_same_seed_prunes_the_same_and_both_searches_do(trained):
    found = {}
    for name, keys, seed in (("a", {}, 3), ("b", {}, 3), ("exact", {"search": "exact"}, 3), ("other", {}, 4)):
        records = prune_network(copy.deepcopy(trained), greedy(candidates=6, **keys), Source(), seed)
        found[name] = [(*record.kept, *record.gains, record.steps, *record.losses.round(5)) for record in records]
    assert found["a"] == found["b"] == found["exact"]
    assert found["a"] != found["other"]


def test_a_layer_that_does_not_get_there_stays_whole():
    network, source = train(shortcut=False), Source()
    dense = copy.deepcopy(network)
    with pytest.raises(KeepsEverything, match=r"tolerance 0 keeps every channel.*raise tolerance"):
        prune_network(network, greedy(tolerance=0, max_steps=1), source, 0)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, dense.state_dict()[name], rtol=0, atol=0)
    records = prune_network(network, greedy(tolerance=0.1, max_steps=4), source, 0)
    assert {record.complete for record in records} == {True, False}
    whole = next(record for record in records if not record.complete)
    assert (len(whole.kept), whole.steps, len(whole.losses)) == (whole.channels, 4, 4)
    assert (whole.gains == 1).all()
    assert whole.accuracy_after == whole.accuracy_before
    with torch.no_grad():
        expected = masked_logits(dense, records, source.images)
        torch.testing.assert_close(network(source.images), expected, rtol=1e-4, atol=1e-4)


def test_a_network_that_guesses_with_a_channel_a_layer_says_so(network):
    with torch.no_grad():
        network[-1].weight.zero_()
    with pytest.raises(KeepsNothing, match=r"tolerance 0\.5 keeps nothing.*train the network for longer"):
        prune_network(network, greedy(tolerance=0.5), Source(), 0)


def test_the_tolerance_given_replaces_that_of_the_settings(trained):
    by_key = prune_network(copy.deepcopy(trained), greedy(tolerance=0.2), Source(), 0)
    settings = greedy(flops_ratio=0.5)
    given_later = prune_network(copy.deepcopy(trained), settings, Source(), 0, tolerance=0.2)
    assert [record.kept.tolist() for record in by_key] == [record.kept.tolist() for record in given_later]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_keep_as_many_as_they_are_told(trained, name):
    layers = prunable_layers(trained)
    widths = {layers[0].name: 5, layers[1].name: layers[1].channels}
    network, source = copy.deepcopy(trained), Source()
    records = prune_network(network, baseline(name), source, 2, widths=widths)
    assert [len(record.kept) for record in records] == list(widths.values())
    assert all((record.gains == 1).all() and record.complete for record in records)
    torch.testing.assert_close(
        network(source.images), masked_logits(trained, records, source.images), rtol=1e-4, atol=1e-4
    )
    state = {key: tensor.double().numpy() for key, tensor in trained.state_dict().items()}
    if name == "layer_random":
        expected = random_generator("random channels", 2, 0).permutation(12)[:5]
    elif name == "layer_magnitude":
        expected = np.argsort(-np.abs(state[f"{layers[0].name}.weight"]).sum((1, 2, 3)), kind="stable")[:5]
    else:
        expected = np.argsort(-np.abs(state[f"{layers[0].norm}.weight"]), kind="stable")[:5]
    assert records[0].kept.tolist() == sorted(expected.tolist())


def context_of(network, index, width):
    return LayerAtHand(network, prunable_layers(network)[index], index, Source(), 0, 16, None, width)


def test_ties_of_ranks_go_to_the_lowest_index(network):
    layer = prunable_layers(network)[1]
    with torch.no_grad():
        network.get_submodule(layer.name).weight.fill_(0.5)
        network.get_submodule(layer.norm).weight.copy_(torch.tensor([-1.0, 1.0] * 8))
    for settings in map(baseline, ("layer_magnitude", "layer_slimming")):
        assert layer_method(settings).select(context_of(network, 1, 3), settings).channels.tolist() == [0, 1, 2]


def test_slimming_needs_a_norm():
    network = nn.Sequential(*(nn.Conv2d(3, 4, 1) for _ in range(1)), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    settings = baseline("layer_slimming")
    with pytest.raises(UserError, match="no norm whose scales"):
        layer_method(settings).select(context_of(network.eval(), 0, 2), settings)


def test_fine_tuning_comes_after_each_pruned_layer_where_it_is_asked_for(network):
    seen = []

    def finetune(given_network, index):
        assert given_network is network
        given_network.train()
        seen.append((index, [given_network.get_submodule(layer.name).out_channels for layer in layers]))

    layers = prunable_layers(network)
    widths = {layers[0].name: 12, layers[1].name: 4}
    prune_network(
        network, baseline("layer_random", finetune_iterations=3), Source(), 0, widths=widths, finetune=finetune
    )
    assert seen == [(1, [12, 4])]
    assert not any(module.training for module in network.modules())
    prune_network(network, baseline("layer_random"), Source(), 0, widths=widths, finetune=finetune)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"tolerance": 0.1, "flops_ratio": 0.5}, "either tolerance or flops_ratio"),
        ({}, "either tolerance or flops_ratio"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"flops_ratio": 0}, "flops_ratio"),
        ({"tolerance": 0.1, "search": "fast"}, "search"),
        ({"tolerance": 0.1, "candidates": 0}, "candidates"),
    ],
)
def test_settings_that_make_no_sense_are_refused(keys, words):
    with pytest.raises(ValueError, match=words):
        layer_greedy.Settings.model_validate({"algorithm": "layer_greedy"} | keys)


def test_the_least_ratio_is_that_of_one_channel_a_layer(network):
    before = copy.deepcopy(network.state_dict())
    # Stem, two blocks of (expand, depthwise, project), linear; in multiply-adds of an 8 x 8 image.
    fixed = 64 * 6 * 3 * 9 + 48 * CLASSES

    def blocks(first, second):
        return 64 * (first + second) * (6 + 9 + 6)

    assert least_flops_ratio(network, SHAPE) == pytest.approx((fixed + blocks(1, 1)) / (fixed + blocks(12, 16)))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@hypothesis_settings(max_examples=60, deadline=None)
@given(at=st.floats(-3.5, -0.2), slope=st.floats(0.05, 0.4), steps=st.integers(40, 400), target=st.floats(0.35, 0.8))
def test_a_tolerance_is_found_on_any_falling_steps(at, slope, steps, target):
    def ratio_of(tolerance):
        exact = target - slope * (np.log10(tolerance) - at)
        ratio = np.round(exact * steps) / steps
        if ratio >= 1:
            raise KeepsEverything("too small")
        if ratio <= 0.1:
            raise KeepsNothing("too large")
        return float(ratio)

    tolerance, trace = find_tolerance(ratio_of, target, 0.03)
    assert abs(ratio_of(tolerance) - target) <= 0.03
    assert len(trace) <= 12
    assert trace[-1] == {"tolerance": tolerance, "flops_ratio": ratio_of(tolerance)}


def test_the_closest_tolerance_serves_where_a_step_jumps_over_the_target():
    tolerance, trace = find_tolerance(lambda t: 0.9 if t < 0.05 else 0.3, 0.5, 0.01)
    assert tolerance >= 0.05
    assert len(trace) == 12
    assert {entry["flops_ratio"] for entry in trace} == {0.9, 0.3}


def test_tolerances_that_give_no_network_are_named():
    def refuse(tolerance):
        raise (KeepsEverything if tolerance < 0.1 else KeepsNothing)("nothing that serves")

    with pytest.raises(UserError, match=r"no tolerance between.*nothing that serves"):
        find_tolerance(refuse, 0.5, 0.01)


def test_a_search_among_tolerances_that_are_all_alike_ends_early():
    tolerance, trace = find_tolerance(lambda tolerance: 0.3 if tolerance > 0.01 else 0.4, 0.6, 0.01)
    assert [entry["flops_ratio"] for entry in trace] == [0.3, 0.4, 0.4, 0.4]
    assert tolerance == trace[1]["tolerance"]
