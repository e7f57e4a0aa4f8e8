"""Selection in a layer against whole float64 forward passes with a mask hooked to the consumer, one a candidate."""

import numpy as np
import pytest
import torch
from layer_networks import batches_of, never, small_network
from torch import nn
from torch.nn import functional

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks.layers import PrunableLayer, SplitNetwork, prunable_layers
from goodsubnet.selection import layers as selection
from goodsubnet.selection.layers import CandidateLosses, draw_candidates, gains_of, greedy_layer_selection


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def masked_loss(network, layer, gains, images, labels):
    """In float64, through the whole network."""
    factors = torch.from_numpy(np.asarray(gains, np.float64))[:, None, None]
    consumer = network.get_submodule(layer.consumer)
    hook = consumer.register_forward_pre_hook(lambda _, inputs: (inputs[0] * factors,))
    try:
        with torch.no_grad():
            logits = network(images.double())
    finally:
        hook.remove()
    right = (logits.argmax(1) == labels).double().mean().item()
    return functional.cross_entropy(logits, labels).item(), right


def plain_selection(network, layer, batches, steps, replacement=True, candidates=None, key=()):
    import copy

    network = copy.deepcopy(network).double()
    counts, chosen, losses = np.zeros(layer.channels, int), [], []
    for step in range(1, steps + 1):
        allowed = [c for c in range(layer.channels) if replacement or not counts[c]]
        if candidates is not None and candidates < len(allowed):
            draw = random_generator("candidates", *key, step).choice(allowed, candidates, replace=False)
            allowed = sorted(draw.tolist())
        scores = []
        for channel in allowed:
            gains = layer.channels * (counts + np.eye(layer.channels)[channel]) / step
            scores.append(masked_loss(network, layer, gains, *batches(step))[0])
        chosen.append(allowed[int(np.argmin(scores))])
        losses.append(min(scores))
        counts[chosen[-1]] += 1
    return chosen, losses


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(
    "options", [{}, {"replacement": False}, {"candidates": 5}, {"candidates": 5, "replacement": False}]
)
def test_both_searches_choose_what_whole_forward_passes_choose(which, options):
    network = small_network(which)
    layer = prunable_layers(network)[which]
    batches, steps = batches_of(seed=which), 12
    expected, losses = plain_selection(network, layer, batches, steps, key=("x", which), **options)
    exact, ranked = (
        greedy_layer_selection(
            *(SplitNetwork(network, layer), batches, never),
            **(options | {"max_steps": steps, "search": search, "generator_key": ("x", which)}),
        )
        for search in ("exact", "ranked")
    )
    assert exact.channels.tolist() == expected
    assert ranked.channels.tolist() == expected
    np.testing.assert_allclose(exact.losses, losses, rtol=1e-5)
    np.testing.assert_allclose(exact.gains, layer.channels * np.bincount(expected, minlength=layer.channels) / steps)
    assert exact.evaluations == exact.considered == ranked.considered
    assert ranked.evaluations <= ranked.considered
    assert not exact.complete


def test_a_wide_layer_is_ranked_with_few_evaluations():
    network = small_network(3, channels=20)
    layer = prunable_layers(network)[2]
    options = {"max_steps": 60}
    exact, ranked = (
        greedy_layer_selection(SplitNetwork(network, layer), batches_of(32), never, search=search, **options)
        for search in ("exact", "ranked")
    )
    assert ranked.channels.tolist() == exact.channels.tolist()
    assert ranked.evaluations < 0.4 * exact.evaluations


