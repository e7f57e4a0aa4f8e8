"""Training of two-layer networks by the passes of `networks.passes`, which read and write the weights once a step."""

from collections.abc import Mapping

import numpy as np

from goodsubnet.networks.passes import (
    LANES,
    NOTHING,
    Groups,
    Inputs,
    blocks_of,
    descend_and_forward,
    empty,
    outputs_of_hidden,
    weights_of,
)
from goodsubnet.runtime.threads import in_threads


class InBlocks:
    """A network in training, in blocks of neurons. A step waits for the next batch's pass, which it shares."""

    def __init__(self, weights: Mapping[str, np.ndarray], inputs: Inputs, activation: str) -> None:
        self._width, self._length = weights["a"].shape
        self._inner, self._outer = blocks_of(weights)
        self._inputs, self._relu = inputs, activation == "relu"
        self._hidden = empty(len(self._inner), 1, LANES)
        self._columns = NOTHING
        self._moves = np.empty(0, np.float32)

    def outputs(self, batch: np.ndarray) -> np.ndarray:
        if len(batch) >= self._hidden.shape[1]:
            # The first batch, or the one after a small one that ended an epoch: its step must be done before.
            self._pass(NOTHING, 0)
            self._hidden = empty(len(self._inner), len(batch) + 1, LANES)
            self._hidden[:] = 0
        sums = self._pass(self._inputs.groups(batch), len(batch))
        self._columns = self._inputs.columns(batch)
        return (sums.sum(axis=0, dtype=np.float64) / self._width).astype(np.float32)

    def descend(self, derivative: np.ndarray, step: float) -> None:
        self._moves = np.asarray(derivative * np.float32(-step / self._width), np.float32)

    def weights(self) -> dict[str, np.ndarray]:
        self._pass(NOTHING, 0)
        return weights_of(self._inner, self._outer, self._width, self._length)

    def _pass(self, rows: Groups, count: int) -> np.ndarray:
        """The step that waits, and the pass of `count` examples: sums of their outputs within blocks."""
        columns, moves = self._columns, self._moves
        self._moves = np.empty(0, np.float32)
        blocks = len(self._inner)
        sums = np.empty((blocks, count), np.float32)
        in_threads(
            descend_and_forward,
            blocks,
            self._inner,
            self._outer,
            self._hidden,
            self._relu,
            moves,
            columns.order,
            columns.starts,
            columns.places,
            columns.values,
            rows.order,
            rows.starts,
            rows.places,
            rows.values,
            sums,
        )
        if not self._relu and count:
            hidden = self._hidden[:, :count]
            np.tanh(hidden, out=hidden)
            in_threads(outputs_of_hidden, blocks, self._outer, hidden, sums)
        return sums
