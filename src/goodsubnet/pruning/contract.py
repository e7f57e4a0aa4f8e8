"""What a pruning method is given, and what it gives back: the contracts of the modules in `pruning.methods`.

What only annotations need is not imported: with torch a two-layer selection takes 600 MB, not 200, and starts later.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from goodsubnet.runtime import plugins
from goodsubnet.settings.methods import LayerMethodSettings, NeuronMethodSettings

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from goodsubnet.networks.layers import PrunableLayer, SplitNetwork
    from goodsubnet.runtime.group import Alone, Workers
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.layers import LayerSelection
    from goodsubnet.selection.trace import Selection

N = TypeVar("N", bound=NeuronMethodSettings)
L = TypeVar("L", bound=LayerMethodSettings)


class NeuronMethod(Protocol[N]):
    """A method that chooses neurons of a two-layer network."""

    @property
    def Settings(self) -> type[N]:
        """Its keys, and what a selection costs."""

    def select(self, candidates: "Candidates", settings: N, seed: int) -> "Selection":
        """Choose among the neurons of a trained network, and trace loss, size and cost (`selection.trace`).

        Raises UserError where nothing can be chosen.
        """


class LayerContext(Protocol):
    """What a method may look at when it chooses a layer's channels.

    network: in eval mode, with the layers before this one already pruned. index: of the layer, from 0. tolerance: of a
    greedy method, width: of the others, the number of channels to keep. split: the network cut where the layer is read.
    accuracy: of the whole layer, on the probe. workers: who select together.
    """

    network: "nn.Module"
    layer: "PrunableLayer"
    index: int
    seed: int
    tolerance: float | None
    width: int | None
    workers: "Workers | Alone"

    @property
    def split(self) -> "SplitNetwork": ...

    @property
    def accuracy(self) -> float: ...

    def batch(self, step: int, size: int) -> "tuple[Tensor, Tensor]":
        """The mini-batch of a step, a function of seed, layer and step: training images and labels."""

    def masked_accuracy(self, gains: "np.ndarray") -> float:
        """Share of the probe that is classified right with the channels times `gains`, (C,); asked by all workers."""

    def keep(self, channels: "Sequence[int] | np.ndarray") -> "LayerSelection":
        """The selection of these channels, as they are: all gains are 1."""


class LayerMethod(Protocol[L]):
    """A method that chooses channels of a deep network, layer by layer."""

    @property
    def Settings(self) -> type[L]:
        """Its keys, and what a selection costs."""

    def select(self, context: LayerContext, settings: L) -> "LayerSelection":
        """Choose channels of a layer. Raises UserError where nothing can be chosen."""


def neuron_method(settings: NeuronMethodSettings) -> NeuronMethod[NeuronMethodSettings]:
    """The method that the settings belong to."""
    return cast(NeuronMethod[NeuronMethodSettings], plugins.load("methods", settings.algorithm))


def layer_method(settings: LayerMethodSettings) -> LayerMethod[LayerMethodSettings]:
    """The method that the settings belong to."""
    return cast(LayerMethod[LayerMethodSettings], plugins.load("methods", settings.algorithm))
