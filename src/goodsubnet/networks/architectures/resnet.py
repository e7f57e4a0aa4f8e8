"""Residual networks: torchvision's, and forms for small images and other widths."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import model_validator

from goodsubnet.settings.networks import NamedNetworkSettings, NetworkCost

if TYPE_CHECKING:
    from torch import nn

SMALL = ("resnet8", "resnet20")
ARCHITECTURES = (*SMALL, "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class Settings(NamedNetworkSettings):
    """Residual networks (He et al., 2016)."""

    costs: ClassVar[dict[tuple[str, str], NetworkCost]] = {
        ("resnet34", "cifar"): NetworkCost(1.159e9, 21.3e6, 21.3e6, 8.0, 32),
        ("resnet34", "imagenet"): NetworkCost(3.66e9, 21.8e6, 21.8e6, 32.3, 224),
        ("resnet8", "cifar"): NetworkCost(12.4e6, 0.08e6, 0.08e6, 0.7, 32),
        ("resnet20", "cifar"): NetworkCost(40.6e6, 0.27e6, 0.27e6, 1.6, 32),
    }

    @model_validator(mode="after")
    def _of_this_form(self) -> "Settings":
        if self.form == "imagenet" and self.architecture in SMALL:
            raise ValueError(f"form: {self.architecture} has no form imagenet; give cifar")
        return self


def build(settings: Settings, classes: int, channels: int) -> "nn.Module":
    """A network with random weights, for images of three channels."""
    if settings.form == "imagenet" and settings.width_multiplier == 1:
        from torchvision.models import get_model

        return get_model(settings.architecture, weights=None, num_classes=classes)
    from goodsubnet.networks.resnet import resnet

    return resnet(settings.architecture, settings.form, settings.width_multiplier, classes)
