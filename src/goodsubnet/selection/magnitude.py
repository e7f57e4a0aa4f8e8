"""Neurons ranked by their weights alone."""

from collections.abc import Mapping

import numpy as np


def ranked(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """The neurons by |b_i| * ||a_i||, the largest first, ties to the lowest; (neurons,) int64."""
    a, b = (weights[name].astype(np.float64) for name in "ab")
    return np.argsort(-np.abs(b) * np.linalg.norm(a, axis=1), kind="stable")
