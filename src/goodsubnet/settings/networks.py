"""What a network computes, and where its checkpoints come from.

The keys of a deep network are those of its architecture's module, goodsubnet.networks.architectures.<module>.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from goodsubnet.errors import UserError
from goodsubnet.runtime import plugins
from goodsubnet.runtime.artifacts import Json
from goodsubnet.settings.base import Count, Model, Name, Positive
from goodsubnet.settings.faults import model_of

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
    # One provenance per stem, and a stem ends at the first dot, which names of networks may contain.
    if not name.endswith(".safetensors") or name.count(".") > 1 or "{network}" in name or "{experiment}" in name:
        raise ValueError(
            f"{pattern!r}: a file's name ends with .safetensors, has no other dot, and no {{network}} or "
            "{experiment}, which belong into its folders"
        )
    return pattern


class NetworkSettings(Model):
    """Settings shared by all networks."""

    checkpoints: Annotated[str, AfterValidator(_a_file_for_each_iteration)] | None = Field(
        None,
        description="files of checkpoints that were trained elsewhere and imported (`goodsubnet import`), as "
        "`runs/seed-{seed}/iteration-{iteration}.safetensors`; null: the network is trained here",
    )

    def as_architecture(self) -> "TwoLayerArchitecture | dict[str, Json]":
        """What the network is, as stages and files say it. Raises UserError where a part of it is missing."""
        raise TypeError(f"{type(self).__name__} does not say what its network is")

    @property
    def elsewhere(self) -> bool:
        """Whether its checkpoints were trained elsewhere."""
        return self.checkpoints is not None


class TwoLayerArchitecture(Model):
    """What a two-layer network is, as stages and files say it."""

    kind: Literal["two_layer"] = Field(description="of network: a two-layer one")
    width: Count = Field(description="hidden neurons, N")
    activation: Literal["relu", "tanh"] = Field("relu", description="`act` of the hidden layer")
    initialisation: Literal["scaled", "unit"] = Field(
        "scaled", description="a_i ~ N(0, I/d) (`scaled`) or N(0, I) (`unit`, the theory's); b_i ~ N(0, 1)"
    )


class TwoLayer(TwoLayerArchitecture, NetworkSettings):
    """A hidden layer whose neurons' outputs are averaged: f(x) = (1/N) sum_i b_i act(a_i . x)."""

    def as_architecture(self) -> TwoLayerArchitecture:
        """What the network is, as stages and files say it."""
        return TwoLayerArchitecture.model_validate(self.model_dump(include=set(TwoLayerArchitecture.model_fields)))


@dataclass(frozen=True)
class NetworkCost:
    """What a deep network costs: jobs ask for memory and time accordingly.

    multiply_adds: of an image of `size` x `size` pixels with three channels. parameters: their number, and
    most_parameters: an upper limit, for an architecture that is not known exactly. saved: MB that autograd keeps per
    image, float32. slowness: how many times as slow it is as its multiply-adds suggest.
    """

    multiply_adds: float = 2e9
    parameters: float = 20e6
    most_parameters: float = 140e6
    # The most among resnet50 (86), vgg16 (73) and densenet121 (131) at 224 x 224.
    saved: float = 131.0
    size: int = 224
    slowness: float = 1.0


class DeepNetworkSettings(NetworkSettings):
    """A network for as many classes as the data have, pruned layer by layer."""

    described: ClassVar[tuple[str, ...]] = ()
    """Keys that say what the network is, beside `kind`: those of a file that holds it. Empty: all of its own keys."""

    kind: Literal["deep"] = Field(description="of network: a deep one")
    mean: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)] | None = Field(
        None,
        description="with `checkpoints`: by which the images in [0, 1] were normalised, one number per channel; null: "
        "the mean of the training images (ImageNet's for `storage: files`)",
    )
    std: Annotated[list[Positive], Field(min_length=1)] | None = Field(
        None, description="with `checkpoints`: what the images less `mean` were divided by; null: as for `mean`"
    )

    @model_validator(mode="after")
    def _normalised_elsewhere(self) -> "DeepNetworkSettings":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both or neither")
        if self.mean is not None and self.checkpoints is None:
            raise ValueError("mean, std: a network that is trained here is given the data's own; give checkpoints, too")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers, and std has {len(self.std)}; give one per channel")
        return self

    def as_architecture(self) -> dict[str, Json]:
        """What the network is, as stages and files say it.

        Raises UserError where a part of it is missing.
        """
        own = self.described or [
            name for name in type(self).model_fields if name not in DeepNetworkSettings.model_fields
        ]
        return self.model_dump(mode="json", include={"kind", *own})

    def cost(self) -> NetworkCost:
        """What the network costs, roughly; by default what a large one does."""
        return NetworkCost()


