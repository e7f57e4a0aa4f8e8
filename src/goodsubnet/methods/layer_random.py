"""Channels drawn at random, as many in each layer as another method keeps: what a selection must beat."""

from goodsubnet.data.randomness import random_generator
from goodsubnet.settings import BaselineLayerSettings


class Settings(BaselineLayerSettings):
    """Uniform without replacement, a function of the seed; the same channels at every checkpoint."""


def select(context, settings: dict):
    generator = random_generator("random channels", context.seed, context.index)
    return context.keep(generator.permutation(context.layer.channels)[: context.width])
