"""A deep network in training: its optimizer, its precision, its state as tensors; and how well it does."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from goodsubnet.data.batches import ResidentImages, StreamedImages
from goodsubnet.data.order import BatchOrder, Order
from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks import files
from goodsubnet.networks.deep import ImageClassifier
from goodsubnet.networks.files import Description
from goodsubnet.settings.stages import Precision
from goodsubnet.settings.training import DeepTraining
from goodsubnet.training.loop import LOSSES, schedule_of, train
from goodsubnet.training.shares import Share, broadcast_momentum

MOMENTUM = "momentum."
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Descent:
    """How weights move: stochastic gradient descent. The keys are those of `settings.training.DeepTraining`."""

    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    precision: Precision
    schedule: Literal["cosine", "constant"] = "constant"
    schedule_iterations: int | None = None
    processes: int = 1

    @classmethod
    def of(
        cls, training: DeepTraining, precision: Precision, schedule_iterations: int | None, processes: int = 1
    ) -> "Descent":
        """As the configuration says it. schedule_iterations: over which a cosine falls to 0."""
        return cls(
            training.batch_size,
            training.learning_rate,
            training.momentum,
            training.weight_decay,
            precision,
            training.schedule,
            schedule_iterations,
            processes,
        )


class Fit:
    """Training of a network by stochastic gradient descent, which can be stopped and gone on with.

    network: moved to the device. description: as `networks.files.encode` takes it. kept: tensors as `state` gives
    them, whose momentum is taken up. share: where several processes train the network together, this one's.
    """

    def __init__(
        self,
        network: ImageClassifier,
        description: Description,
        descent: Descent,
        device: torch.device | str,
        kept: Mapping[str, np.ndarray] | None = None,
        share: Share | None = None,
    ) -> None:
        # MobileNetV2 trains 1.4 times faster so on a CPU (one core), and accelerators in half precision want it.
        network.to(device)
        self.network = network.to(memory_format=torch.channels_last)
        self.description, self.descent = description, descent
        self.device = torch.device(device)
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=descent.learning_rate,
            momentum=descent.momentum,
            weight_decay=descent.weight_decay,
        )
        automatic = descent.precision == "auto" and self.device.type == "cuda"
        self.half = descent.precision == "bfloat16" or automatic
        for name, parameter in network.named_parameters():
            if kept is not None and MOMENTUM + name in kept:
                momentum = torch.tensor(kept[MOMENTUM + name], device=device)
                self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
        self.share = share
        self._trained: nn.Module = self.network
        if share is not None:
            on_device = [self.device.index] if self.device.type == "cuda" else None
            self._trained = DistributedDataParallel(self.network, device_ids=on_device)
            broadcast_momentum(self.optimizer)

    def run(
        self,
        images: ResidentImages | StreamedImages,
        seed: int,
        start: int,
        stop: int,
        after_iteration: Callable[[int], None] = lambda iteration: None,
    ) -> None:
        """Train from iteration `start` to `stop`; seed: of the order of the images, their augmentation and dropout.

        Raises UserError where a batch, or a process's share of one, would have fewer than two images, and where the
        training diverged.
        """
        descent = self.descent
        _check_batches(len(images), descent.batch_size, descent.processes)
        order: Order = BatchOrder(seed, len(images), descent.batch_size)
        weight_of = None
        if self.share is not None:
            shared = self.share.of(BatchOrder(seed, len(images), descent.batch_size))
            order, weight_of = shared, shared.weight
            # A batch's crops are a function of (seed, iteration): the shares of a batch must not get the same ones.
            seed = training_seed("share of a batch", seed, self.share.rank)
        rate = schedule_of(descent.learning_rate, descent.schedule, descent.schedule_iterations)
        self.network.train()
        batches = images.training_batches(order, seed, start, stop)
        train(self.optimizer, self._loss_of(seed, start, weight_of), batches, start, stop, after_iteration, rate)
        self.network.eval()

    def _loss_of(
        self, seed: int, start: int, weight_of: Callable[[int], float] | None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """weight_of: an iteration's batch, what the mean loss of this process's share counts; None: it is all."""
        iterations = itertools.count(start)

        def loss_of(images: Tensor, labels: Tensor) -> Tensor:
            iteration = next(iterations)
            # Dropout draws from torch's global streams, whose state a resumed run would not have.
            torch.manual_seed(training_seed("dropout", seed, iteration))
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                loss = LOSSES["cross_entropy"](self._trained(images), labels)
            return loss if weight_of is None else loss * weight_of(iteration)

        return loss_of

    def state(self, iteration: int) -> dict[str, np.ndarray]:
        """Weights, momentum and number of iterations done, as tensors of a file."""
        momentum = {
            MOMENTUM + name: state["momentum_buffer"].cpu().numpy().copy()
            for name, parameter in self.network.named_parameters()
            if (state := self.optimizer.state.get(parameter)) and state.get("momentum_buffer") is not None
        }
        return {**files.encode(self.network, self.description), **momentum, "iteration": np.array([iteration])}


def _check_batches(examples: int, batch_size: int, processes: int) -> None:
    """Raises UserError where norms would have a single image to normalise by."""
    least = examples % batch_size or min(examples, batch_size)
    if least < 2 * processes:
        raise UserError(
            f"batch_size: {examples:,} examples in batches of {batch_size} make one of {least}, and norms need two "
            f"images in each of {processes} processes; choose another batch_size or another number of examples"
        )


def training_seed(purpose: str, *key: int) -> int:
    """The seed of a training after the pre-training, which sees its images in another order."""
    return int(random_generator(purpose, *key).integers(2**31))


def measure(network: ImageClassifier, images: ResidentImages | StreamedImages) -> dict[str, float]:
    """Accuracy, and mean cross-entropy in float64, of a network in evaluation mode, on images as they are.

    Raises UserError where the cross-entropy is not a number.
    """
    correct, total = 0, 0.0
    device = next(network.parameters()).device
    network = network.to(memory_format=torch.channels_last).eval()
    with torch.inference_mode():
        for pixels, labels in images.batches(EVALUATION_BATCH):
            logits = network(pixels.to(device, memory_format=torch.channels_last))
            correct += int((logits.argmax(1) == labels).sum())
            total += float(functional.cross_entropy(logits.double(), labels, reduction="sum"))
    if not math.isfinite(total):
        raise UserError(f"the training diverged: the loss of the network is {total}; lower its learning_rate")
    return {"accuracy": correct / len(images), "loss": total / len(images)}