def test_losses_do_not_depend_on_how_candidates_are_shared(monkeypatch):
    network = small_network()
    layer = prunable_layers(network)[1]
    counts = np.arange(layer.channels) % 3
    everything = np.arange(layer.channels)
    whole = CandidateLosses(SplitNetwork(network, layer))
    with torch.no_grad():
        whole.start(*batches_of()(1), counts)
        losses, accuracies = whole.of(everything)
        monkeypatch.setattr(selection, "CHUNK_NUMBERS", 1)
        single = CandidateLosses(SplitNetwork(network, layer))
        single.start(*batches_of()(1), counts)
        assert single.chunk == 1 < whole.chunk
        shared = np.concatenate([single.of(everything[n : n + 1])[0] for n in everything[::-1]])
        double, _ = whole.in_double(everything)
    np.testing.assert_allclose(shared[::-1], losses, rtol=1e-5)
    np.testing.assert_allclose(double, losses, rtol=1e-6)
    reference = network.double()
    for channel in everything:
        gains = layer.channels * (counts + np.eye(layer.channels)[channel]) / (counts.sum() + 1)
        images, labels = batches_of()(1)
        expected = masked_loss(reference, layer, gains, images, labels)
        assert (double[channel], accuracies[channel]) == pytest.approx(expected, rel=1e-6)


def test_predictions_are_the_tangent_at_the_mean_candidate():
    network = small_network()
    layer = prunable_layers(network)[0]
    counts, candidates = np.arange(layer.channels) * 7, np.array([0, 3, 4, 9])
    losses = CandidateLosses(SplitNetwork(network, layer))
    images, labels = batches_of()(1)
    with torch.no_grad():
        losses.start(images, labels, counts)
        predicted = losses.predicted(candidates)
    network.double()
    scale = layer.channels / (counts.sum() + 1)
    centre = counts + np.isin(np.arange(layer.channels), candidates) / 4

    def loss(gains):
        return masked_loss(network, layer, scale * gains, images, labels)[0]

    for channel, value in zip(candidates, predicted, strict=True):
        direction = np.eye(layer.channels)[channel] - (centre - counts)
        slope = (loss(centre + 1e-4 * direction) - loss(centre - 1e-4 * direction)) / 2e-4
        assert value == pytest.approx(loss(centre) + slope, rel=1e-5)


def test_equal_channels_go_to_the_lowest_index():
    network = small_network()
    layer = prunable_layers(network)[0]
    with torch.no_grad():
        for name in (layer.name, layer.norm):
            module = network.get_submodule(name)
            for tensor in (*module.parameters(), *(b for b in module.buffers() if b.dim())):
                tensor[:] = tensor[:1].clone()
        weight = network.get_submodule(layer.consumer).weight
        weight[:] = weight[:, :1].clone()
    for search in ("exact", "ranked"):
        split = SplitNetwork(network, layer)
        found = greedy_layer_selection(split, batches_of(), never, search=search, max_steps=11)
        assert found.channels.tolist() == [0] * 11
        found = greedy_layer_selection(split, batches_of(), never, search=search, replacement=False)
        assert found.channels.tolist() == list(range(layer.channels))
        np.testing.assert_array_equal(found.gains, 1)


class Stub:
    """Losses that are given, in float32 and in float64, and predictions of them."""

    chunk = 1

    def __init__(self, single, double=None, predicted=None):
        self.single, self.double, self.predictions = (np.array(v, float) for v in (single, double, predicted))

    def of(self, candidates):
        return self.single[candidates], np.zeros(len(candidates))

    def in_double(self, candidates):
        return self.double[candidates], np.ones(len(candidates))

    def predicted(self, candidates):
        return self.predictions[candidates]


def test_near_ties_are_decided_in_float64():
    losses = Stub(single=[1.0, 1.0 + 5e-6, 1.0 + 2e-5], double=[1.0, 0.999999, 0.5])
    found = selection.choose(losses, np.arange(3), "exact", 1, [])
    assert found == selection.Choice(1, 0.999999, 1.0, evaluations=3, position=1)


