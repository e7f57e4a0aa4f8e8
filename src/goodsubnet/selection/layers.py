"""Algorithms 1 and 2 for the channels of a layer: each step adds the one that lowers the whole network's loss most."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks.layers import SplitNetwork
from goodsubnet.runtime.group import ALONE, Alone, Workers

Search = Literal["exact", "ranked"]

# Losses from 2.1 to 2.7 in float32 were within 2e-7 of those in float64, of themselves.
SLACK = 1e-5
# With few channels chosen, one more changes too much for a prediction to first order: below this step it found the
# best of 50 candidates in 4 of 5 steps only.
FIRST_RANKED_STEP = 9
# What a ranked step computes at least before it trusts its predictions, and the factor on the largest underestimate.
# Where the best stood late in the predictions' order in one of the last steps, twice as many as would have found it.
LEAST_EVALUATIONS = 4
SAFETY = 2.0
STEPS_REMEMBERED = 6
# Numbers in the largest tensor that a chunk of candidates makes at the cut; bounds the memory that it takes.
CHUNK_NUMBERS = 2**20
CHUNK_NUMBERS_ON_ACCELERATOR = 2**27


@dataclass(frozen=True)
class LayerSelection:
    """The channels that a layer keeps.

    channels: int64 (steps,), in the order chosen, repeats included. losses: float64 (steps,), the mean cross-entropy
    on a step's mini-batch after its choice. gains: float64 (C,), C times each channel's share of the choices.
    complete: whether the stopping rule was met. evaluations: losses of candidates that were computed; considered: of
    how many.
    """

    channels: np.ndarray
    losses: np.ndarray
    gains: np.ndarray
    complete: bool
    evaluations: int
    considered: int


def gains_of(counts: np.ndarray) -> np.ndarray:
    """float64 (C,): the factor of each channel, C * multiplicity / steps; 1 everywhere in the full layer."""
    return counts.size * counts / counts.sum()


def draw_candidates(
    counts: np.ndarray, candidates: int | None, replacement: bool, generator_key: tuple, step: int
) -> np.ndarray:
    """The channels a step may choose, rising: all that are allowed, or so many of them drawn at random.

    counts: (C,), how often each was chosen. Without replacement a chosen channel is not allowed again.
    """
    allowed = np.arange(counts.size) if replacement else np.flatnonzero(counts == 0)
    if candidates is None or candidates >= allowed.size:
        return allowed
    return np.sort(random_generator("candidates", *generator_key, step).choice(allowed, candidates, replace=False))


@torch.no_grad()
def greedy_layer_selection(
    split: SplitNetwork,
    batches: Callable[[int], tuple[Tensor, Tensor]],
    reached: Callable[[np.ndarray, float], bool],
    *,
    candidates: int | None = None,
    replacement: bool = True,
    max_steps: int | None = None,
    search: Search = "ranked",
    generator_key: tuple = (),
    workers: Workers | Alone = ALONE,
) -> LayerSelection:
    """Choose channels of a layer one at a time, each the one with which the network's loss is lowest.

    split: the network in eval mode, float32, cut where the layer is read. batches: step, counted from 1 -> (images,
    labels). reached: asked after each step with the gains, float64 (C,), and the accuracy on the step's batch; True
    stops. candidates: channels drawn at random for a step; None: all. replacement: whether a channel may be chosen
    again. max_steps: None: as many as there are channels. search: `exact` computes the loss of every candidate,
    `ranked` of those alone that a prediction cannot rule out. generator_key: names the random stream of candidates.
    workers: who share the candidates of a step; all else is the same for all, and so is what they get.
    Losses within `SLACK` of the lowest are computed again in float64, and the lowest channel wins a tie; so both
    searches choose the same channels wherever the prediction holds.
    Raises UserError where no candidate's loss is a number, and for more workers than channels.
    Source: Algorithms 1 and 2, and Ye et al. (ICML 2020) for deep networks.
    """
    channels = split.consumer.in_channels
    if workers.size > channels:
        raise UserError(f"workers: there are {workers.size}, and a layer has only {channels} channels; set fewer")
    steps = channels if max_steps is None else max_steps
    if not replacement:
        steps = min(steps, channels)
    counts = np.zeros(channels, np.int64)
    losses_after = CandidateLosses(split)
    chosen: list[int]
    losses: list[float]
    positions: list[int]
    chosen, losses, positions = [], [], []
    evaluations = considered = 0
    complete = False
    while len(chosen) < steps and not complete:
        step = len(chosen) + 1
        drawn = draw_candidates(counts, candidates, replacement, generator_key, step)
        losses_after.start(*batches(step), counts)
        found = choose(losses_after, drawn, search, step, positions, workers)
        chosen.append(found.channel)
        positions.append(found.position)
        losses.append(found.loss)
        counts[found.channel] += 1
        evaluations += found.evaluations
        considered += len(drawn)
        complete = reached(gains_of(counts), found.accuracy)
    return LayerSelection(
        np.array(chosen, np.int64), np.array(losses), gains_of(counts), complete, evaluations, considered
    )


@dataclass(frozen=True)
class Choice:
    """A step's channel, the loss and accuracy on its mini-batch with it, and how many candidates' losses it took.

    position: where the channel stood in the order of the predictions, from 0.
    """

    channel: int
    loss: float
    accuracy: float
    evaluations: int
    position: int


def choose(
    losses: "CandidateLosses",
    candidates: np.ndarray,
    search: Search,
    step: int,
    positions: list[int],
    workers: Workers | Alone = ALONE,
) -> Choice:
    """The candidate of the lowest loss, of a step that `losses` has been started for.

    positions: those of the steps before, which say how far the predictions can be trusted. workers: who share the
    candidates; they agree on a few numbers a round, however many candidates there are.
    Raises UserError where no loss is a number.
    """
    evaluated = Evaluated(losses, workers)
    if search == "exact":
        ordered = candidates
        evaluated.add(candidates)
    else:
        # Predicted once: on another kind of machine the order might be another.
        predictions = np.empty(len(candidates))
        if workers.rank == 0:
            predictions = losses.predicted(candidates)
        predictions = workers.broadcast(predictions, 0)
        order = np.argsort(predictions, kind="stable")
        predicted, ordered = predictions[order], candidates[order]
        least = max(LEAST_EVALUATIONS, 2 * (1 + max(positions[-STEPS_REMEMBERED:], default=0)))
        if step < FIRST_RANKED_STEP:
            least = len(candidates)
        _evaluate_ranked(evaluated, predicted, ordered, least, losses.chunk)
    channel, loss, accuracy = evaluated.decide()
    return Choice(channel, loss, accuracy, evaluated.count, int(np.flatnonzero(ordered == channel)[0]))


def _evaluate_ranked(
    evaluated: "Evaluated", predicted: np.ndarray, ordered: np.ndarray, least: int, chunk: int
) -> None:
    """Evaluate the candidates that a prediction does not rule out, at least so many.

    In the order of the predictions, until the next one, less a margin, is above the lowest loss found. The margin is
    the largest underestimate of this step (a loss below its prediction) times `SAFETY`.
    """
    evaluated.add(ordered[:least], predicted[:least])
    while (done := evaluated.count) < len(ordered):
        if predicted[done] - SAFETY * evaluated.underestimate > evaluated.lowest * (1 + SLACK):
            break
        evaluated.add(ordered[done : done + chunk], predicted[done : done + chunk])


class Evaluated:
    """The candidates of a step whose losses were computed, each by one of the workers; all know the lowest.

    count: how many. lowest: the lowest loss. underestimate: the largest excess of a prediction over its loss, from 0.
    """

    def __init__(self, losses: "CandidateLosses", workers: Workers | Alone = ALONE) -> None:
        self._losses, self._workers = losses, workers
        self._own = np.empty((3, 0))  # channels, losses, accuracies of this worker's
        self._best = np.array([np.inf, np.inf, np.nan, np.inf])
        self.count, self.underestimate = 0, 0.0

    @property
    def lowest(self) -> float:
        return float(self._best[0])

    def add(self, candidates: np.ndarray, predicted: np.ndarray | None = None) -> None:
        """Compute the losses of more candidates: each worker those of its share. predicted: their predictions."""
        own = self._workers.share(candidates)
        values, accuracies = self._losses.of(own) if len(own) else (np.empty(0), np.empty(0))
        values = np.where(np.isnan(values), np.inf, values)
        excess = np.max(self._workers.share(predicted) - values, initial=0) if predicted is not None else 0.0
        self._own = np.append(self._own, np.stack([own, values, accuracies]), axis=1)
        agreed = self._workers.agree(np.append(_two_lowest(*self._own), excess), _merged)
        self._best = agreed[:4]
        self.underestimate = max(self.underestimate, float(agreed[4]))
        self.count += len(candidates)

    def decide(self) -> tuple[int, float, float]:
        """The lowest (loss, channel), its loss and accuracy: those near the best are computed again in float64.

        Raises UserError where no loss is a number.
        """
        loss, channel, accuracy, second = self._best
        if not np.isfinite(loss):
            raise UserError(
                "the loss of this network is not a number whichever channel is kept; its training diverged: lower the "
                "learning rate"
            )
        limit = loss * (1 + SLACK)
        if second <= limit:
            near = np.sort(self._own[0, self._own[1] <= limit].astype(np.int64))
            exact = self._losses.in_double(near) if len(near) else (np.empty(0), np.empty(0))
            loss, channel, accuracy, _ = self._workers.agree(_two_lowest(near, *exact), _merged)
        return int(channel), float(loss), float(accuracy)


def _two_lowest(channels: np.ndarray, losses: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """The lowest loss, its channel (ties to the lowest) and accuracy, and the next loss; infinite where none is."""
    order = np.lexsort((channels, losses))[:2]
    best = [[losses[at], channels[at], accuracies[at]] for at in order] + 2 * [[np.inf, np.inf, np.nan]]
    return np.array([*best[0], best[1][0]])


def _merged(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two results of `_two_lowest` as one of all their candidates; what stands behind them: the larger."""
    low, high = (first, second) if tuple(first[:2]) <= tuple(second[:2]) else (second, first)
    next_lowest = min(low[3], high[0])
    return np.concatenate([low[:3], [next_lowest], np.maximum(first[4:], second[4:])])


