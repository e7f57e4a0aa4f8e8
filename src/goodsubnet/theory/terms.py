"""The terms of the bounds, measured on a checkpoint of a two-layer network."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.linalg import svdvals

from goodsubnet.networks.two_layer import ACTIVATIONS
from goodsubnet.selection.losses import losses_along
from goodsubnet.settings.networks import TwoLayerArchitecture
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.bounds import trivial_loss
from goodsubnet.theory.geometry import diameter_about, mean_output, squared_distances
from goodsubnet.training.losses import mean_loss


def measured_terms(outputs: np.ndarray, targets: np.ndarray, neurons: np.ndarray, loss: str) -> dict[str, object]:
    """What the bounds on a subnetwork are made of, and its losses, as means over the examples, in float64.

    outputs: (examples, neurons) of the dense network; targets: (examples,); neurons: (steps,) as they were selected.
    All from the same outputs, whatever their precision, so that the bounds hold to float64 rounding.
    Returns `dense_loss` L_N, `variance` V/m, `squared_diameter` D^2/m, `trivial_loss`, and `losses`, a list: l(z_k)
    for k = 1 ... steps. Raises UserError where an output is not a finite number.
    """
    examples = len(targets)
    center = mean_output(outputs)
    squared_radii = squared_distances(outputs, center)
    return {
        "dense_loss": mean_loss(center, targets, loss),
        "variance": float(squared_radii.mean()) / examples,
        "squared_diameter": diameter_about(outputs, center, squared_radii) ** 2 / examples,
        "trivial_loss": trivial_loss(targets, loss),
        "losses": losses_along(outputs, targets, neurons, loss).tolist(),
    }


def movement(weights: Mapping[str, np.ndarray], initial: Mapping[str, np.ndarray]) -> np.ndarray:
    """How far the weights theta_i = (a_i, b_i) of each neuron are from `initial`: Euclidean distances, (neurons,)."""
    return lengths({name: weights[name].astype(np.float64) - initial[name] for name in "ab"})


def lengths(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """The Euclidean length of each neuron's weights (a_i, b_i), (neurons,) float64."""
    a, b = (weights[name].astype(np.float64) for name in "ab")
    return np.sqrt(np.einsum("ij,ij->i", a, a) + b**2)


def unmet_assumptions(
    architecture: TwoLayerArchitecture,
    loss: str,
    batch_size: int | Literal["full"],
    inputs: np.ndarray,
    targets: np.ndarray,
) -> list[str]:
    """What Theorems 1 to 3 assume (Assumptions 1 and 2, gradient descent on all examples) and does not hold, in words.

    architecture: of the network. inputs: (examples, d); targets: (examples,). Empty where all of it holds.
    """
    lengths = np.linalg.norm(inputs.astype(np.float64), axis=1)
    unmet = {
        f"activation {architecture.activation} instead of tanh": architecture.activation != "tanh",
        f"{loss} loss instead of the squared": loss != "squared",
        "mini-batches": batch_size != "full" and batch_size < len(targets),
        "initial weights that are not N(0, I)": architecture.initialisation != "unit",
        "inputs that are not of length 1": not np.allclose(lengths, 1, rtol=0, atol=1e-5),
        "labels outside [-1, 1]": not np.all(np.abs(targets) <= 1),
        "more examples than neurons": len(targets) > architecture.width,
    }
    return [words for words, holds in unmet.items() if holds]


def initial_spectrum(
    weights: Mapping[str, np.ndarray], inputs: np.ndarray, activation: str
) -> dict[str, float | NotApplicable]:
    """Singular values of Psi_0 = act(X A_0^T) (Definition 1), the first-layer outputs at initialisation.

    weights: before training; inputs: (m, d). In float64, of the matrix itself: a squared one loses the small ones.
    Returns `smallest_singular_value`, `largest_singular_value` and `condition_number`; NotApplicable where m > N, and
    the condition number where the smallest is 0 to rounding.
    """
    neurons, examples = len(weights["b"]), len(inputs)
    names = ("smallest_singular_value", "largest_singular_value", "condition_number")
    if examples > neurons:
        return dict.fromkeys(names, NotApplicable("more examples than neurons"))
    values = svdvals(ACTIVATIONS[activation](inputs.astype(np.float64) @ weights["a"].astype(np.float64).T))
    smallest, largest = float(values[-1]), float(values[0])
    rounding = largest * neurons * np.finfo(np.float64).eps
    condition = largest / smallest if smallest > rounding else NotApplicable("dependent examples")
    return dict(zip(names, (smallest, largest, condition), strict=True))
