"""Deep networks are torchvision's, or what papers say of the small forms; their weights are a function of a key."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from goodsubnet.errors import UserError
from goodsubnet.networks.architectures.resnet import SMALL
from goodsubnet.networks.deep import ImageClassifier, build, check_image, evaluating, initial_network
from goodsubnet.networks.mobilenet import mobilenet_v2
from goodsubnet.networks.resnet import STAGES, resnet
from goodsubnet.settings.networks import architectures, network_settings

torch.set_num_threads(1)

RGB = ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
GREY = ([0.13], [0.31])
# Ours have a form for small images and a width multiplier, too; all but two are torchvision's.
CIFAR = [name for name, module in architectures().items() if module != "torchvision"]
CLASSIFICATION = [name for name in architectures() if name not in SMALL]


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def architecture(name, form="cifar", width_multiplier=1.0):
    return {"architecture": name, "form": form, "width_multiplier": width_multiplier}


def randomised(network):
    """With norms that do something: as they are after initialisation they leave much unseen."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network


def images(count, *shape):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def test_the_names_are_those_that_torchvision_lists():
    assert torchvision.models.list_models(module=torchvision.models) == sorted(CLASSIFICATION)
    assert sorted(CIFAR) == sorted([*STAGES, "mobilenet_v2"])


def test_names_can_be_checked_without_loading_torch():
    check = (
        "import sys; from goodsubnet.settings.networks import network_settings\n"
        "network_settings({'kind': 'deep', 'architecture': 'resnet8', 'form': 'cifar'}).as_architecture()\n"
        "network_settings({'kind': 'deep', 'architecture': 'vgg11'}).as_architecture()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_residual_networks_compute_what_torchvisions_class_computes(name):
    ours, theirs = resnet(name, "imagenet", 1, 5).eval(), randomised(torchvision.models.get_model(name, num_classes=5))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(images(2, 3, 64, 64)), theirs.eval()(images(2, 3, 64, 64)), rtol=0, atol=0)


def test_the_cifar_form_of_a_residual_network_differs_from_torchvisions_class_in_the_stem_alone():
    theirs = randomised(torchvision.models.resnet18(num_classes=10))
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = build(architecture("resnet18"), 10, [0, 0, 0], [1, 1, 1]).eval()
    ours.network.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(images(2, 3, 32, 32)), theirs.eval()(images(2, 3, 32, 32)), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "n"), [("resnet8", 1), ("resnet20", 3)])
def test_small_residual_networks_are_those_of_the_paper(name, n):
    network = build(architecture(name), 10, *RGB).network
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)] + [network.fc]
    assert len(layers) == 6 * n + 2
    weights = [3 * 16] + [16 * 16] * 2 * n + [16 * 32] + [32 * 32] * (2 * n - 1) + [32 * 64] + [64 * 64] * (2 * n - 1)
    norms = 2 * (16 * (2 * n + 1) + 32 * 2 * n + 64 * 2 * n)
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    expected = 9 * sum(weights) + norms + projections + 64 * 10 + 10
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    sizes = []
    network.layer3.register_forward_hook(lambda _module, _inputs, outputs: sizes.append(tuple(outputs.shape)))
    assert network(images(2, 3, 32, 32)).shape == (2, 10)
    assert sizes == [(2, 64, 8, 8)]


def test_mobilenet_for_small_images_keeps_torchvisions_weights_and_ends_at_four_by_four():
    ours, theirs = mobilenet_v2("cifar", 0.25, 10), torchvision.models.mobilenet_v2(width_mult=0.25, num_classes=10)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    sizes = [images(1, 3, 32, 32)]
    for stage in ours.eval().features:
        sizes.append(stage(sizes[-1]))
    # Stem and 16 channels; 24; 32; 64 and 96; 160 and above: the stages of the network.
    assert [features.shape[-1] for features in sizes[1:]] == [32] * 4 + [16] * 3 + [8] * 7 + [4] * 5


