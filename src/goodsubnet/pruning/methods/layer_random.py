"""Channels drawn at random, as many in each layer as another method keeps: what a selection must beat."""

from typing import TYPE_CHECKING

from goodsubnet.data.randomness import random_generator
from goodsubnet.settings import BaselineLayerSettings

if TYPE_CHECKING:
    from goodsubnet.pruning.contract import LayerContext
    from goodsubnet.selection.layers import LayerSelection


class Settings(BaselineLayerSettings):
    """Uniform without replacement, a function of the seed; the same channels at every checkpoint."""


def select(context: "LayerContext", settings: Settings) -> "LayerSelection":
    generator = random_generator("random channels", context.seed, context.index)
    return context.keep(generator.permutation(context.layer.channels)[: context.width])
