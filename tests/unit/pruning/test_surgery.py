"""A shrunk network computes what the masked one computes, and nothing else about it has changed."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import DenseNet, MobileNetV2, ShuffleNetV2
from torchvision.models.vgg import make_layers

from goodsubnet.networks.deep import ImageClassifier
from goodsubnet.networks.layers import PrunableLayer, prunable_layers
from goodsubnet.networks.resnet import resnet
from goodsubnet.pruning import surgery

torch.set_num_threads(1)


def vgg(batch_norm):
    features = make_layers([6, "M", 8, 8, "M", 8], batch_norm=batch_norm)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


NETWORKS = {
    "basic blocks": partial(resnet, "resnet8", "cifar", 0.5, 3),
    "bottlenecks": partial(resnet, "resnet50", "imagenet", 0.1, 3),
    "mobilenet_v2": partial(MobileNetV2, 3, 0.25, [[1, 16, 1, 1], [6, 24, 2, 2], [4, 32, 2, 1]]),
    "vgg with norms": partial(vgg, True),
    "vgg without norms": partial(vgg, False),
    "densenet": partial(DenseNet, 4, (2, 2), 8, 2, num_classes=3),
    "shufflenet_v2": partial(ShuffleNetV2, [2, 1, 1], [8, 16, 16, 16, 32], num_classes=3),
}


def example_network(kind, seed=0):
    """In float64, with norms and biases as if it had been trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ImageClassifier(NETWORKS[kind](), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]).double()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand_like(tensor) + 0.25)
                module.num_batches_tracked += 7
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.data.normal_()
    return network.eval()


def images(count=3, size=16):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@torch.no_grad()
def masked_outputs(network, layer, gains):
    """The reference: the consumer's inputs are scaled while the network runs."""
    scale = torch.as_tensor(gains)[:, None, None]
    hook = network.get_submodule(layer.consumer).register_forward_pre_hook(lambda _module, inputs: inputs[0] * scale)
    outputs = network(images())
    hook.remove()
    return outputs


def random_gains(channels, kept, generator):
    gains = np.zeros(channels)
    gains[kept] = generator.uniform(0.5, 3, len(kept))
    return gains


@pytest.mark.parametrize("kind", NETWORKS)
def test_folded_and_shrunk_equals_masked_in_every_layer(kind):
    generator = np.random.default_rng(0)
    network = example_network(kind)
    layers = prunable_layers(network)
    assert layers
    for layer in layers:
        kept = generator.choice(layer.channels, max(1, layer.channels // 3), replace=False)
        gains = random_gains(layer.channels, kept, generator)
        expected = masked_outputs(network, layer, gains)
        # The comparison is worth nothing where the mask changes nothing.
        assert not torch.allclose(expected, masked_outputs(network, layer, np.ones(layer.channels)), atol=1e-6)

        surgery.fold(network, layer, gains)
        with torch.no_grad():
            torch.testing.assert_close(network(images()), expected, rtol=1e-10, atol=1e-10)
        surgery.shrink(network, layer, kept, images(1))
        with torch.no_grad():
            torch.testing.assert_close(network(images()), expected, rtol=1e-10, atol=1e-10)
        assert network.get_submodule(layer.name).out_channels == len(kept)
        assert network.get_submodule(layer.consumer).in_channels == len(kept)
    # What is left is a network like others: its layers are found again, with the channels that were kept.
    assert [layer.channels for layer in prunable_layers(network)] == [max(1, layer.channels // 3) for layer in layers]


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_channels_may_be_kept_of_any_layer(data):
    network = example_network("basic blocks")
    layer = data.draw(st.sampled_from(prunable_layers(network)))
    kept = data.draw(st.lists(st.integers(0, layer.channels - 1), min_size=1, unique=True))
    gains = random_gains(layer.channels, kept, np.random.default_rng(1))
    expected = masked_outputs(network, layer, gains)
    surgery.fold(network, layer, torch.from_numpy(gains))
    surgery.shrink(network, layer, torch.tensor(kept), images(1))
    with torch.no_grad():
        torch.testing.assert_close(network(images()), expected, rtol=1e-10, atol=1e-10)


def test_only_the_tensors_of_the_layer_change_and_they_are_slices():
    network = example_network("mobilenet_v2")
    layer = prunable_layers(network)[-1]
    assert network.get_submodule(layer.norm).num_features == layer.channels
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept = [5, 0, 3]
    surgery.shrink(network, layer, kept, images(1))

    block = layer.consumer.rsplit(".", 1)[0]
    depthwise = network.get_submodule(f"{block}.1.0")
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (3, 3, 3)
    changed = set()
    for name, tensor in network.state_dict().items():
        if tensor.shape != before[name].shape:
            changed.add(name.rsplit(".", 1)[0])
            axis = 1 if name.startswith(layer.consumer + ".") else 0
            index = torch.tensor(sorted(kept))
            torch.testing.assert_close(tensor, before[name].index_select(axis, index), rtol=0, atol=0)
        else:
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert changed == {layer.name, f"{block}.0.1", f"{block}.1.0", layer.norm, layer.consumer}


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_modes_and_what_is_trained_survive_also_where_gradients_are_off(without_gradients):
    network = example_network("basic blocks").train()
    network.network.layer1.eval()
    layer = prunable_layers(network)[1]
    network.get_submodule(layer.name).requires_grad_(False)
    network.network.fc.bias.requires_grad_(False)
    network(images()).sum().backward()
    running = network.network.bn1.running_mean.clone()
    modes = {name: module.training for name, module in network.named_modules()}
    trained = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    with without_gradients():
        surgery.shrink(network, layer, [1, 2], images(1))

    assert {name: module.training for name, module in network.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == trained
    assert {True, False} == set(modes.values()) == set(trained.values())
    assert torch.equal(network.network.bn1.running_mean, running)
    assert all(parameter.grad is None and parameter.is_leaf for parameter in network.parameters())
    network(images()).sum().backward()
    assert network.get_submodule(layer.consumer).weight.grad.shape[1] == 2


def test_what_has_no_channels_left_or_never_had_them_is_refused():
    network = example_network("basic blocks")
    layer = prunable_layers(network)[0]
    before = copy.deepcopy(network.state_dict())
    for kept in ([], [layer.channels], [-1, 2]):
        with pytest.raises(ValueError, match=f"{layer.name} has channels 0 to {layer.channels - 1}; cannot keep"):
            surgery.shrink(network, layer, kept, images(1))
    with pytest.raises(ValueError, match="reads 8 channels; the gains have shape"):
        surgery.fold(network, PrunableLayer(layer.name, layer.consumer, 8, None), np.ones(7))
    surgery.shrink(network, layer, range(layer.channels), images(1))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
