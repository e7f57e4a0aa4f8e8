"""Mean and spread of the pixels, by which deep networks normalise their images."""

import numpy as np

# Of ImageNet's training images, as torchvision's networks use them; of grey images the mean over the channels.
IMAGENET = {3: ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), 1: ([0.449], [0.226])}


def pixel_statistics(images: np.ndarray, pixel_max: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel on the scale [0, 1], float32 of shape (channels,).

    images: (count, channels, height, width) uint8. A channel that never varies has the deviation 1. Computed from the
    counts of each value, so that the sums are exact.
    """
    mean, deviation = [], []
    values = np.arange(256) / pixel_max
    for channel in range(images.shape[1]):
        share = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        mean.append(share @ values)
        deviation.append(np.sqrt(share @ np.square(values - mean[-1])) or 1.0)
    return np.array(mean, np.float32), np.array(deviation, np.float32)
