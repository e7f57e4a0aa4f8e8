"""The channels whose filters have the largest norm, as many in each layer as another method keeps."""

from goodsubnet.settings import BaselineLayerSettings


class Settings(BaselineLayerSettings):
    """Ranked by the L1 norm of the filter that makes the channel (Li et al., ICLR 2017); ties to the lowest."""


def select(context, settings: dict):
    import numpy as np

    weight = context.network.get_submodule(context.layer.name).weight
    norms = weight.detach().double().abs().sum((1, 2, 3)).cpu().numpy()
    return context.keep(np.argsort(-norms, kind="stable")[: context.width])
