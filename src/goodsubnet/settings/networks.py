"""What a network computes, and where its checkpoints come from."""

import string
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from goodsubnet.errors import UserError
from goodsubnet.networks.own import described
from goodsubnet.networks.torchvision_names import check_architecture
from goodsubnet.settings.base import Count, Model, Positive

WILDCARDS = ("experiment", "network", "examples", "seed", "iteration")


def _a_file_for_each_iteration(pattern: str) -> str:
    try:
        fields = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ValueError(f"{pattern!r}: {error}; write {{iteration}} where the number of iterations stands") from None
    names = [name for _, name, _, _ in fields if name is not None]
    if set(names) - set(WILDCARDS) or any(form or conversion for _, _, form, conversion in fields):
        allowed = ", ".join(f"{{{name}}}" for name in WILDCARDS)
        raise ValueError(f"{pattern!r} may have the wildcards {allowed}, as they are, and no others")
    if "iteration" not in names:
        raise ValueError(f"{pattern!r} names the same file for all iterations; put {{iteration}} into it")
    name = PurePath(pattern).name
    # One provenance a stem, and a stem ends at the first dot, which names of networks may have.
    if not name.endswith(".safetensors") or name.count(".") > 1 or "{network}" in name or "{experiment}" in name:
        raise ValueError(
            f"{pattern!r}: a file's name ends with .safetensors, has no other dot, and no {{network}} or "
            "{experiment}, which belong into its folders"
        )
    return pattern


Checkpoints = Annotated[
    Annotated[str, AfterValidator(_a_file_for_each_iteration)] | None,
    Field(
        description="files of checkpoints that were trained elsewhere and imported (`goodsubnet import`), as "
        "`runs/seed-{seed}/iteration-{iteration}.safetensors`; null: the network is trained here"
    ),
]


class TwoLayer(Model):
    """A hidden layer whose neurons' outputs are averaged: f(x) = (1/N) sum_i b_i act(a_i . x)."""

    kind: Literal["two_layer"] = Field(description="the architecture")
    width: Count = Field(description="hidden neurons, N")
    activation: Literal["relu", "tanh"] = Field("relu", description="`act` of the hidden layer")
    initialisation: Literal["scaled", "unit"] = Field(
        "scaled", description="a_i ~ N(0, I/d) (`scaled`) or N(0, I) (`unit`, the theory's); b_i ~ N(0, 1)"
    )
    checkpoints: Checkpoints = None

    def as_architecture(self) -> dict[str, Any]:
        """What the network is, as stages and files say it."""
        return self.model_dump(include={"kind", "width", "activation", "initialisation"})


class Deep(Model):
    """A convolutional network for as many classes as the data have, pruned layer by layer."""

    kind: Literal["deep"] = Field(description="the architecture")
    architecture: str | None = Field(
        None,
        description="`resnet8`, `resnet20` (He et al.'s small ones), `resnet34`, `mobilenet_v2`, or the name of any "
        "classification network of torchvision; this or `file`",
    )
    form: Literal["cifar", "imagenet"] = Field(
        "imagenet",
        description="`imagenet`: torchvision's own; `cifar`: made for images of about 32 x 32 pixels, for ResNets and "
        "`mobilenet_v2`",
    )
    width_multiplier: Positive = Field(1.0, description="channels of each layer, times this; ResNets, `mobilenet_v2`")
    file: str | None = Field(
        None,
        description="a Python file of your own with a function that builds the network, relative to where snakemake is "
        "called (docs/own_network.md)",
    )
    function: str = Field("build", description="with `file`: `function(classes, channels)` returns a torch.nn.Module")
    checkpoints: Checkpoints = None
    mean: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)] | None = Field(
        None,
        description="with `checkpoints`: by which the images in [0, 1] were normalised, a number a channel; null: the "
        "mean of the training images (ImageNet's for `storage: files`)",
    )
    std: Annotated[list[Positive], Field(min_length=1)] | None = Field(
        None, description="with `checkpoints`: what the images less `mean` were divided by; null: as for `mean`"
    )

    @model_validator(mode="after")
    def _exists(self) -> "Deep":
        if (self.architecture is None) == (self.file is None):
            raise ValueError("give either architecture, the name of a network, or file, a Python file that builds one")
        if self.file is not None:
            for name in ("form", "width_multiplier"):
                if name in self.model_fields_set:
                    raise ValueError(
                        f"{name}: is for networks by name; a network from a file is as its function builds it"
                    )
            return self
        if "function" in self.model_fields_set:
            raise ValueError("function: is for a network from a file; give file, or leave it out")
        try:
            check_architecture(self.model_dump())
        except UserError as error:
            raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _normalised_elsewhere(self) -> "Deep":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both or neither")
        if self.mean is not None and self.checkpoints is None:
            raise ValueError("mean, std: a network that is trained here is given the data's own; give checkpoints, too")
        if self.mean is not None and len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers, and std has {len(self.std)}; give one a channel")
        return self

    def as_architecture(self) -> dict[str, Any]:
        """What the network is, as stages and files say it.

        Raises UserError where its file is missing, or is not one that builds a network.
        """
        if self.file is not None:
            return {"kind": self.kind, **described(self.file, self.function)}
        return self.model_dump(include={"kind", "architecture", "form", "width_multiplier"})
