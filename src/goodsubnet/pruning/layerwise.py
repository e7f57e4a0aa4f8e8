"""A deep network pruned layer by layer, from input to output, and the tolerance that gives it a wanted size."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks.complexity import complexity
from goodsubnet.networks.deep import evaluating
from goodsubnet.networks.layers import PrunableLayer, SplitNetwork, prunable_layers
from goodsubnet.pruning import surgery
from goodsubnet.pruning.contract import layer_method
from goodsubnet.runtime.group import ALONE, Alone, Workers
from goodsubnet.selection.layers import LayerSelection
from goodsubnet.settings.methods import LayerMethodSettings

PROBE_BATCH = 128
PROBE_NUMBERS = 2**28  # 1 GiB of float32: how much of a probe is kept at the cut between two checks
CHANCE = 1.5  # times 1/classes: an accuracy up to it says that the network has learned nothing


class KeepsEverything(UserError):
    """The tolerance is too small: no layer could be pruned."""


class KeepsNothing(UserError):
    """The tolerance is too large: a channel is left in each layer, and the network guesses."""


class Images(Protocol):
    """Training images."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images, (B, channels, H, W) float32 in [0, 1], and labels, (B,) int64, where the network is."""


@dataclass(frozen=True)
class LayerRecord:
    """What pruning did to a layer.

    name, channels: the layer, as it was. kept: int64, the channels that are left, rising. gains: float64, the factor
    folded into each of them. steps: of the selection. losses: float64 (steps,), empty where a method computes none.
    accuracy_before, accuracy_after: on the probe, the second before any fine-tuning. evaluations, considered:
    candidates whose loss was computed, of how many. complete: False where the layer stayed whole, because `max_steps`
    came before the wanted accuracy.
    """

    name: str
    channels: int
    kept: np.ndarray
    gains: np.ndarray
    steps: int
    losses: np.ndarray
    accuracy_before: float
    accuracy_after: float
    evaluations: int
    considered: int
    complete: bool


class LayerAtHand:
    """A `contract.LayerContext`: what a method may look at when it chooses a layer's channels.

    network: in eval mode, with the layers before this one already pruned. index: of the layer, from 0. tolerance: of a
    greedy method, width: of the others, the number of channels to keep. workers: who select together; the probe is
    shared among them.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: PrunableLayer,
        index: int,
        images: Images,
        seed: int,
        probe_size: int,
        tolerance: float | None,
        width: int | None,
        workers: Workers | Alone = ALONE,
    ) -> None:
        self.workers = workers
        self.network, self.layer, self.index, self.seed = network, layer, index, seed
        self.tolerance, self.width = tolerance, width
        self._images = images
        self._probe_indices = self._draw("probe", probe_size)
        self._cut_probe: list[tuple[Tensor, tuple[Tensor, ...], Tensor]] = []

    @cached_property
    def split(self) -> SplitNetwork:
        """The network cut where the layer is read."""
        return SplitNetwork(self.network, self.layer)

    @cached_property
    def accuracy(self) -> float:
        """Of the whole layer, on the probe."""
        return self.masked_accuracy(np.ones(self.layer.channels))

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """The mini-batch of a step, a function of seed, layer and step: training images and labels."""
        return self._images.take(self._draw("selection batch", size, step))

    @torch.no_grad()
    def masked_accuracy(self, gains: np.ndarray) -> float:
        """Share of the probe that is classified right with the channels times `gains`, (C,); asked by all workers."""
        right = 0
        for inputs, rest, labels in self._probe():
            factors = inputs.new_tensor(gains).view(-1, 1, 1)
            # What follows the cut may work in place, and a kept part of the probe must stay unchanged.
            logits = self.split.after(self.split.consumer(inputs * factors), tuple(value.clone() for value in rest))
            right += int((logits.argmax(1) == labels).sum())
        return self.workers.total(right) / len(self._probe_indices)

    def keep(self, channels: Sequence[int] | np.ndarray) -> LayerSelection:
        """The selection of these channels, as they are: all gains are 1."""
        gains = np.zeros(self.layer.channels)
        gains[channels] = 1
        return LayerSelection(np.asarray(channels, np.int64), np.empty(0), gains, True, 0, 0)

    def _draw(self, purpose: str, size: int, *key: int) -> np.ndarray:
        generator = random_generator(purpose, self.seed, self.index, *key)
        return generator.choice(len(self._images), min(size, len(self._images)), replace=False)

    def _probe(self) -> Iterator[tuple[Tensor, tuple[Tensor, ...], Tensor]]:
        """This worker's probe in batches, at the cut: (inputs, rest, labels); kept if that is small enough."""
        if self._cut_probe:
            yield from self._cut_probe
            return
        parts = []
        indices = self.workers.share(self._probe_indices)
        for first in range(0, len(indices), PROBE_BATCH):
            images, labels = self._images.take(indices[first : first + PROBE_BATCH])
            part = (*self.split.before(images), labels)
            numbers = (part[0].numel() + sum(value.numel() for value in part[1])) * len(indices)
            if numbers <= PROBE_NUMBERS * len(images):
                parts.append(part)
            yield part
        self._cut_probe = parts


