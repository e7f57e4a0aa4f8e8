"""One checkpoint of a deep network, observed on a probe, by a subnetwork that costs next to nothing to choose.

Greedy selection layer by layer takes as long as much of the training. Here a share of each prunable layer's channels
stays, those whose filters are largest (`methods.layer_magnitude`; Early-Bird ranks by the norms' scales), and the
norms' statistics are measured again on the probe, without which such a network guesses. That shows when channels settle
and how good they are compared with one another, not how good a subnetwork can become.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goodsubnet.errors import UserError
from goodsubnet.networks.deep import evaluating
from goodsubnet.networks.layers import NORMS, prunable_layers
from goodsubnet.pruning.ranking import largest_filters
from goodsubnet.pruning.surgery import fold
from goodsubnet.stopping.observation import NOT_FOR_DEEP, Observation, relative_distance

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array

BATCH = 128


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """A copy of the parameters, name -> array, on the CPU; the statistics of norms are not parameters."""
    return {name: value.detach().float().cpu().numpy().copy() for name, value in network.named_parameters()}


def observe(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    initial: "Mapping[str, Array]",
    iteration: int,
    *,
    share: float,
) -> Observation:
    """network: takes `images`, (examples, C, H, W), and returns logits; it is left as it was. labels: (examples,).

    initial: as `weights_of` gives them. share: of each prunable layer's channels that stay, at least one.
    Cost: three passes of the probe, one of them for the dense network's own measures; the masks and the distance need
    none. Nothing random is drawn. Raises UserError where the network cannot be pruned, or a loss is not a number.
    """
    dense_loss, dense_accuracy = measure(network, images, labels)
    pruned = copy.deepcopy(network)
    chosen, candidates = mask_smallest(pruned, share)
    renew_norms(pruned, images)
    pruned_loss, pruned_accuracy = measure(pruned, images, labels)
    shares = np.bincount(labels.cpu().numpy()) / len(labels)
    return Observation(
        iteration=iteration,
        pruned_loss=pruned_loss,
        pruned_accuracy=pruned_accuracy,
        dense_loss=dense_loss,
        dense_accuracy=dense_accuracy,
        trivial_loss=float(-sum(p * np.log(p) for p in shares if p > 0)),
        bound=NOT_FOR_DEEP,
        distance=relative_distance(weights_of(network), initial),
        chosen=chosen,
        candidates=candidates,
        forward_passes={"pruned_loss": 2.0 * len(labels), "chosen": 0.0, "bound": 0.0, "distance": 0.0},
    )


def mask_smallest(network: nn.Module, share: float) -> tuple[list[int], int]:
    """Silence the channels of the smallest filters, in place; which of how many stay, over all prunable layers.

    Where a silent channel is read its weights become 0, so the network is the one without the channel.
    """
    chosen, candidates = [], 0
    for layer in prunable_layers(network):
        kept = np.sort(largest_filters(network, layer)[: max(1, round(share * layer.channels))])
        gains = np.zeros(layer.channels)
        gains[kept] = 1
        fold(network, layer, gains)
        chosen += (candidates + kept).tolist()
        candidates += layer.channels
    return chosen, candidates


def renew_norms(network: nn.Module, images: Tensor) -> None:
    """Set the running statistics of every batch norm to the means over batches of these images, in place."""
    norms = [module for module in network.modules() if isinstance(module, NORMS) and module.track_running_stats]
    if not norms or len(images) < 2:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(network), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
            norm.training = True
        for batch in batches(len(images)):
            network(on_device_of(network, images[batch]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def measure(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in float64, and accuracy, in evaluation mode. Raises UserError where it is not a number."""
    total, right = 0.0, 0
    with evaluating(network):
        for batch in batches(len(images)):
            logits = network(on_device_of(network, images[batch])).double().cpu()
            truth = labels[batch].cpu()
            total += float(functional.cross_entropy(logits, truth, reduction="sum"))
            right += int((logits.argmax(1) == truth).sum())
    if not np.isfinite(total):
        raise UserError(f"the training diverged: the loss of the network is {total}; lower its learning rate")
    return total / len(images), right / len(images)


def batches(examples: int) -> Sequence[slice]:
    """Slices of at most BATCH examples, as even as can be: a norm must not see a single image."""
    count = -(-examples // BATCH)
    edges = [examples * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def on_device_of(network: nn.Module, images: Tensor) -> Tensor:
    """Images where the network is, and in its precision."""
    parameter = next(network.parameters())
    return images.to(device=parameter.device, dtype=parameter.dtype)
