"""The channels whose filters have the largest norm, as many in each layer as another method keeps."""

from typing import TYPE_CHECKING

from goodsubnet.settings import BaselineLayerSettings

if TYPE_CHECKING:
    from goodsubnet.pruning.contract import LayerContext
    from goodsubnet.selection.layers import LayerSelection


class Settings(BaselineLayerSettings):
    """Ranked by the L1 norm of the filter that makes the channel (Li et al., ICLR 2017); ties to the lowest."""


def select(context: "LayerContext", settings: Settings) -> "LayerSelection":
    from goodsubnet.pruning.ranking import largest_filters

    return context.keep(largest_filters(context.network, context.layer)[: context.width])
