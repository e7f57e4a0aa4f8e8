"""The tangent kernel of a two-layer network, and the largest learning rate at which gradient descent is stable."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse.linalg import eigsh

from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import ACTIVATIONS, DERIVATIVES
from goodsubnet.training.losses import CURVATURE

CELLS = 2**24
MOST_EXAMPLES = 20_000  # their kernel is 3.2 GB


def tangent_kernel(weights: Mapping[str, np.ndarray], inputs: np.ndarray, activation: str) -> np.ndarray:
    """K[j, k] = sum over all weights of df(x_j) df(x_k), f the averaged network.

    Through b: H H^T/N^2 with H = act(X A^T), which is Psi_0 of Definition 1 at initialisation; through a: the inner
    products of the inputs times those of b act'(X A^T), over N^2. inputs: (m, d). Returns (m, m) float64.
    Raises UserError for more than 20,000 examples.
    """
    if len(inputs) > MOST_EXAMPLES:
        raise UserError(
            f"pretrain.learning_rate: the stable step of {len(inputs):,} examples needs a kernel of their square; "
            f"use at most {MOST_EXAMPLES:,} examples, or give the rate as a number"
        )
    x = inputs.astype(np.float64)
    through_a, through_b = np.zeros((2, len(x), len(x)))
    width = len(weights["b"])
    size = max(1, CELLS // len(x))
    for start in range(0, width, size):
        a, b = (weights[name][start : start + size].astype(np.float64) for name in "ab")
        before = x @ a.T
        hidden, slope = ACTIVATIONS[activation](before), DERIVATIVES[activation](before) * b
        through_b += hidden @ hidden.T
        through_a += slope @ slope.T
    return (through_b + through_a * (x @ x.T)) / width**2


def largest_stable_step(weights: Mapping[str, np.ndarray], inputs: np.ndarray, activation: str, loss: str) -> float:
    """2 over the largest curvature of the mean loss, by the tangent kernel: beyond it gradient descent diverges.

    The curvature is lambda_max(K)/m for the squared loss, and at most a quarter of it for the logistic one. This
    learning rate is for all weights alike, without the factor N of `per_neuron`. Arguments and errors as in
    `tangent_kernel`.
    """
    kernel = tangent_kernel(weights, inputs, activation)
    examples = len(kernel)
    if not np.trace(kernel) > 0:
        raise UserError("the network's output does not change with its weights on these examples: any step is stable")
    # By default the starting vector would come from a global state.
    largest = kernel[0, 0] if examples == 1 else eigsh(kernel, k=1, v0=np.ones(examples), return_eigenvectors=False)[0]
    return float(2 * examples / (CURVATURE[loss] * largest))
