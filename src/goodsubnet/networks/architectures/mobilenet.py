"""MobileNetV2, in torchvision's form and in one for small images."""

from typing import TYPE_CHECKING, ClassVar

from goodsubnet.settings.networks import NamedNetworkSettings, NetworkCost

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES = ("mobilenet_v2",)
# Depthwise convolutions wait for memory.
SLOW = 4.0


class Settings(NamedNetworkSettings):
    """MobileNetV2 (Sandler et al., 2018)."""

    costs: ClassVar[dict[tuple[str, str], NetworkCost]] = {
        ("mobilenet_v2", "cifar"): NetworkCost(88e6, 2.2e6, 2.2e6, 19.2, 32, SLOW),
        ("mobilenet_v2", "imagenet"): NetworkCost(0.30e9, 3.5e6, 3.5e6, 78.3, 224, SLOW),
    }


def build(settings: Settings, classes: int, channels: int) -> "nn.Module":
    """A network with random weights, for images of three channels."""
    from goodsubnet.networks.mobilenet import mobilenet_v2

    return mobilenet_v2(settings.form, settings.width_multiplier, classes)
