"""Random changes of training images that leave their class as it is, as operations on a whole batch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from goodsubnet.data.randomness import random_generator


def crop_and_flip(images: Tensor, seed: int, iteration: int, padding: int = 4, flip: bool = True) -> Tensor:
    """Each image moved by up to `padding` pixels, and flipped left to right with probability 1/2.

    images: uint8, shape (batch, channels, height, width). Each is padded with zeros on all sides and cropped to its
    size at a place drawn uniformly, as torchvision's RandomCrop(size, padding) and RandomHorizontalFlip do. Returns
    the same shape, dtype and device. What is drawn is a function of (seed, iteration) and the size of the batch.
    """
    # Measured on one core, 128 images of 3 x 32 x 32: 0.8 ms, and 17 ms with torchvision's transforms image by image
    # (28 ms on PIL images): 0.01 % and 0.2 % of a training step of MobileNetV2, 8.9 s there. On an accelerator the step
    # is what shrinks.
    count, _, height, width = images.shape
    generator = random_generator("augmentation", seed, iteration)
    tops, lefts = generator.integers(0, 2 * padding + 1, size=(2, count, 1))
    flipped = generator.integers(0, 2, size=(count, 1)) if flip else np.zeros((count, 1), dtype=np.int64)
    rows = tops + np.arange(height)
    columns = lefts + np.where(flipped, np.arange(width)[::-1], np.arange(width))
    # Rows and columns are small; all pixels' places are worked out on the device.
    rows, columns = (torch.from_numpy(part).to(images.device) for part in (rows, columns))
    places = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    padded = functional.pad(images, (padding,) * 4)
    return padded.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, images.shape[1], -1)).view_as(images)
