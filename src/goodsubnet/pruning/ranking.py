"""Channels of a layer, ranked by weights alone."""

import numpy as np
from torch import nn

from goodsubnet.networks.layers import PrunableLayer


def largest_filters(network: nn.Module, layer: PrunableLayer) -> np.ndarray:
    """All channels, int64 (C,), by the L1 norm of the filter that makes each, largest first; ties to the lowest.

    Source: Li et al., Pruning Filters for Efficient ConvNets (ICLR 2017).
    """
    weight = network.get_parameter(f"{layer.name}.weight")
    norms = weight.detach().double().abs().sum((1, 2, 3)).cpu().numpy()
    return np.argsort(-norms, kind="stable")


def largest_scales(network: nn.Module, norm: str) -> np.ndarray:
    """All channels, int64 (C,), by the absolute scale in the norm of this name, largest first; ties to the lowest.

    Source: Liu et al., Network Slimming (ICCV 2017).
    """
    scales = network.get_parameter(f"{norm}.weight")
    return np.argsort(-scales.detach().double().abs().cpu().numpy(), kind="stable")