def prune_network(
    network: nn.Module,
    settings: LayerMethodSettings,
    images: Images,
    seed: int,
    *,
    tolerance: float | None = None,
    widths: Mapping[str, int] | None = None,
    finetune: Callable[[nn.Module, int], None] | None = None,
    refuse_extremes: bool = True,
    workers: Workers | Alone = ALONE,
) -> list[LayerRecord]:
    """Prune every prunable layer of a network, in place, and leave the network in evaluation mode.

    settings: of the method. images: training images. seed: of the trial; with a layer's index it
    names the random streams. tolerance: instead of that in `settings`. widths: layer -> channels to keep, for methods
    that take them from another one. finetune: called with the network and the layer's index after each layer that was
    pruned, where `settings` ask for it. refuse_extremes: False takes the result as it is where a tolerance, found on
    another checkpoint, keeps everything or nothing of this one. workers: who prune together; each does this with all
    the same arguments, and gets the same network.
    Raises KeepsEverything, KeepsNothing (both are UserErrors) where the tolerance is of no use, UserError where a loss
    is not a number.
    Source: Ye et al. (ICML 2020), applied by the paper's Algorithm 1.
    """
    method = layer_method(settings)
    tolerance = settings.given_tolerance if tolerance is None else tolerance
    records: list[LayerRecord] = []
    for index, layer in enumerate(prunable_layers(network)):
        network.eval()
        width = None if widths is None else widths[layer.name]
        context = LayerAtHand(network, layer, index, images, seed, settings.probe_images, tolerance, width, workers)
        selection = method.select(context, settings)
        records.append(_record(context, selection))
        kept = records[-1].kept
        if len(kept) == layer.channels and np.all(records[-1].gains == 1):
            continue
        surgery.fold(network, layer, selection.gains)
        surgery.shrink(network, layer, kept, images.take(np.arange(1))[0])
        if finetune is not None and settings.finetune_iterations:
            finetune(network, index)
            if workers.size > 1:
                # On another kind of machine the last bits may differ.
                for value in network.state_dict().values():
                    value.copy_(torch.from_numpy(workers.broadcast(value.cpu().numpy(), 0)))
    network.eval()
    if widths is None and refuse_extremes:
        _check_tolerance(network, records, images, tolerance)
    return records


def _record(context: LayerAtHand, selection: LayerSelection) -> LayerRecord:
    layer = context.layer
    gains = selection.gains if selection.complete else np.ones(layer.channels)
    kept = np.flatnonzero(gains)
    return LayerRecord(
        name=layer.name,
        channels=layer.channels,
        kept=kept,
        gains=gains[kept],
        steps=len(selection.channels),
        losses=selection.losses,
        accuracy_before=context.accuracy,
        accuracy_after=context.masked_accuracy(gains),
        evaluations=selection.evaluations,
        considered=selection.considered,
        complete=selection.complete,
    )


