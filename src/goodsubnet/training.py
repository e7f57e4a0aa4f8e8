"""The loop that every network is trained by. It holds no state but tensors and the number of the iteration."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logistic": functional.binary_cross_entropy_with_logits,
    "squared": lambda outputs, targets: functional.mse_loss(outputs, targets) / 2,
}


def train(
    parameters: Sequence[Tensor],
    forward: Callable[[Tensor], Tensor],
    loss: str,
    inputs: Tensor,
    targets: Tensor,
    order: BatchOrder,
    learning_rate: float,
    start: int,
    stop: int,
    after_iteration: Callable[[int], None],
) -> None:
    """Gradient descent on the mean loss of a batch, from iteration `start` to `stop`; changes the parameters in place.

    parameters: leaves that need gradients; all that is remembered. inputs: (examples, d). targets: (examples,).
    order: which examples are in the batch of an iteration. after_iteration: called with the number of iterations done;
    saves progress, or ends the training by an exception.
    Raises UserError where the loss is no longer a number.
    """
    optimizer = torch.optim.SGD(parameters, lr=learning_rate)
    everything = order.batch_size >= len(inputs)
    for iteration in range(start, stop):
        if everything:
            batch_inputs, batch_targets = inputs, targets
        else:
            batch = torch.from_numpy(order.indices(iteration)).to(inputs.device)
            batch_inputs, batch_targets = inputs[batch], targets[batch]
        value = LOSSES[loss](forward(batch_inputs), batch_targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        # Asking an accelerator for the value makes it wait, so it is asked now and then only.
        if (inputs.device.type == "cpu" or iteration % 100 == 0 or iteration + 1 == stop) and not value.isfinite():
            raise UserError(
                f"the training diverged: the loss is {value.item()} at iteration {iteration}; "
                "lower pretrain.learning_rate"
            )
        after_iteration(iteration + 1)
