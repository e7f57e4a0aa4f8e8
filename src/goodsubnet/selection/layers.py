"""Algorithm 1 for the channels of one layer: each step adds the channel that lowers the whole network's loss most."""

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
) -> LayerSelection:
    """Choose channels of a layer one at a time, each the one with which the network's loss is lowest.

    split: the network in eval mode, float32, cut where the layer is read. batches: step, counted from 1 -> (images,
    labels). reached: asked after each step with the gains, float64 (C,), and the accuracy on the step's batch; True
    stops. candidates: channels drawn at random for a step; None: all. replacement: whether a channel may be chosen
    again. max_steps: None: as many as there are channels. search: `exact` computes the loss of every candidate,
    `ranked` of those alone that a prediction cannot rule out. generator_key: names the random stream of candidates.
    Losses within `SLACK` of the lowest are computed again in float64, and the lowest channel wins a tie; so both
    searches choose the same channels wherever the prediction holds.
    Raises UserError where no candidate's loss is a number.
    Source: Algorithm 1, and Ye et al. (ICML 2020) for deep networks.
    """
    channels = split.consumer.in_channels
    steps = channels if max_steps is None else max_steps
    if not replacement:
        steps = min(steps, channels)
    counts = np.zeros(channels, np.int64)
    losses_after = CandidateLosses(split)
    chosen, losses, positions = [], [], []
    evaluations = considered = 0
    complete = False
    while len(chosen) < steps and not complete:
        step = len(chosen) + 1
        drawn = draw_candidates(counts, candidates, replacement, generator_key, step)
        losses_after.start(*batches(step), counts)
        found = choose(losses_after, drawn, search, step, positions)
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
    losses: "CandidateLosses", candidates: np.ndarray, search: Search, step: int, positions: list[int]
) -> Choice:
    """The candidate of the lowest loss, of a step that `losses` has been started for.

    positions: those of the steps before, which say how far the predictions can be trusted.
    """
    if search == "exact":
        evaluated, (values, accuracies) = candidates, losses.of(candidates)
    else:
        least = max(LEAST_EVALUATIONS, 2 * (1 + max(positions[-STEPS_REMEMBERED:], default=0)))
        if step < FIRST_RANKED_STEP:
            least = len(candidates)
        evaluated, values, accuracies = _evaluate_ranked(losses, candidates, least)
    channel, loss, accuracy = decide(losses, evaluated, values, accuracies)
    return Choice(channel, loss, accuracy, len(evaluated), int(np.flatnonzero(evaluated == channel)[0]))


def decide(
    losses: "CandidateLosses", candidates: np.ndarray, values: np.ndarray, accuracies: np.ndarray
) -> tuple[int, float, float]:
    """The lowest (loss, channel), its loss and accuracy: those near the best are computed again in float64.

    candidates: channels. values, accuracies: float64, of the same length, as `CandidateLosses.of` gives them.
    Raises UserError where no loss is a number.
    """
    values = np.where(np.isnan(values), np.inf, values)
    best = values.min()
    if not np.isfinite(best):
        raise UserError(
            "the loss of this network is not a number whichever channel is kept; its training diverged: lower the "
            "learning rate"
        )
    near = np.flatnonzero(values <= best * (1 + SLACK))
    if len(near) == 1:
        return int(candidates[near[0]]), float(values[near[0]]), float(accuracies[near[0]])
    exact, exact_accuracies = losses.in_double(candidates[near])
    first = np.lexsort((candidates[near], exact))[0]
    return int(candidates[near[first]]), float(exact[first]), float(exact_accuracies[first])


def _evaluate_ranked(
    losses: "CandidateLosses", candidates: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The candidates that a prediction does not rule out, at least so many, their losses and accuracies.

    In the order of the predictions, until the next one, less a margin, is above the lowest loss found. The margin is
    the largest underestimate of this step (a loss below its prediction) times `SAFETY`.
    """
    predictions = losses.predicted(candidates)
    order = np.argsort(predictions, kind="stable")
    predicted, ordered = predictions[order], candidates[order]
    values, accuracies = losses.of(ordered[:least])
    while (done := len(values)) < len(ordered):
        margin = SAFETY * max(0.0, np.max(predicted[:done] - values))
        if predicted[done] - margin > values.min() * (1 + SLACK):
            break
        more = losses.of(ordered[done : done + losses.chunk])
        values, accuracies = np.append(values, more[0]), np.append(accuracies, more[1])
    return ordered[: len(values)], values, accuracies


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
