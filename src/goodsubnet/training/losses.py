"""The two losses and the accuracy, in numpy and float64; both label codings have their border at 0."""

import numpy as np

# The largest second derivative of an example's loss with respect to the output.
CURVATURE = {"squared": 1.0, "logistic": 0.25}


def targets_of(labels: np.ndarray, loss: str) -> np.ndarray:
    """Labels 0 and 1 as the loss wants them: 0, 1 for "logistic", -1, 1 for "squared" (Assumption 2). float32."""
    labels = np.asarray(labels, np.float32)
    return labels if loss == "logistic" else 2 * labels - 1


def softplus(t: np.ndarray) -> np.ndarray:
    """log(1 + e^t), for any t."""
    return np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))


def mean_loss(outputs: np.ndarray, targets: np.ndarray, loss: str) -> float:
    """Mean over the examples of log(1 + e^z) - y z ("logistic", y 0 or 1) or (z - y)^2 / 2 ("squared", eq. 4)."""
    z, y = np.asarray(outputs, np.float64), np.asarray(targets, np.float64)
    if loss == "squared":
        return float(np.mean(np.square(z - y)) / 2)
    # softplus(z) - z is softplus(-z), without the cancellation.
    return float(np.mean(softplus(np.where(y > 0, -z, z))))


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Share of the examples on the right side of 0; an output of exactly 0 counts as the lower class."""
    return float(np.mean((np.asarray(outputs) > 0) == (np.asarray(targets) > 0)))
