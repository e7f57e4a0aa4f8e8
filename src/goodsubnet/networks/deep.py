"""Deep networks for images, by name or from a file: what they are built of, and how their weights are initialised."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.runtime import plugins
from goodsubnet.runtime.artifacts import Json
from goodsubnet.settings.faults import explain
from goodsubnet.settings.networks import DeepNetworkSettings, builder_of, deep_model

S = TypeVar("S", bound=DeepNetworkSettings)


class Architecture(Protocol[S]):
    """A module of `networks.architectures`, or of a user's `plugins/architectures`.

    It may have ARCHITECTURES, the names that it builds; without them its own name is the only one.
    """

    @property
    def Settings(self) -> type[S]:
        """The keys of such a network."""

    def build(self, settings: S, classes: int, channels: int) -> nn.Module:
        """A network with random weights, drawn from torch's global generator; it returns logits (B, classes).

        A network that is not made for `channels` channels is made for three, and its first convolution is then adapted.
        """


class ImageClassifier(nn.Module):
    """A network with the normalisation of its images, so that a user of the network needs nothing else.

    mean, std: of the training images' pixels, one of each per channel, on the scale [0, 1]; buffers of shape
    (channels, 1, 1). network: takes normalised images, returns logits.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float] | np.ndarray, std: Sequence[float] | np.ndarray
    ) -> None:
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
    architecture: Mapping[str, Json],
    classes: int,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
) -> ImageClassifier:
    """A network with random weights, drawn from torch's global generator (see `initial_network`).

    architecture: what `DeepNetworkSettings.as_architecture` gives. mean, std: one per channel of the images; where
    there are not three, the first convolution of a network that is made for three is adapted to their number.
    Raises UserError for a name, form or multiplier that does not exist, and for a network that cannot be stored.
    """
    try:
        settings = deep_model(architecture).model_validate({"kind": "deep", **architecture})
    except ValidationError as error:
        raise UserError("; ".join(explain(error))) from None
    except ValueError as error:
        raise UserError(str(error)) from None
    plugin = builder_of(architecture)
    builder = cast(Architecture[DeepNetworkSettings], plugins.load("architectures", plugin.name))
    network = builder.build(settings, classes, len(mean))
    if users := _users_file(architecture):
        _check(network, users)
    if len(mean) != 3 and "file" not in architecture:
        _set_image_channels(network, len(mean))
    return ImageClassifier(network, mean, std)


def _users_file(architecture: Mapping[str, Json]) -> str | None:
    """File and function of an architecture that is a user's; None for ours."""
    if "file" in architecture:
        return f"{architecture['file']}: {architecture['function']}"
    path = builder_of(architecture).path
    return f"{path}: build" if path else None


def _set_image_channels(network: nn.Module, channels: int) -> None:
    """Let a first convolution that reads three channels read `channels`; weights as He et al. (2015) draw them."""
    convolution = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if convolution is None or convolution.in_channels != 3:
        return
    outputs, _, *kernel = convolution.weight.shape
    convolution.in_channels = channels
    convolution.weight = nn.Parameter(torch.empty(outputs, channels, *kernel))
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def _check(network: object, what: str) -> None:
    """Raises UserError where something is not a network, or not one that its tensors describe completely."""
    if not isinstance(network, nn.Module):
        raise UserError(f"{what} returned {type(network).__name__}, not a torch.nn.Module")
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    if any(is_lazy(each) for each in network.state_dict().values()):
        raise UserError(f"{what} builds lazy layers, whose shapes are not known yet; give them their channels")
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            raise UserError(f"{what} keeps {name} in its state, which is not a tensor; keep it elsewhere")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise UserError(f"{what} has {name} in {str(tensor.dtype).removeprefix('torch.')}; make it float32")
    if len(names) != len(list(network.parameters())):
        own = {name for name, _ in network.named_parameters()}
        shared = next(name for name in names if name not in own)
        raise UserError(f"{what} uses the weights {shared} in two layers, which cannot be pruned; give each its own")


def initial_network(
    architecture: Mapping[str, Json],
    classes: int,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    experiment: str,
    network: str,
    seed: int,
) -> ImageClassifier:
    """The network that a trial begins with, on the CPU: its weights depend on (experiment, network, seed) alone.

    The other arguments are those of `build`. torch's global generator is left as it was.
    Raises UserError where a network from a file has different weights when it is built again.
    """
    torch_seed = int(random_generator("initial weights", experiment, network, seed).integers(2**63))

    def built() -> ImageClassifier:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(torch_seed)
            return build(architecture, classes, mean, std)

    first = built()
    if users := _users_file(architecture):
        again = built().state_dict()
        for name, tensor in first.state_dict().items():
            if not torch.equal(tensor, again[name]):
                raise UserError(
                    f"{users.split(': ')[0]}: {name.removeprefix('network.')} begins with other weights each time; "
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
