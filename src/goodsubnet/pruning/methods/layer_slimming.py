"""The channels with the largest scale in the norm, as many in each layer as another method keeps."""

from typing import TYPE_CHECKING

from goodsubnet.errors import UserError
from goodsubnet.settings import BaselineLayerSettings

if TYPE_CHECKING:
    from goodsubnet.pruning.contract import LayerContext
    from goodsubnet.selection.layers import LayerSelection


class Settings(BaselineLayerSettings):
    """Network slimming (Liu et al., ICCV 2017): ranked by |scale| of the layer's last norm; ties to the lowest."""


def select(context: "LayerContext", settings: Settings) -> "LayerSelection":
    from goodsubnet.pruning.ranking import largest_scales

    if context.layer.norm is None:
        raise UserError(
            f"layer_slimming cannot prune {context.layer.name}: the layer has no norm whose scales it could rank; "
            "use layer_magnitude, or an architecture with batch norms"
        )
    return context.keep(largest_scales(context.network, context.layer.norm)[: context.width])