class NamedNetworkSettings(DeepNetworkSettings):
    """A network that is known by name."""

    described: ClassVar[tuple[str, ...]] = ("architecture", "form", "width_multiplier")
    costs: ClassVar[dict[tuple[str, str], NetworkCost]] = {}
    """(architecture, form) -> its cost at a width multiplier of 1."""

    architecture: Name = Field(description="the name of the network")
    form: Literal["cifar", "imagenet"] = Field(
        "imagenet",
        description="`imagenet`: torchvision's own; `cifar`: made for images of about 32 x 32 pixels, for ResNets and "
        "`mobilenet_v2`",
    )
    width_multiplier: Positive = Field(1.0, description="channels of each layer, times this; ResNets, `mobilenet_v2`")

    @model_validator(mode="before")
    @classmethod
    def _no_function(cls, value: object) -> object:
        if isinstance(value, Mapping) and "function" in value and "function" not in cls.model_fields:
            raise ValueError("function: is for a network from a file; give file, or leave it out")
        return value

    def cost(self) -> NetworkCost:
        cost, times = self.costs.get((self.architecture, self.form), NetworkCost()), self.width_multiplier
        return NetworkCost(
            multiply_adds=cost.multiply_adds * times**2,
            parameters=cost.parameters * times**2,
            most_parameters=cost.most_parameters * times**2,
            saved=cost.saved * times,
            size=cost.size,
            slowness=cost.slowness,
        )


def architectures() -> dict[str, str]:
    """The names of architectures -> the module that builds them. Raises UserError where two have the same."""
    names: dict[str, str] = {}
    there = plugins.found("architectures")
    # Ours first: it is the user's file that must have another name.
    for module in sorted(there, key=lambda name: there[name].path is not None):
        for name in getattr(plugins.read("architectures", module), "ARCHITECTURES", (module,)):
            if name in names:
                path = there[module].path or module
                raise UserError(f"{path}: the architecture {name} is {names[name]}'s; choose another name")
            names[name] = module
    return names


def builder_of(architecture: Mapping[str, Json]) -> plugins.Plugin:
    """What builds a deep network. architecture: what `DeepNetworkSettings.as_architecture` gives."""
    module = "own_file" if "file" in architecture else architectures()[str(architecture["architecture"])]
    return plugins.found("architectures")[module]


def deep_model(value: Mapping[str, object]) -> type[DeepNetworkSettings]:
    """The model of a deep network's settings: that of its architecture. Raises ValueError where there is none."""
    if not isinstance(value, Mapping):
        raise ValueError(f"a network is described by keys and values, not by {value!r}")
    name, file = value.get("architecture"), value.get("file")
    if (name is None) == (file is None):
        raise ValueError("give either architecture, the name of a network, or file, a Python file that builds one")
    if file is not None:
        return model_of("architectures", "own_file", DeepNetworkSettings)
    try:
        known = architectures()
    except UserError as error:
        raise ValueError(str(error)) from None
    if name not in known:
        small = ", ".join(sorted(other for other, module in known.items() if module != "torchvision"))
        raise ValueError(
            f"architecture: {name!r} is unknown; give one of {small}, "
            "or another classification network of torchvision (vgg16_bn, densenet121 ...)"
        )
    return model_of("architectures", known[str(name)], DeepNetworkSettings)


def network_settings(value: object) -> NetworkSettings:
    """The settings of a network, by its kind and architecture. Raises ValueError in words."""
    if isinstance(value, NetworkSettings):
        return value
    if not isinstance(value, Mapping) or value.get("kind") not in ("two_layer", "deep"):
        given = f", not {value['kind']!r}" if isinstance(value, Mapping) and "kind" in value else ""
        raise ValueError(f"needs the key kind, two_layer or deep{given}")
    if value["kind"] == "two_layer":
        return TwoLayer.model_validate(value)
    return deep_model(value).model_validate(value)


AnyNetwork = Annotated[SerializeAsAny[NetworkSettings], BeforeValidator(network_settings)]
