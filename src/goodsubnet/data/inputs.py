"""From stored images to what a two-layer network reads."""

import numpy as np


def network_inputs(images: np.ndarray, pixel_max: int, scaling: str) -> np.ndarray:
    """Images as rows of numbers.

    images: (count, channels, height, width) uint8. Returns (count, channels * height * width) float32.
    scaling: "unit_range", pixels in [0, 1], or "unit_length", each row of Euclidean length 1 (an empty image stays 0).
    """
    rows = images.reshape(len(images), -1).astype(np.float32)
    if scaling == "unit_range":
        rows /= np.float32(pixel_max)
        return rows
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
