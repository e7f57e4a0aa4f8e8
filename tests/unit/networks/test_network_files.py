"""A file of a deep network is all that is needed to have it again, shrunk or not."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from goodsubnet.errors import UserError
from goodsubnet.networks.deep import initial_network
from goodsubnet.networks.files import decode, encode, load, load_network
from goodsubnet.networks.layers import prunable_layers
from goodsubnet.pruning import surgery
from goodsubnet.runtime import artifacts

torch.set_num_threads(1)


def example(name, form="cifar", width_multiplier=1.0, image=(3, 32, 32), shrunk=True):
    """A network, as if trained, with every second prunable layer shrunk; and its description."""
    description = {
        "architecture": {"architecture": name, "form": form, "width_multiplier": width_multiplier},
        "classes": 5,
        "image": list(image),
    }
    mean, std = [0.25, 0.5, 0.75][: image[0]], [0.5, 0.25, 0.125][: image[0]]
    network = initial_network(description["architecture"], 5, mean, std, "files", name, 0)
    generator = np.random.default_rng(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.from_numpy(generator.uniform(0.5, 1.5, tensor.shape)))
            module.num_batches_tracked.fill_(123)
    if shrunk:
        for layer in prunable_layers(network)[::2]:
            kept = generator.choice(layer.channels, max(1, layer.channels // 2), replace=False)
            surgery.shrink(network, layer, kept, torch.zeros(1, *image))
    return network.eval(), description


def images(shape):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))


def saved(path, tensors):
    path.write_bytes(artifacts.encode_tensors(tensors))
    return path


@pytest.mark.parametrize(
    ("name", "form", "width_multiplier", "image", "shrunk"),
    [
        ("resnet8", "cifar", 0.5, (1, 28, 28), True),
        ("resnet18", "cifar", 0.25, (3, 32, 32), False),
        ("resnet50", "imagenet", 0.125, (3, 64, 64), True),
        ("mobilenet_v2", "cifar", 0.25, (3, 32, 32), True),
        # Depthwise convolutions in another class, and a state with a version.
        ("mnasnet0_5", "imagenet", 1, (3, 32, 32), True),
        # Convolutions in groups that are not depthwise.
        ("regnet_x_400mf", "imagenet", 1, (3, 32, 32), False),
        # Convolutions with biases.
        ("squeezenet1_1", "imagenet", 1, (3, 64, 64), False),
    ],
)
def test_a_network_comes_back_from_its_file_bit_for_bit(tmp_path, name, form, width_multiplier, image, shrunk):
    network, description = example(name, form, width_multiplier, image, shrunk)
    again, described = load(saved(tmp_path / "network.safetensors", encode(network, description)))
    assert described == description
    assert not any(module.training for module in again.modules())
    with torch.no_grad():
        assert torch.equal(again(images(image)), network(images(image)))
    before, after = network.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    for key, tensor in after.items():
        assert tensor.dtype == before[key].dtype
        assert tensor.shape == before[key].shape
        assert torch.equal(tensor, before[key])
    # The sizes that layers state are those of their weights: what prunes the network next reads them.
    for module, original in zip(again.modules(), network.modules(), strict=True):
        assert module.extra_repr() == original.extra_repr()
    for parameter, original in zip(again.parameters(), network.parameters(), strict=True):
        assert parameter.is_leaf
        assert parameter.requires_grad == original.requires_grad


def test_a_network_from_a_file_can_be_trained_and_pruned_on(tmp_path):
    network, description = example("mobilenet_v2", width_multiplier=0.25)
    again = load_network(saved(tmp_path / "network.safetensors", encode(network, description)))
    layer = prunable_layers(again)[-2]
    surgery.shrink(again, layer, [0], torch.zeros(1, 3, 32, 32))
    again.train()(images((3, 32, 32))).sum().backward()
    assert again.get_submodule(layer.consumer).weight.grad.shape[1] == 1


def test_the_same_network_gives_the_same_bytes_which_are_a_copy():
    network, description = example("resnet8", width_multiplier=0.25)
    backwards = dict(reversed(description.items()))
    first, second = encode(network, description), encode(network, backwards)
    assert artifacts.encode_tensors(first) == artifacts.encode_tensors(second)
    with torch.no_grad():
        network.network.fc.bias += 1
    assert not np.array_equal(encode(network, description)["weights.network.fc.bias"], first["weights.network.fc.bias"])
    np.testing.assert_array_equal(first["weights.network.fc.bias"], second["weights.network.fc.bias"])


def test_other_tensors_of_the_file_and_torchs_generator_are_left_alone():
    network, description = example("resnet8", width_multiplier=0.25)
    tensors = encode(network, description)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(kind) for kind in ("float32", "int64", "uint8")}
    others = {"momentum.network.fc.bias": np.ones(5), "selection.0": np.arange(3), "iteration": np.array([7])}
    state = torch.get_rng_state()
    again, _ = decode(tensors | others)
    assert torch.equal(torch.get_rng_state(), state)
    assert encode(again, description).keys() == tensors.keys()


def test_what_holds_no_deep_network_is_named(tmp_path):
    network, description = example("resnet8", width_multiplier=0.25)
    content = artifacts.encode_tensors(encode(network, description))
    path = tmp_path / "file"
    with pytest.raises(UserError, match="file is missing; give a checkpoint"):
        load_network(path)
    with pytest.raises(UserError, match="is not a readable safetensors file"):
        load_network(tmp_path)
    for damaged in (b"", b"\x01", content[:100], content[:-1], b"\x02" + bytes(7) + b"[]", b"just a text, no network"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="file is not a readable safetensors file"):
            load_network(path)
    two_layer = {"a": np.zeros((4, 3), np.float32), "b": np.zeros(4, np.float32), "iteration": np.array([1])}
    with pytest.raises(UserError, match="file: no deep network in this file; give a checkpoint or a subnetwork of a"):
        load_network(saved(path, two_layer))


def described(**changed):
    return np.frombuffer(json.dumps(changed).encode(), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights.network.fc.bias": None}, r"lacks the tensor network\.fc\.bias"),
        ({"weights.network.other": np.zeros(3)}, r"lacks the tensor network\.other"),
        ({"weights.mean": None}, "mean"),
        ({"weights.network.conv1.weight": np.zeros(3, np.float32)}, "cannot be rebuilt"),
        ({"description": described(classes=5)}, "cannot be rebuilt .*architecture"),
        ({"description": described(architecture=["resnet8"], classes=5)}, "is described by keys and values, not by"),
        ({"description": np.frombuffer(b"{", np.uint8)}, "cannot be rebuilt"),
        (
            {
                "description": described(
                    architecture={"architecture": "resnet9", "form": "cifar", "width_multiplier": 1}, classes=5
                )
            },
            "'resnet9' is unknown",
        ),
        (
            {
                "description": described(
                    architecture={"architecture": "resnet20", "form": "cifar", "width_multiplier": 1}, classes=5
                )
            },
            "lacks the tensor",
        ),
    ],
)
def test_tensors_that_are_not_those_of_the_described_network_are_refused(tmp_path, change, message):
    network, description = example("resnet8", width_multiplier=0.25)
    tensors = {name: array for name, array in (encode(network, description) | change).items() if array is not None}
    with pytest.raises(UserError, match=rf"network\.safetensors: .*{message}"):
        load_network(saved(tmp_path / "network.safetensors", tensors))
