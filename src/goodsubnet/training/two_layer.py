"""Gradient descent on two-layer networks on the processor, written out: no torch, no stored gradient.

Of the mean loss over a batch with outputs f(x) = (1/N) sum_i b_i act(a_i . x), and r the derivative of that mean by the
outputs, the step is a_i -= (step / N) b_i sum_x r(x) act'(a_i . x) x and b_i -= (step / N) sum_x r(x) act(a_i . x),
both from the weights before it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError

# Multiply-adds of a pass over a batch, from which on compiled passes save more than the second that loading them takes.
LARGE = 2**24


def logistic(outputs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of log(1 + e^z) - y z over a batch, and its derivative by each output, float32."""
    decay = np.exp(-np.abs(outputs))
    loss = np.mean(np.maximum(outputs, 0) - outputs * targets + np.log1p(decay), dtype=np.float64)
    probabilities = np.where(outputs >= 0, np.float32(1), decay) / (1 + decay)
    return float(loss), (probabilities - targets) / np.float32(len(targets))


def squared(outputs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of (z - y)^2 / 2 over a batch (eq. 4), and its derivative by each output, float32."""
    difference = outputs - targets
    return float(np.mean(np.square(difference), dtype=np.float64) / 2), difference / np.float32(len(targets))


LOSSES = {"logistic": logistic, "squared": squared}


class Trained(Protocol):
    """A network that is being trained on fixed inputs, (examples, d)."""

    def outputs(self, batch: np.ndarray) -> np.ndarray:
        """f of the examples with these numbers, (batch,) float32."""

    def descend(self, derivative: np.ndarray, step: float) -> None:
        """A step against the gradient of the batch of `outputs`. derivative: of the mean loss by each output."""

    def weights(self) -> dict[str, np.ndarray]:
        """The weights as they are now."""


class ByProducts:
    """By products of matrices; the step is added to the weights in place. For small networks: it loads fastest."""

    def __init__(self, weights: Mapping[str, np.ndarray], rows: np.ndarray, activation: str) -> None:
        self._a, self._b = weights["a"].astype(np.float32), weights["b"].astype(np.float32)
        self._rows, self._activation = np.ascontiguousarray(rows, np.float32), activation

    def outputs(self, batch: np.ndarray) -> np.ndarray:
        whole = len(batch) == len(self._rows) and np.array_equal(batch, np.arange(len(batch)))
        self._chosen = self._rows if whole else self._rows[batch]
        hidden = self._chosen @ self._a.T
        self._hidden = np.maximum(hidden, 0, out=hidden) if self._activation == "relu" else np.tanh(hidden, out=hidden)
        return (self._hidden @ self._b) / np.float32(len(self._b))

    def descend(self, derivative: np.ndarray, step: float) -> None:
        from scipy.linalg.blas import sgemm

        moves = np.asarray(derivative * np.float32(-step / len(self._b)), np.float32)
        change = moves @ self._hidden
        coefficients = self._hidden
        if self._activation == "relu":
            np.sign(coefficients, out=coefficients)
        else:
            np.subtract(1, np.square(coefficients, out=coefficients), out=coefficients)
        coefficients *= self._b
        coefficients *= moves[:, None]
        # a += coefficients.T @ chosen, without a place for the product: BLAS reads both transposed.
        sgemm(1.0, self._chosen.T, coefficients.T, beta=1.0, c=self._a.T, trans_b=1, overwrite_c=1)
        self._b += change

    def weights(self) -> dict[str, np.ndarray]:
        return {"a": self._a.copy(), "b": self._b.copy()}


def trained_on(weights: Mapping[str, np.ndarray], rows: np.ndarray, activation: str, batch_size: int) -> Trained:
    """A network to be trained, by the way that is faster. rows: (examples, d) float32."""
    if weights["a"].size * batch_size < LARGE:
        return ByProducts(weights, rows, activation)
    from goodsubnet.networks.passes import Inputs
    from goodsubnet.training.blocks import InBlocks

    return InBlocks(weights, Inputs(rows), activation)


def descend(
    network: Trained,
    targets: np.ndarray,
    loss: str,
    step: float,
    order: BatchOrder,
    start: int,
    stop: int,
    after_iteration: Callable[[int], None],
) -> None:
    """Gradient descent on the mean loss of a batch, from iteration `start` to `stop`.

    step: of the gradient of the mean loss. after_iteration: called with the number of iterations done; saves progress,
    or ends the training by an exception.
    Raises UserError where the loss is no longer a number.
    """
    derivative_of = LOSSES[loss]
    for iteration in range(start, stop):
        batch = order.indices(iteration)
        outputs = network.outputs(batch)
        value, derivative = derivative_of(outputs, targets[batch])
        if not np.isfinite(value):
            raise UserError(
                f"the training diverged: the loss is {value} at iteration {iteration}; lower the learning_rate"
            )
        network.descend(derivative, step)
        after_iteration(iteration + 1)
