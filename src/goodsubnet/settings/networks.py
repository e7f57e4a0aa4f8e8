"""What a network computes."""

from typing import Literal

from pydantic import Field, model_validator

from goodsubnet.errors import UserError
from goodsubnet.networks.torchvision_names import check_architecture
from goodsubnet.settings.base import Count, Model, Positive


class TwoLayer(Model):
    """A hidden layer whose neurons' outputs are averaged: f(x) = (1/N) sum_i b_i act(a_i . x)."""

    kind: Literal["two_layer"] = Field(description="the architecture")
    width: Count = Field(description="hidden neurons, N")
    activation: Literal["relu", "tanh"] = Field("relu", description="`act` of the hidden layer")
    initialisation: Literal["scaled", "unit"] = Field(
        "scaled", description="a_i ~ N(0, I/d) (`scaled`) or N(0, I) (`unit`, the theory's); b_i ~ N(0, 1)"
    )


class Deep(Model):
    """A convolutional network for as many classes as the data have, pruned layer by layer."""

    kind: Literal["deep"] = Field(description="the architecture")
    architecture: str = Field(
        description="`resnet8`, `resnet20` (He et al.'s small ones), `resnet34`, `mobilenet_v2`, or the name of any "
        "classification network of torchvision"
    )
    form: Literal["cifar", "imagenet"] = Field(
        "imagenet",
        description="`imagenet`: torchvision's own; `cifar`: made for images of about 32 x 32 pixels, for ResNets and "
        "`mobilenet_v2`",
    )
    width_multiplier: Positive = Field(1.0, description="channels of each layer, times this; ResNets, `mobilenet_v2`")

    @model_validator(mode="after")
    def _exists(self) -> "Deep":
        try:
            check_architecture(self.model_dump())
        except UserError as error:
            raise ValueError(str(error)) from None
        return self
