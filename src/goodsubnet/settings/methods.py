"""The keys of all pruning methods; a method's own keys are in its module, goodsubnet.pruning.methods.<algorithm>."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from goodsubnet.runtime import plugins
from goodsubnet.settings.base import Count, Iteration, Model, Name, Positive
from goodsubnet.settings.faults import model_of, typed

# Images that are sent through a deep network at once unless a method says otherwise.
EVALUATED_AT_ONCE = 128
PROBE_IMAGES = 1024
# Passes over a batch and the probe, of all layers together.
FORWARDS_OF_A_PRUNING = 300


@dataclass(frozen=True)
class NeuronWork:
    """What a selection of neurons costs, roughly: jobs ask for memory and time accordingly.

    outputs: how many times the outputs of all neurons on all examples are held at once; 0: they are not computed.
    scores: how many times each neuron is looked at on each example. training: multiply-adds, counted as two, of
    training between the steps. weights: how many times the weights are held.
    """

    outputs: float = 0.0
    scores: float = 0.0
    training: float = 0.0
    weights: float = 2.0


class MethodSettings(Model):
    """Settings shared by all pruning methods."""

    kind: ClassVar[str]
    """The kind of networks that it prunes."""

    algorithm: Name = Field(description="the module of goodsubnet.pruning.methods that chooses what stays")


class Distributed(Model):
    """Of a method that several workers can run together (Algorithm 2). The result is the same, so no key is in it."""

    workers: Count = Field(1, description="processes that select together (Algorithm 2); nothing runs again for them")
    nodes: Count = Field(
        1, description="machines that the workers are spread over, evenly, in a Slurm allocation; 1: a single one"
    )
    graph: Literal["all", "ring", "tree"] = Field(
        "all", description="how workers talk: `all` by collectives, or along a `ring` or a binary `tree`"
    )

    @model_validator(mode="after")
    def _evenly_spread(self) -> "Distributed":
        if self.workers % self.nodes:
            raise ValueError(f"workers: {self.workers} cannot be spread evenly over {self.nodes} nodes")
        return self


class NeuronMethodSettings(MethodSettings):
    """Settings shared by all methods that choose neurons of a two-layer network."""

    kind: ClassVar[str] = "two_layer"

    steps: Count | None = Field(None, description="stop after so many selection steps")
    distinct: Count | None = Field(None, description="stop at so many distinct neurons, instead of `steps`")

    @model_validator(mode="after")
    def _one_way_to_stop(self) -> "NeuronMethodSettings":
        if (self.steps is None) == (self.distinct is None):
            raise ValueError("give either steps or distinct: one of them says when to stop")
        return self

    @property
    def size(self) -> int:
        """`steps` or `distinct`, whichever says when to stop."""
        size = self.distinct if self.steps is None else self.steps
        if size is None:
            raise ValueError("neither steps nor distinct")
        return size

    @property
    def least_width(self) -> int:
        """How many neurons the network must have."""
        return self.distinct or 1

    def work(self, examples: int, inputs: int, width: int) -> NeuronWork:
        """What a selection costs. examples, inputs, width: of the sub-dataset and the network.

        Unless a method says otherwise: the outputs of all neurons, looked at once in each step.
        """
        return NeuronWork(outputs=1, scores=self.size)


class DistinctMethodSettings(NeuronMethodSettings):
    """A method that chooses a neuron once at most, so `steps` and `distinct` mean the same."""

    @property
    def least_width(self) -> int:
        return self.size


class LayerMethodSettings(MethodSettings):
    """Settings shared by all methods that choose channels of a deep network, layer by layer."""

    kind: ClassVar[str] = "deep"

    finetune_iterations: Iteration = Field(
        0, description="after each layer, train the whole network for so many iterations"
    )
    finetune_learning_rate: Positive = Field(2.5e-3, description="of that training; constant, without momentum")

    @property
    def given_tolerance(self) -> float | None:
        """The share of the accuracy that a layer may cost, where the configuration gives it."""
        return None

    @property
    def asked_ratio(self) -> tuple[float, float] | None:
        """Multiply-adds over the dense network's for which the tolerance is searched, and how far they may be off."""
        return None

    @property
    def probe_images(self) -> int:
        """Training images on which the accuracy is checked."""
        return PROBE_IMAGES

    @property
    def images_at_once(self) -> int:
        """Images that are sent through the network at once."""
        return EVALUATED_AT_ONCE

    def forward_images(self, examples: int) -> float:
        """Images that are sent through the network in all. examples: of the sub-dataset."""
        return FORWARDS_OF_A_PRUNING * self.images_at_once


class BaselineLayerSettings(LayerMethodSettings):
    """A method that takes the number of channels of each layer from another one, so that the two compare."""

    widths_from: Name = Field(description="the method, a name under `methods`, whose widths it takes")

    def forward_images(self, examples: int) -> float:
        return 0


def algorithms() -> list[str]:
    """The pruning algorithms there are."""
    return list(plugins.found("methods"))


def method_model(algorithm: str) -> type[MethodSettings]:
    """The settings model of an algorithm. Raises ValueError where there is none of this name."""
    return model_of("methods", algorithm, MethodSettings)


def method_settings(value: object) -> MethodSettings:
    """The settings of a method, by its algorithm."""
    return typed("methods", "algorithm", value, MethodSettings)


AnyMethod = Annotated[SerializeAsAny[MethodSettings], BeforeValidator(method_settings)]
