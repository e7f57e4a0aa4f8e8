"""Prunable layers and the cut against torchvision's networks, whose structure is known, and a plain forward pass."""

import pytest
import torch
from torch import nn
from torchvision import models

from goodsubnet.errors import UserError
from goodsubnet.networks.layers import PrunableLayer, SplitNetwork, prunable_layers


@pytest.fixture(autouse=True)
def _one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


class Convolutions(nn.Module):
    """Three convolutions; subclasses say how they are joined."""

    def __init__(self, groups=1):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
        self.third = nn.Conv2d(8, 4, 1)
        self.fourth = nn.Conv2d(4, 5, 1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.nn.functional.max_pool2d(torch.nn.functional.silu(self.second(x)), 2)
        return self.fourth(self.third(x)).mean((2, 3))


class TwoReaders(Convolutions):
    def forward(self, x):
        x = self.second(self.first(x))
        return (self.fourth(self.third(x)) + x.sum()).mean((2, 3))


class SameModuleTwice(Convolutions):
    def forward(self, x):
        x = self.second(self.second(self.first(x)))
        return self.fourth(self.third(x)).mean((2, 3))


class Gate(Convolutions):
    """The channels are scaled by something that sees all of them."""

    def forward(self, x):
        x = self.second(self.first(x))
        return self.fourth(self.third(x * x.mean(1, keepdim=True))).mean((2, 3))


class Branching(Convolutions):
    def forward(self, x):
        return self.third(self.first(x)) if x.sum() > 0 else x


class InPlaceAfterTheCut(Convolutions):
    """The shortcut is changed in place by what follows the consumer."""

    def forward(self, x):
        shortcut = self.first(x)
        x = torch.relu(self.second(shortcut.clone()))
        x = self.third(x)
        shortcut.mul_(x.mean(1, keepdim=True))
        return shortcut.relu_().mean((2, 3)) * self.fourth.bias[0]


def names(network):
    return [(layer.name, layer.consumer) for layer in prunable_layers(network)]


def test_basic_blocks_give_the_output_of_their_first_convolution():
    network = models.resnet34(num_classes=3)
    layers = prunable_layers(network)
    blocks = [f"layer{stage}.{block}" for stage, count in enumerate((3, 4, 6, 3), 1) for block in range(count)]
    widths = [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
    assert layers == [
        PrunableLayer(f"{block}.conv1", f"{block}.conv2", width, f"{block}.bn1")
        for block, width in zip(blocks, widths, strict=True)
    ]


def test_mobilenet_gives_the_expanded_channels_after_the_depthwise_convolution():
    layers = {layer.name: layer for layer in prunable_layers(models.mobilenet_v2(num_classes=3))}
    channels, inner = 16, []
    for expansion, outputs, repeats, _ in [
        *((6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    ]:
        for _ in range(repeats):
            inner.append(channels * expansion)
            channels = outputs
    for number, width in enumerate(inner, 2):
        block = f"features.{number}.conv"
        assert layers[f"{block}.0.0"] == PrunableLayer(f"{block}.0.0", f"{block}.2", width, f"{block}.1.1")
    # Two blocks without a shortcut on either side hand their outputs to one convolution.
    others = {name: layer.channels for name, layer in layers.items() if not name.endswith(".0.0")}
    assert others == {"features.1.conv.1": 16, "features.17.conv.2": 320}


def test_functions_count_as_modules_do_and_no_norm_is_none():
    assert prunable_layers(Convolutions()) == [
        PrunableLayer("second", "third", 8, None),
        PrunableLayer("third", "fourth", 4, None),
    ]


def test_a_depthwise_convolution_belongs_to_the_chain_and_other_groups_do_not():
    # The channels that the image's own convolution makes are left alone, with or without a depthwise one behind it.
    assert names(Convolutions(groups=8)) == [("third", "fourth")]
    assert names(Convolutions(groups=2)) == [("third", "fourth")]


@pytest.mark.parametrize("kind", [TwoReaders, SameModuleTwice, Gate])
def test_channels_that_something_else_sees_are_left_alone(kind):
    assert names(kind()) == [("third", "fourth")]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: models.vit_b_16(num_classes=2), "VisionTransformer has no layer that can be pruned"),
        (lambda: models.squeezenet1_1(num_classes=2), "SqueezeNet has no layer"),
        (Branching, "Branching cannot be pruned"),
    ],
)
def test_networks_without_such_layers_say_so(make, words):
    with pytest.raises(UserError, match=words) as caught:
        prunable_layers(make())
    assert "\n" not in str(caught.value)


def test_modes_of_modules_stay_what_they_were():
    network = models.resnet18(num_classes=2).train()
    network.layer1.eval()
    before = [module.training for module in network.modules()]
    prunable_layers(network)
    assert [module.training for module in network.modules()] == before


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121", "shufflenet_v2_x0_5"])
def test_the_two_parts_compute_what_the_network_computes(name):
    network = models.get_model(name, weights=None, num_classes=4).eval().double()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    layers = prunable_layers(network)
    with torch.no_grad():
        expected = network(images)
        for layer in layers[:: max(1, len(layers) // 3)]:
            split = SplitNetwork(network, layer)
            inputs, rest = split.before(images)
            assert inputs.shape[1] == layer.channels == split.consumer.in_channels
            assert split.consumer is network.get_submodule(layer.consumer)
            torch.testing.assert_close(split.after(split.consumer(inputs), rest), expected, rtol=1e-12, atol=1e-12)


def test_a_shortcut_changed_in_place_and_a_weight_read_directly():
    network = InPlaceAfterTheCut().eval()
    images = torch.rand(2, 3, 8, 8)
    split = SplitNetwork(network, PrunableLayer("second", "third", 8, None))
    with torch.no_grad():
        inputs, rest = split.before(images)
        torch.testing.assert_close(split.after(split.consumer(inputs), rest), network(images))


def test_the_parts_share_weights_and_a_copy_does_not():
    network = models.resnet18(num_classes=2).eval()
    split = SplitNetwork(network, prunable_layers(network)[-1])
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        inputs, rest = split.before(images)
        consumer, after = split.copy_of_after()
        copied = after(consumer(inputs), *rest)
        network.fc.bias += 1
        torch.testing.assert_close(split.after(split.consumer(inputs), rest), copied + 1)
        torch.testing.assert_close(after(consumer(inputs), *rest), copied)


def test_a_layer_of_another_network_is_refused():
    layer = PrunableLayer("layer1.0.conv1", "layer1.0.conv2", 64, None)
    with pytest.raises(ValueError, match=r"no convolution layer1\.0\.conv2"):
        SplitNetwork(Convolutions(), layer)
