"""A training's batches, shared by several processes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed

from goodsubnet.data.order import BatchOrder


@dataclass(frozen=True)
class Share:
    """Of the examples of each batch, those of one of several processes: every `processes`-th, from `rank` on."""

    rank: int
    processes: int

    def of(self, order: BatchOrder) -> "SharedOrder":
        return SharedOrder(order, self)


class SharedOrder:
    """As a BatchOrder, with this process's share of each batch."""

    def __init__(self, order: BatchOrder, share: Share) -> None:
        self._order, self._share = order, share
        self.examples = order.examples

    def indices(self, iteration: int) -> np.ndarray:
        return self._order.indices(iteration)[self._share.rank :: self._share.processes]

    def weight(self, iteration: int) -> float:
        """What the mean loss of the share counts in the mean of all shares, which may be of two sizes."""
        batch = self._order.indices(iteration)
        return len(batch[self._share.rank :: self._share.processes]) * self._share.processes / len(batch)


def broadcast_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give every process the first one's momentum; before the first iteration it is 0."""
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else []:
            momentum = optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
            distributed.broadcast(momentum, 0)
