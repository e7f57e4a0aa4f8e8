"""The order in which training sees its examples: which ones form the batch of an iteration.

Every batch is a function of (seed, iteration, examples, batch size). Nothing depends on which batches were
drawn before, so a run that was stopped and resumed sees the same batches as one that ran straight through.
"""

from typing import Protocol

import numpy as np

from goodsubnet.data.randomness import random_generator


class Order(Protocol):
    """What says which of `examples` examples form a batch."""

    examples: int

    def indices(self, iteration: int) -> np.ndarray:
        """The batch of `iteration` (counted from 0): int64 indices."""


def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The permutation of 0 .. examples-1 in which an epoch visits the examples: int64, shape (examples,)."""
    return random_generator("batch order", seed, epoch, examples).permutation(examples)


class BatchOrder:
    """The batches of one training run: each epoch's permutation cut in order, the last batch the smaller one.

    Keeps the permutation of the epoch drawn last, so that iterations taken one after another cost O(batch
    size) each, amortised. `batch_size` is a number of examples or "full"; a batch of at least all examples is
    the whole data set in its own order, the same in every iteration.
    """

    def __init__(self, seed: int, examples: int, batch_size: int | str):
        if examples < 1:
            raise ValueError(f"examples must be at least 1, not {examples}")
        if batch_size != "full" and (isinstance(batch_size, str) or batch_size < 1):
            raise ValueError(f'batch_size must be at least 1 or "full", not {batch_size!r}')
        self.seed = seed
        self.examples = examples
        self.batch_size = examples if isinstance(batch_size, str) else min(batch_size, examples)
        self.batches_per_epoch = -(-examples // self.batch_size)
        self._epoch: int | None = None
        self._order = np.arange(examples)

    def indices(self, iteration: int) -> np.ndarray:
        """The batch of `iteration` (counted from 0): int64 indices, a copy that the caller may change."""
        if iteration < 0:
            raise ValueError(f"iteration must be at least 0, not {iteration}")
        epoch, batch = divmod(iteration, self.batches_per_epoch)
        if self.batches_per_epoch > 1 and epoch != self._epoch:
            self._order = epoch_order(self.seed, epoch, self.examples)
            self._epoch = epoch
        start = batch * self.batch_size
        return self._order[start : start + self.batch_size].copy()
