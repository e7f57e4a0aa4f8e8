"""The channels with the largest scale in the norm, as many in each layer as another method keeps."""

from goodsubnet.errors import UserError
from goodsubnet.settings import BaselineLayerSettings


class Settings(BaselineLayerSettings):
    """Network slimming (Liu et al., ICCV 2017): ranked by |scale| of the layer's last norm; ties to the lowest."""


def select(context, settings: dict):
    import numpy as np

    if context.layer.norm is None:
        raise UserError(
            f"layer_slimming cannot prune {context.layer.name}: the layer has no norm whose scales it could rank; "
            "use layer_magnitude, or an architecture with batch norms"
        )
    scales = context.network.get_submodule(context.layer.norm).weight
    sizes = scales.detach().double().abs().cpu().numpy()
    return context.keep(np.argsort(-sizes, kind="stable")[: context.width])
