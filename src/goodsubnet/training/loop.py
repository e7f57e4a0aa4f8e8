"""The loop that every network is trained by. It holds no state but tensors and the number of the iteration."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.runtime.devices import Device, require_torch

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logistic": functional.binary_cross_entropy_with_logits,
    "squared": lambda outputs, targets: functional.mse_loss(outputs, targets) / 2,
    "cross_entropy": functional.cross_entropy,
}


def prepare_torch(device: Device, threads: int, deterministic: bool) -> None:
    """Make torch compute on so many cores, and on an accelerator by operations that give the same bits each time.

    Raises UserError where torch cannot use the device.
    """
    require_torch(device)
    torch.set_num_threads(threads)
    if device.kind == "cuda":
        # Convolutions in float32, not in its shorter form: candidates of a selection differ by less.
        torch.backends.cudnn.allow_tf32 = False
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = not deterministic


class GradientDescent:
    """theta <- theta - step * gradient: torch.optim.SGD without momentum, to the last bit.

    That one imports torch's compiler at its first step: 1.8 s of the 3.8 s of processor time that a short job takes.
    """

    def __init__(self, parameters: Iterable[Tensor], step: float) -> None:
        self.parameters, self._step = list(parameters), step

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.parameters:
            parameter.add_(cast(Tensor, parameter.grad), alpha=-self._step)


def train(
    optimizer: torch.optim.Optimizer | GradientDescent,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    start: int,
    stop: int,
    after_iteration: Callable[[int], None],
    learning_rate: Callable[[int], float] | None = None,
) -> None:
    """Gradient descent on the mean loss of a batch, from iteration `start` to `stop`; changes the parameters in place.

    loss_of: mean loss of (inputs, targets). batches: those of the iterations from `start` on. after_iteration: called
    with the number of iterations done; saves progress, or ends the training by an exception. learning_rate: of each
    iteration; None leaves the optimizer's.
    Raises UserError where the loss is no longer a number.
    """
    for iteration, (inputs, targets) in zip(range(start, stop), batches, strict=True):
        if learning_rate is not None:
            for group in cast(torch.optim.Optimizer, optimizer).param_groups:
                group["lr"] = learning_rate(iteration)
        value = loss_of(inputs, targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        # Asking an accelerator for the value makes it wait, so it is asked now and then only.
        if (inputs.device.type == "cpu" or iteration % 100 == 0 or iteration + 1 == stop) and not value.isfinite():
            raise UserError(
                f"the training diverged: the loss is {value.item()} at iteration {iteration}; lower the learning_rate"
            )
        after_iteration(iteration + 1)


def tensor_batches(
    inputs: Tensor, targets: Tensor, order: BatchOrder, start: int, stop: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of examples that are tensors: inputs (examples, ...), targets (examples,), on one device."""
    for iteration in range(start, stop):
        if order.batch_size == order.examples:
            yield inputs, targets
        else:
            batch = torch.from_numpy(order.indices(iteration)).to(inputs.device)
            yield inputs[batch], targets[batch]


def schedule_of(learning_rate: float, schedule: str, iterations: int | None) -> Callable[[int], float]:
    """The learning rate of each iteration: "constant", or "cosine", which falls to 0 after so many `iterations`.

    Source: Loshchilov and Hutter, "SGDR", 2017, eq. (5), without restarts.
    """
    if schedule == "constant":
        return lambda iteration: learning_rate
    if iterations is None:
        raise ValueError("a cosine needs the iterations after which it is 0")
    return lambda iteration: learning_rate * (1 + math.cos(math.pi * iteration / iterations)) / 2
