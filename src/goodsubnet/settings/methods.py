"""What every pruning method is told; a method's own keys are in its module, goodsubnet.methods.<algorithm>."""

import importlib
import pkgutil
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from goodsubnet.settings.base import Count, Iteration, Model, Name, Positive


class MethodSettings(Model):
    """What every pruning method is told; a method's own keys are in its module, goodsubnet.methods.<algorithm>."""

    kind: ClassVar[str]
    """The kind of networks that it prunes."""

    algorithm: Name = Field(description="the module of goodsubnet.methods that chooses what stays")


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
    """What every method is told that chooses neurons of a two-layer network."""

    kind: ClassVar[str] = "two_layer"

    steps: Count | None = Field(None, description="stop after so many selection steps")
    distinct: Count | None = Field(None, description="stop at so many distinct neurons, instead of `steps`")

    @model_validator(mode="after")
    def _one_way_to_stop(self) -> "NeuronMethodSettings":
        if (self.steps is None) == (self.distinct is None):
            raise ValueError("give either steps or distinct: one of them says when to stop")
        return self

    @property
    def least_width(self) -> int:
        """How many neurons the network must have."""
        return self.distinct or 1


class DistinctMethodSettings(NeuronMethodSettings):
    """A method that chooses a neuron once at most, so `steps` and `distinct` mean the same."""

    @property
    def least_width(self) -> int:
        return self.distinct or self.steps


class LayerMethodSettings(MethodSettings):
    """What every method is told that chooses channels of a deep network, layer by layer."""

    kind: ClassVar[str] = "deep"

    finetune_iterations: Iteration = Field(
        0, description="after each layer, train the whole network for so many iterations"
    )
    finetune_learning_rate: Positive = Field(2.5e-3, description="of that training; constant, without momentum")


class BaselineLayerSettings(LayerMethodSettings):
    """A method that takes the number of channels of each layer from another one, so that the two compare."""

    widths_from: Name = Field(description="the method, a name under `methods`, whose widths it takes")


def algorithms() -> list[str]:
    """The pruning algorithms there are: a module of goodsubnet.methods each."""
    from goodsubnet import methods

    return sorted(module.name for module in pkgutil.iter_modules(methods.__path__))


def method_model(algorithm: str) -> type[MethodSettings]:
    """The settings model of an algorithm."""
    if algorithm not in algorithms():
        raise ValueError(f"algorithm {algorithm!r} is not one of {', '.join(algorithms())}")
    return importlib.import_module(f"goodsubnet.methods.{algorithm}").Settings