def _check_tolerance(
    network: nn.Module, records: Sequence[LayerRecord], images: Images, tolerance: float | None
) -> None:
    if all(len(record.kept) == record.channels for record in records):
        raise KeepsEverything(
            f"the tolerance {tolerance:g} keeps every channel of every layer; raise tolerance, or max_steps"
        )
    with torch.no_grad():
        classes = network(images.take(np.arange(1))[0]).shape[1]
    accuracy = records[-1].accuracy_after
    if all(len(record.kept) == 1 for record in records) and accuracy <= CHANCE / classes:
        raise KeepsNothing(
            f"the tolerance {tolerance:g} keeps nothing: one channel a layer is left, and the accuracy is "
            f"{accuracy:.3f}, as by chance; lower tolerance, or train the network for longer"
        )


def least_flops_ratio(network: nn.Module, image: Sequence[int]) -> float:
    """Multiply-adds with one channel left in every prunable layer over those of the network: no tolerance gives fewer.

    image: (C, H, W).
    """
    small = copy.deepcopy(network)
    parameter = next(network.parameters())
    example = torch.zeros(1, *image, device=parameter.device, dtype=parameter.dtype)
    with evaluating(small):
        for layer in prunable_layers(small):
            surgery.shrink(small, layer, [0], example)
        return complexity(small, image)["multiply_adds"] / complexity(network, image)["multiply_adds"]


class Try(TypedDict):
    """A tolerance, and the share of the multiply-adds that it left; None where it kept nothing."""

    tolerance: float
    flops_ratio: float | None


def find_tolerance(
    ratio_of: Callable[[float], float],
    target: float,
    margin: float,
    *,
    first: float = 0.02,
    smallest: float = 1e-4,
    largest: float = 0.95,
    tries: int = 12,
) -> tuple[float, list[Try]]:
    """The tolerance whose pruned network has `target` of the multiply-adds: bisection of its logarithm.

    ratio_of: prunes with a tolerance and returns the share of the multiply-adds that is left, which falls, in steps,
    as the tolerance grows; it may raise KeepsEverything (counts as 1) or KeepsNothing (too few). margin: a ratio
    so close to the target ends the search; after `tries`, between two tolerances that are almost equal, or where three
    in a row on one side of the target gave the same ratio, the closest is used. first: the tolerance tried first.
    smallest, largest: the range.
    Returns the tolerance and every try: [{"tolerance": ..., "flops_ratio": ...}], None where nothing was kept.
    Raises UserError where no try gave a network.
    """
    low, high = math.log(smallest), math.log(largest)
    inside_low = inside_high = False
    trace: list[Try] = []
    guess = math.log(first)
    refusal: UserError | None = None
    while len(trace) < tries and high - low > 1e-3:
        tolerance = math.exp(guess)
        ratio: float | None
        try:
            ratio = ratio_of(tolerance)
        except KeepsEverything as error:
            ratio, refusal = 1.0, error
        except KeepsNothing as error:
            ratio, refusal = None, error
        trace.append({"tolerance": tolerance, "flops_ratio": ratio})
        if ratio is not None and abs(ratio - target) <= margin:
            break
        if ratio is not None and ratio > target:
            low, inside_low = guess, True
        else:
            high, inside_high = guess, True
        alike = ratio not in (None, 1.0) and [entry["flops_ratio"] for entry in trace[-3:]] == 3 * [ratio]
        if alike and not (inside_low and inside_high):
            # Below one image of the probe, or above what the batch's accuracy lets through, nothing changes any more.
            break
        if inside_low and inside_high:
            guess = (low + high) / 2
        else:
            # A factor of four at a time until the target lies between two tries.
            guess = (
                min(low + math.log(4), (low + high) / 2) if inside_low else max(high - math.log(4), (low + high) / 2)
            )
    made = [(each["tolerance"], ratio) for each in trace if (ratio := each["flops_ratio"]) is not None and ratio != 1]
    if not made:
        raise UserError(f"no tolerance between {smallest:g} and {largest:g} gives flops_ratio {target:g}: {refusal}")
    best, _ = min(made, key=lambda each: abs(each[1] - target))
    return best, trace
