"""A deep network in training: its optimizer, its precision, its state as tensors; and how well it does."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from goodsubnet.data.batches import ResidentImages, StreamedImages
from goodsubnet.data.order import BatchOrder
from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.networks import files
from goodsubnet.networks.deep import ImageClassifier
from goodsubnet.stages.deep.replicas import Share, broadcast_momentum
from goodsubnet.training import LOSSES, schedule_of, train

MOMENTUM = "momentum."
EVALUATION_BATCH = 256


class Fit:
    """Training of a network by stochastic gradient descent, which can be stopped and gone on with.

    network: moved to the device. description: as `networks.files.encode` takes it. settings: batch_size, learning_rate,
    schedule, momentum, weight_decay, precision and, for a cosine, schedule_iterations. kept: tensors as `state` gives
    them, whose momentum is taken up. share: where several processes train the network together, this one's.
    """

    def __init__(
        self,
        network: ImageClassifier,
        description: Mapping[str, Any],
        settings: Mapping[str, Any],
        device: torch.device | str,
        kept: Mapping[str, np.ndarray] | None = None,
        share: Share | None = None,
    ) -> None:
        # MobileNetV2 trains 1.4 times faster so on a CPU (one core), and accelerators in half precision want it.
        self.network = network.to(device, memory_format=torch.channels_last)
        self.description, self.settings = description, settings
        self.device = torch.device(device)
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=settings["learning_rate"],
            momentum=settings["momentum"],
            weight_decay=settings["weight_decay"],
        )
        precision = settings["precision"]
        self.half = precision == "bfloat16" or (precision == "auto" and self.device.type == "cuda")
        for name, parameter in network.named_parameters():
            if kept is not None and MOMENTUM + name in kept:
                momentum = torch.tensor(kept[MOMENTUM + name], device=device)
                self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
        self.share, self._trained = share, self.network
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
        settings = self.settings
        _check_batches(len(images), settings["batch_size"], settings.get("processes", 1))
        order = BatchOrder(seed, len(images), settings["batch_size"])
        weight_of = None
        if self.share is not None:
            order = self.share.of(order)
            weight_of = order.weight
            # A batch's crops are a function of (seed, iteration): the shares of a batch must not get the same ones.
            seed = training_seed("share of a batch", seed, self.share.rank)
        rate = schedule_of(settings["learning_rate"], settings["schedule"], settings.get("schedule_iterations"))
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
