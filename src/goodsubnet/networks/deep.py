"""Deep networks for images, by name or from a file: what they are built of, and how their weights begin."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks.mobilenet import mobilenet_v2
from goodsubnet.networks.own import build_own
from goodsubnet.networks.resnet import STAGES, resnet
from goodsubnet.networks.torchvision_names import check_architecture

# What torchvision's builders ask to be told: no second classifier in training, and the present way to draw weights.
_BUILDER_ARGUMENTS = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}


class ImageClassifier(nn.Module):
    """A network with the normalisation of its images, so that whoever has the network needs nothing else.

    mean, std: of the training images' pixels, one of each a channel, on the scale [0, 1]; buffers of shape
    (channels, 1, 1). network: takes normalised images, returns logits.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(f"mean has {len(mean)} channels, and std has {len(std)}")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(-1, 1, 1))
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, channels, H, W) in [0, 1]. Returns logits (B, classes)."""
        return self.network((images - self.mean) / self.std)


def build(
    architecture: Mapping[str, Any], classes: int, mean: Sequence[float], std: Sequence[float]
) -> ImageClassifier:
    """A network with random weights, drawn from torch's global generator (see `initial_network`).

    architecture: {"architecture": name, "form": "cifar" or "imagenet", "width_multiplier": float}, or as
    `networks.own.described` gives it. mean, std: one a channel of the images; where these are not three, the first
    convolution of a network by name is made for as many.
    Raises UserError for a name, form or multiplier that does not exist, and as `networks.own.build_own`.
    """
    if "file" in architecture:
        return ImageClassifier(build_own(architecture, classes, len(mean)), mean, std)
    check_architecture(architecture)
    name, form, multiplier = (architecture[key] for key in ("architecture", "form", "width_multiplier"))
    if name == "mobilenet_v2":
        network = mobilenet_v2(form, multiplier, classes)
    elif name in STAGES and (form == "cifar" or multiplier != 1):
        network = resnet(name, form, multiplier, classes)
    else:
        network = models.get_model(name, weights=None, num_classes=classes, **_BUILDER_ARGUMENTS.get(name, {}))
    if len(mean) != 3:
        _set_image_channels(network, len(mean))
    return ImageClassifier(network, mean, std)


def _set_image_channels(network: nn.Module, channels: int) -> None:
    """Let the first convolution read images of `channels` channels; weights as He et al. (2015) draw them."""
    convolution = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    outputs, _, *kernel = convolution.weight.shape
    convolution.in_channels = channels
    convolution.weight = nn.Parameter(torch.empty(outputs, channels, *kernel))
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def initial_network(
    architecture: Mapping[str, Any],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    experiment: str,
    network: str,
    seed: int,
) -> ImageClassifier:
    """The network that a trial begins with, on the CPU: its weights depend on (experiment, network, seed) alone.

    The other arguments are those of `build`. torch's global generator is left as it was.
    Raises UserError where a network from a file has other weights when it is built again.
    """
    torch_seed = int(random_generator("initial weights", experiment, network, seed).integers(2**63))

    def built() -> ImageClassifier:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(torch_seed)
            return build(architecture, classes, mean, std)

    first = built()
    if "file" in architecture:
        again = built().state_dict()
        for name, tensor in first.state_dict().items():
            if not torch.equal(tensor, again[name]):
                raise UserError(
                    f"{architecture['file']}: {name.removeprefix('network.')} begins with other weights each time; "
                    "draw them from torch's global generator alone, which is seeded for each trial"
                )
    return first


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within this block the network is in evaluation mode; at its end each module is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def zero_images(network: nn.Module, image: Sequence[int], count: int = 1) -> Tensor:
    """Black images for a trial pass: (count, C, H, W) of the network's device and precision. image: (C, H, W)."""
    parameter = next(network.parameters())
    return torch.zeros(count, *image, device=parameter.device, dtype=parameter.dtype)


def check_image(network: nn.Module, image: Sequence[int], classes: int | None = None) -> None:
    """Raise UserError if the network cannot take images of the shape `image`, (C, H, W).

    classes: also where it does not return so many logits for each of two images.
    """
    _, height, width = image
    try:
        with evaluating(network), torch.no_grad():
            logits = network(zero_images(network, image, count=2))
    # A network of the user's own may raise anything.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"size: the network cannot take images of {height} x {width} pixels ({reason}); "
            "raise `size`, choose `form: cifar` where the architecture has it, or mend the network if it is yours"
        ) from None
    if classes is None:
        return
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != (2, classes):
        raise UserError(f"the network returns {found} for 2 images of {classes} classes, not logits (2, {classes})")