def test_a_prediction_rules_out_what_is_worse_by_more_than_its_errors():
    truth = np.arange(10.0) + 1
    good = selection.choose(Stub(truth, truth, truth), np.arange(10), "ranked", 9, [0])
    assert (good.channel, good.evaluations) == (0, selection.LEAST_EVALUATIONS)
    # The fourth is 0.9 below its prediction: within twice that of the best, 0.1, lie the next three.
    truth = np.array([1, 1.2, 1.4, 0.1, 1.6, 1.7, 1.8, 3, 3.1, 3.2])
    wrong = selection.choose(
        Stub(truth, truth, [1, 1, 1, 1, 1.6, 1.7, 1.8, 3, 3.1, 3.2]), np.arange(10), "ranked", 9, [0]
    )
    assert (wrong.channel, wrong.evaluations, wrong.position) == (3, 7, 3)
    distrusted = selection.choose(Stub(range(10), range(10), range(10)), np.arange(10), "ranked", 99, [9, 2, *[0] * 5])
    assert (distrusted.channel, distrusted.evaluations, distrusted.position) == (0, 6, 0)
    early = selection.choose(Stub(truth, truth, truth[::-1]), np.arange(10), "ranked", 8, [0])
    assert (early.channel, early.evaluations, early.position) == (3, 10, 6)


def test_it_stops_where_it_is_told_and_passes_gains_and_accuracy():
    network = small_network()
    layer = prunable_layers(network)[0]
    seen = []

    def reached(gains, accuracy):
        seen.append((gains, accuracy))
        return len(seen) == 3

    found = greedy_layer_selection(SplitNetwork(network, layer), batches_of(), reached)
    assert found.complete
    assert len(found.channels) == len(found.losses) == len(seen) == 3
    network.double()
    for step, (gains, accuracy) in enumerate(seen, 1):
        assert gains.sum() == pytest.approx(layer.channels)
        expected = masked_loss(network, layer, gains, *batches_of()(step))
        assert (found.losses[step - 1], accuracy) == pytest.approx(expected, rel=1e-5)


def test_without_replacement_it_ends_when_all_are_chosen():
    network = small_network()
    layer = prunable_layers(network)[0]
    found = greedy_layer_selection(
        SplitNetwork(network, layer), batches_of(), never, replacement=False, max_steps=100, candidates=3
    )
    assert sorted(found.channels.tolist()) == list(range(layer.channels))
    assert not found.complete


def test_candidates_are_a_function_of_key_and_step():
    counts = np.array([0, 2, 0, 0, 1, 0, 0])
    drawn = [draw_candidates(counts, 3, False, ("k", seed), step) for seed in range(4) for step in range(1, 9)]
    assert all(len(set(d)) == 3 and sorted(d) == d.tolist() and not {1, 4} & set(d.tolist()) for d in drawn)
    assert len({tuple(d) for d in drawn}) > 5
    np.testing.assert_array_equal(draw_candidates(counts, 3, False, ("k", 2), 5), drawn[2 * 8 + 4])
    np.testing.assert_array_equal(draw_candidates(counts, 99, False, (), 1), [0, 2, 3, 5, 6])
    np.testing.assert_array_equal(draw_candidates(counts, None, True, (), 1), range(7))


def test_gains_are_shares_times_the_width():
    np.testing.assert_allclose(gains_of(np.array([2, 0, 1, 1])), [2, 0, 1, 1])
    np.testing.assert_allclose(gains_of(np.ones(5, int)), 1)


def test_a_diverged_network_is_named():
    network = small_network()
    network[-1].weight.data.fill_(float("nan"))
    layer = prunable_layers(network)[0]
    with pytest.raises(UserError, match="not a number"):
        greedy_layer_selection(SplitNetwork(network, layer), batches_of(), never)


def test_a_value_that_is_no_tensor_cannot_cross_the_cut():
    class Shape(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            count = x.size(0)
            return self.c(self.b(self.a(x))).reshape(count, -1)

    network = Shape().eval()
    split = SplitNetwork(network, PrunableLayer("b", "c", 4, None))
    with pytest.raises(UserError, match="depends on a shape"):
        split.before(torch.rand(2, 3, 4, 4))
