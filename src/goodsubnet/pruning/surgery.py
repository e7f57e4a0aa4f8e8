"""Pruning a layer for good: gains folded into the weights, channels removed from the tensors."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch_pruning import DependencyGraph, prune_conv_out_channels

from goodsubnet.networks.deep import evaluating
from goodsubnet.networks.layers import PrunableLayer


def fold(network: nn.Module, layer: PrunableLayer, gains: Sequence[float] | np.ndarray | Tensor) -> None:
    """Multiply what the consumer reads of channel c by gains[c], in its weights and in place.

    gains: (channels,), zero for a channel that is masked. The network then has the outputs that it had with the gains
    applied to the consumer's inputs.
    """
    weight = cast(nn.Conv2d, network.get_submodule(layer.consumer)).weight
    factors = torch.as_tensor(gains, dtype=weight.dtype, device=weight.device)
    if factors.shape != (weight.shape[1],):
        raise ValueError(f"{layer.consumer} reads {weight.shape[1]} channels; the gains have shape {factors.shape}")
    with torch.no_grad():
        weight.mul_(factors[:, None, None])


def shrink(
    network: nn.Module, layer: PrunableLayer, kept: Sequence[int] | np.ndarray | Tensor, example: Tensor
) -> None:
    """Remove all channels of a layer but `kept`, in place, from every tensor that has them.

    kept: indices of channels, in any order. example: (1, C, H, W), an image that the network is traced with. The
    network then has the outputs that it had with the other channels at zero where the consumer reads them. Parameters
    of the layer are new tensors: an optimiser must be created again, and gradients are dropped.
    Raises ValueError if nothing is kept, or a channel that is not there.
    """
    producer = cast(nn.Conv2d, network.get_submodule(layer.name))
    consumer = cast(nn.Conv2d, network.get_submodule(layer.consumer))
    chosen = {int(channel) for channel in kept}
    if not chosen or not chosen <= set(range(producer.out_channels)):
        raise ValueError(f"{layer.name} has channels 0 to {producer.out_channels - 1}; cannot keep {sorted(chosen)}")
    removed = sorted(set(range(producer.out_channels)) - chosen)
    if not removed:
        return
    trainable = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    try:
        with evaluating(network), torch.inference_mode(False), torch.enable_grad():
            # torch_pruning reads its graph off that of the gradients.
            network.requires_grad_(True)
            graph = _graph(network, producer, consumer, example.clone())
            group = graph.get_pruning_group(producer, prune_conv_out_channels, idxs=removed)
            if not graph.check_pruning_group(group):
                raise ValueError(f"{layer.name}: removing {len(removed)} channels would leave a tensor without any")
            group.prune()
    finally:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(trainable[name])
            parameter.grad = None


def _graph(network: nn.Module, producer: nn.Conv2d, consumer: nn.Conv2d, example: Tensor) -> DependencyGraph:
    """The graph from the convolution that makes the channels to the one that reads them, and nothing else.

    torch_pruning cannot read the graph of every whole network: not that of ShuffleNetV2, say, with its shuffled
    channels.
    """
    consumed: list[Tensor] = []
    hooks = [
        producer.register_forward_pre_hook(lambda _module, inputs: tuple(value.detach() for value in inputs)),
        consumer.register_forward_hook(lambda _module, _inputs, outputs: consumed.append(outputs)),
    ]
    try:
        # A tuple: of a bare tensor torch_pruning would first try to pass the images one by one.
        return DependencyGraph().build_dependency(
            network, example_inputs=(example,), output_transform=lambda _logits: consumed[0]
        )
    finally:
        for hook in hooks:
            hook.remove()