class CandidateLosses:
    """The losses of a step's candidates on its mini-batch; what they have in common is computed once.

    `start` a step, then ask for any candidates, in any shares and order.
    """

    def __init__(self, split: SplitNetwork) -> None:
        self._split = split
        consumer, after = split.copy_of_after()
        self._double = _Remainder(copy.deepcopy(consumer).double(), copy.deepcopy(after).double())
        self._single = _Remainder(consumer, after)

    def start(self, images: Tensor, labels: Tensor, counts: np.ndarray) -> None:
        """images: (B, channels, height, width). labels: (B,). counts: (C,), how often each channel was chosen."""
        self._inputs, self._rest = self._split.before(images)
        self._labels = labels
        self._counts = counts
        self._single.start(self._inputs, self._rest, counts)
        self._double_started = False

    @property
    def chunk(self) -> int:
        """How many candidates are computed together."""
        return self._single.chunk

    def of(self, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean cross-entropy and accuracy with each candidate added, float64, computed in float32."""
        return self._single.losses(candidates, self._labels)

    def in_double(self, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, all in float64 from the float32 values at the cut."""
        if not self._double_started:
            self._double.start(self._inputs.double(), tuple(value.double() for value in self._rest), self._counts)
            self._double_started = True
        return self._double.losses(candidates, self._labels)

    def predicted(self, candidates: np.ndarray) -> np.ndarray:
        """Their losses to first order around the mean candidate, float64, by one backward pass."""
        return self._single.predicted(candidates, self._labels, self._counts)


class _Remainder:
    """The consumer and what follows it, for masks that differ by one channel."""

    def __init__(self, consumer: nn.Conv2d, after: nn.Module) -> None:
        self._consumer, self._after = consumer, after
        on_processor = consumer.weight.device.type == "cpu"
        depthwise = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in after.modules())
        # On a processor this takes half the time with depthwise convolutions, and a tenth more without.
        self._format = torch.channels_last if on_processor and depthwise else torch.contiguous_format
        consumer.to(memory_format=self._format)
        after.to(memory_format=self._format)

    def start(self, inputs: Tensor, rest: tuple[Tensor, ...], counts: np.ndarray) -> None:
        self._inputs = self._formatted(inputs)
        self._rest = tuple(self._formatted(value) for value in rest)
        self._scale = counts.size / (counts.sum() + 1)
        self._base = self._consumer(self._inputs * self._gains(counts))
        numbers = max(value.numel() for value in (self._base, *self._rest))
        limit = CHUNK_NUMBERS if inputs.device.type == "cpu" else CHUNK_NUMBERS_ON_ACCELERATOR
        self.chunk = max(1, limit // numbers)

    def losses(self, candidates: np.ndarray, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
        parts = [
            _losses(self._logits(candidates[first : first + self.chunk]), labels)
            for first in range(0, len(candidates), self.chunk)
        ]
        losses, accuracies = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return losses, accuracies

    def predicted(self, candidates: np.ndarray, labels: Tensor, counts: np.ndarray) -> np.ndarray:
        share = np.zeros(counts.size)
        share[candidates] = 1 / len(candidates)
        with torch.enable_grad():
            gains = self._gains(counts + share).requires_grad_()
            logits = self._after(self._consumer(self._inputs * gains), *(value.clone() for value in self._rest))
            loss = functional.cross_entropy(logits.double(), labels)
            (gradient,) = torch.autograd.grad(loss, gains)
        slopes = gradient.flatten().double().cpu().numpy()[candidates] * self._scale
        return loss.item() + slopes - slopes.mean()

    def _gains(self, counts: np.ndarray) -> Tensor:
        return self._inputs.new_tensor(counts * self._scale).view(-1, 1, 1)

    def _formatted(self, value: Tensor) -> Tensor:
        return value.contiguous(memory_format=self._format) if value.dim() == 4 else value

    def _logits(self, candidates: np.ndarray) -> Tensor:
        """(K, B, classes). The consumer is linear: a candidate adds the convolution of its channel alone."""
        count, batch = len(candidates), len(self._base)
        consumed = self._base.repeat(count, 1, 1, 1).to(memory_format=self._format)
        for part, channel in zip(consumed.split(batch), candidates.tolist(), strict=True):
            one = slice(channel, channel + 1)
            weight = self._consumer.weight[:, one] * self._scale
            part += self._consumer._conv_forward(self._inputs[:, one], weight, None)
        rest = (value.repeat(count, *[1] * (value.dim() - 1)) for value in self._rest)
        logits = self._after(consumed, *(self._formatted(value) for value in rest))
        return logits.view(count, batch, -1)


def _losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy of each of K candidates, (K,) float64. logits: (K, B, classes)."""
    count, batch, _ = logits.shape
    # In float64, because a loss of 1e-3 from logits of 20 has only three digits in float32.
    each = functional.cross_entropy(logits.double().flatten(0, 1), labels.repeat(count), reduction="none")
    right = (logits.argmax(2) == labels).double()
    return each.view(count, batch).mean(1), right.mean(1)
