"""The bounds on the loss of a subnetwork, and what follows from them. Pure formulas; the terms are measured elsewhere.

Losses, V and D^2 are all sums over the examples or all means: the bounds are linear in them. For the squared loss
1/2 (z - y)^2 the curvature is 1, for the logistic loss at most 1/4; it multiplies V and D^2.
"""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.special import lambertw

from goodsubnet.errors import UserError
from goodsubnet.theory import NotApplicable
from goodsubnet.training.losses import CURVATURE, mean_loss

if TYPE_CHECKING:
    import pandas as pd

# One number, or a column of them.
_Numbers = TypeVar("_Numbers", float, "pd.Series")


def harmonic(steps: int) -> np.ndarray:
    """H_1 ... H_steps, the harmonic numbers, (steps,) float64."""
    return np.cumsum(1 / np.arange(1, steps + 1))


def lemma1(first_loss: float, dense_loss: float, squared_diameter: float, steps: int, loss: str) -> np.ndarray:
    """Lemma 1: an upper bound on the loss of the subnetwork after k = 1 ... `steps` steps of greedy forward selection.

    l(z_k) <= l(z_1)/k + (1 - 1/k) L_N + D^2/(2k) (H_k - 1), because a step of Algorithm 1 is at least as good as the
    Frank-Wolfe step 1/k. first_loss: l(z_1); dense_loss: L_N; squared_diameter: D^2. Returns (steps,).
    """
    k = np.arange(1, steps + 1)
    spread = CURVATURE[loss] * squared_diameter / (2 * k) * (harmonic(steps) - 1)
    return first_loss / k + (1 - 1 / k) * dense_loss + spread


def variance_form(dense_loss: float, variance: float, steps: int, loss: str) -> np.ndarray:
    """The same with the variance V of the neurons' outputs in place of D^2: l(z_k) <= L_N + V H_k/(2k).

    Because a step of Algorithm 1 is also at least as good as adding a neuron at random (docs/theory.md has the proof).
    It needs nothing but the dense network. Returns (steps,).
    """
    return dense_loss + CURVATURE[loss] * variance * harmonic(steps) / (2 * np.arange(1, steps + 1))


def variance_recursion(dense_loss: float, variance: float, steps: int) -> np.ndarray:
    """The variance form for the squared loss, sharper: no logarithm where the dense loss is small.

    The root of this loss is a norm, so that the mean over a random neuron is at most
    ((1 - 1/k) sqrt(l(z_{k-1})) + sqrt(L_N)/k)^2 + V/(2k^2), which is iterated here from k = 1. It lies between
    L_N + V/(2k) and the variance form (docs/theory.md has the proof). Returns (steps,).
    """
    bounds = np.empty(steps)
    previous, root = 0.0, math.sqrt(dense_loss)
    for k in range(1, steps + 1):
        previous = ((1 - 1 / k) * math.sqrt(previous) + root / k) ** 2 + variance / (2 * k**2)
        bounds[k - 1] = previous
    return bounds


def violations(measured: np.ndarray, bound: np.ndarray, slack: float = 1e-12) -> np.ndarray:
    """Where a measured loss exceeds its bound by more than `slack` of the bound. NaN counts as a violation."""
    return ~(measured <= bound * (1 + slack))


def trivial_loss(targets: np.ndarray, loss: str) -> float:
    """Mean loss of the best prediction that knows only the shares of the two classes.

    targets: (examples,), -1 and 1 for the squared loss, 0 and 1 for the logistic one.
    """
    targets = np.asarray(targets, np.float64)
    share = float(targets.mean())
    if loss == "squared":
        return mean_loss(np.full(len(targets), share), targets, loss)
    return sum(-p * math.log(p) for p in (share, 1 - share) if p > 0)


def steps_for_error(error: float, squared_diameter: float) -> float | NotApplicable:
    """The number of steps k from which D^2 ln(k)/(2k), the sparsity term of Lemma 1, stays at or below `error`.

    k = exp(-W_-1(-e)) with e = 2 error/D^2 and W_-1 the lower branch of Lambert's function. error and D^2 in the same
    unit. Not applicable where e > 1/e: ln(k)/k is never so large, so that every k meets the error.
    Raises UserError for an error that is not positive.
    """
    if not error > 0:
        raise UserError(f"the error is {error}; it must be above 0")
    ratio = 2 * error / squared_diameter if squared_diameter > 0 else math.inf
    if ratio > 1 / math.e:
        return NotApplicable("any number of steps meets this error")
    branch = float(lambertw(-ratio, -1).real)
    # At e = 1/e both branches meet in -1, and scipy answers NaN.
    return math.exp(-branch) if math.isfinite(branch) else math.e


def contraction_rate(
    learning_rate: _Numbers,
    smallest_singular_value: _Numbers,
    width: _Numbers,
    examples: _Numbers,
    constant: float = 1.0,
) -> _Numbers:
    """rho, by which gradient descent lowers the squared loss at least each iteration: L(t) <= (1 - rho)^t L(0).

    rho = c lr sigma_min^2/(N m), from rho = c eta sigma_min^2/N^2 (Theorem 2) and the step eta = lr N/m on the summed
    loss. learning_rate: the `per_neuron` one on the mean loss, so that the weights move by lr N times the gradient.
    smallest_singular_value: of the (m, N) first-layer outputs at initialisation (Definition 1). constant: c, which the
    theory leaves open.
    """
    return constant * learning_rate * smallest_singular_value**2 / (width * examples)


def threshold(steps: int, initial_loss: float, first_loss: float, squared_diameter: float, rate: float) -> float:
    """Theorem 3: the iterations of pre-training after which the dense loss no longer dominates the bound.

    steps: k, of the selection.
    t* = max(0, ln((k - 1) L_0 / (l(z_1) + D^2/2 (H_k - 1))) / (-ln(1 - rho))), l(z_1) and D^2 at initialisation.
    rate: rho. Infinite where rho is 0. Raises UserError where rho does not lie in [0, 1).
    """
    if not 0 <= rate < 1:
        raise UserError(f"the contraction rate is {rate}; it must be at least 0 and below 1")
    rest = first_loss + squared_diameter / 2 * (harmonic(steps)[-1] - 1)
    dominated = (steps - 1) * initial_loss
    if dominated <= rest:
        return 0.0
    return math.log(dominated / rest) / -math.log1p(-rate) if rate > 0 else math.inf


def certified(bound: float, dense_loss: float, trivial: float, margin: float) -> bool:
    """Whether a bound on the subnetwork's loss says that it is good.

    It must lie below the loss of the trivial predictor, and within `margin` times that loss above the dense network's.
    """
    return bool(bound < trivial and bound <= dense_loss + margin * trivial)