@pytest.mark.parametrize(
    ("name", "forms", "multiplier", "widths"),
    [
        ("resnet18", ("cifar", "imagenet"), 0.25, {"conv1": 16, "layer2.0.conv1": 32, "layer4.1.conv2": 128}),
        ("resnet50", ("cifar", "imagenet"), 0.125, {"conv1": 8, "layer1.0.conv1": 8, "layer4.0.conv3": 256}),
        ("mobilenet_v2", ("cifar", "imagenet"), 0.5, {"features.0.0": 16, "features.2.conv.0.0": 48}),
        ("resnet8", ("cifar",), 0.1, {"conv1": 2, "layer2.0.conv1": 3, "layer3.0.conv2": 6}),
        ("resnet8", ("cifar",), 0.001, {"conv1": 1, "layer1.0.conv1": 1, "layer3.0.conv2": 1}),
    ],
)
def test_the_width_multiplier_scales_the_channels(name, forms, multiplier, widths):
    for form in forms:
        network = build(architecture(name, form, multiplier), 10, *RGB)
        for module, channels in widths.items():
            assert network.network.get_submodule(module).out_channels == channels
        assert network.eval()(images(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1"])
def test_the_imagenet_form_is_torchvisions_network_as_it_is(name):
    ours = build(architecture(name, "imagenet"), 12, *RGB).network
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, num_classes=12)
    assert type(ours) is type(theirs)
    for tensor, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_with_a_second_classifier_are_built_without_it_and_without_warnings(name):
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("error")
        network = build(architecture(name, "imagenet"), 7, *RGB)
        assert network(torch.zeros(2, 3, 299, 299)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "form"),
    [("resnet8", "cifar"), ("mobilenet_v2", "cifar"), ("squeezenet1_1", "imagenet"), ("densenet121", "imagenet")],
)
def test_images_may_have_any_number_of_channels(name, form):
    network = build(architecture(name, form), 4, *GREY).eval()
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == first.weight.shape[1] == 1
    assert network(images(2, 1, 32, 32)).shape == (2, 4)
    # He et al. (2015), fan out; thousands of weights or hundreds, so within 20%.
    fan_out = first.out_channels * first.kernel_size[0] * first.kernel_size[1]
    assert first.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.2)


def test_images_are_normalised_by_channel():
    network = ImageClassifier(nn.Flatten(), *RGB)
    batch = images(2, 3, 4, 5)
    mean, std = (np.array(values)[None, :, None, None] for values in RGB)
    expected = ((batch.numpy().astype(np.float64) - mean) / std).reshape(2, -1)
    np.testing.assert_allclose(network(batch).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert network.mean.shape == network.std.shape == (3, 1, 1)
    assert [name for name, _ in network.named_buffers()] == ["mean", "std"]
    with pytest.raises(ValueError, match="mean has 3 channels, and std has 1"):
        ImageClassifier(nn.Flatten(), RGB[0], GREY[1])


def test_initial_weights_depend_on_their_key_alone():
    def weights(experiment="e", name="n", seed=0):
        network = initial_network(architecture("resnet8"), 10, *RGB, experiment, name, seed)
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    state = torch.get_rng_state()
    first = weights()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(weights(), first)
    for other in (weights(seed=1), weights(experiment="f"), weights(name="m")):
        assert not torch.equal(other, first)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"architecture": "resnet9"},
            r"^architecture: 'resnet9' is unknown; give one of mobilenet_v2, resnet101, .*resnet8, or another ",
        ),
        ({"form": "mnist"}, r"^form: input should be 'cifar' or 'imagenet', got 'mnist'$"),
        ({"architecture": "vgg11", "form": "cifar"}, r"form: vgg11 has no form cifar; give imagenet"),
        ({"architecture": "resnet20", "form": "imagenet"}, r"form: resnet20 has no form imagenet; give cifar"),
        ({"width_multiplier": 0}, r"^width_multiplier: input should be greater than 0, got 0$"),
        ({"width_multiplier": float("nan")}, r"^width_multiplier: input should be a finite number, got nan$"),
        ({"architecture": "vgg11", "form": "imagenet", "width_multiplier": 2}, r"width_multiplier: vgg11 has none"),
    ],
)
def test_what_cannot_be_built_is_one_clear_line(changed, message):
    with pytest.raises(UserError, match=message) as error:
        build(architecture("resnet8") | changed, 10, *RGB)
    assert "\n" not in str(error.value)


def test_every_network_in_its_own_form_is_known():
    for name in CLASSIFICATION:
        network_settings({"kind": "deep", **architecture(name, "imagenet")})
    for name in CIFAR:
        network_settings({"kind": "deep", **architecture(name, "cifar", 0.5)})


def test_images_that_are_too_small_are_refused_with_their_size():
    network = build(architecture("squeezenet1_1", "imagenet"), 10, *RGB)
    check_image(network, (3, 32, 48))
    with pytest.raises(UserError, match=r"size: the network cannot take images of 8 x 12 pixels \(.*raise `size`"):
        check_image(network, (3, 8, 12))
    with torch.device("meta"):
        transformer = build(architecture("vit_b_16", "imagenet"), 10, *RGB)
    with pytest.raises(UserError, match=r"images of 32 x 32 pixels \(.*224"):
        check_image(transformer, (3, 32, 32))


def test_evaluating_leaves_every_module_in_the_mode_it_was_in():
    network = build(architecture("resnet8"), 10, *RGB).train()
    network.network.layer2.eval()
    before = [module.training for module in network.modules()]
    with pytest.raises(KeyError), evaluating(network):
        assert not any(module.training for module in network.modules())
        raise KeyError
    assert [module.training for module in network.modules()] == before
    assert 0 < sum(before) < len(before)
