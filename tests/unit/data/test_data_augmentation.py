"""Crops and flips of a batch, against a loop over its images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.data.augmentation import crop_and_flip


def pixels(shape, seed=0):
    """Images whose pixels all differ within a channel, and from the 0 of the padding: no two crops are the same."""
    generator, (height, width) = np.random.default_rng(seed), shape[2:]
    channels = [generator.permutation(255)[: height * width] + 1 for _ in range(shape[0] * shape[1])]
    return torch.from_numpy(np.array(channels, dtype=np.uint8).reshape(shape))


def all_outcomes(image, padding, flip):
    """Every crop of one image (channels, height, width), flipped or not, by slices of a padded numpy array."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    outcomes = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + height, left : left + width]
            outcomes[top, left, False] = crop
            if flip:
                outcomes[top, left, True] = crop[:, :, ::-1]
    return outcomes


def outcome_of(result, image, padding, flip):
    """The (top, left, flipped) that makes `result` from `image`."""
    matches = [key for key, crop in all_outcomes(image, padding, flip).items() if np.array_equal(crop, result)]
    assert len(matches) == 1
    return matches[0]


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    padding=st.integers(0, 3),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_each_image_is_a_crop_of_itself(count, channels, height, width, padding, flip, seed):
    images = pixels((count, channels, height, width), seed)
    before = images.clone()
    result = crop_and_flip(images, seed, 3, padding, flip)
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    assert torch.equal(images, before)
    for changed, image in zip(result.numpy(), images.numpy(), strict=True):
        outcome_of(changed, image, padding, flip)


def test_crops_and_flips_are_uniform_and_independent():
    # 4,500 draws of 18 equally likely outcomes: 250 each, standard deviation 15.4.
    image = pixels((1, 1, 6, 5))
    result = crop_and_flip(image.expand(4500, -1, -1, -1), 0, 0, padding=1).numpy()
    counts = [
        sum(np.array_equal(one, crop) for one in result) for crop in all_outcomes(image[0].numpy(), 1, True).values()
    ]
    assert sum(counts) == 4500
    assert len(counts) == 18
    assert all(abs(count - 250) < 4 * 15.4 for count in counts)


def test_draws_are_a_function_of_seed_and_iteration():
    images = pixels((64, 3, 8, 8))
    first = crop_and_flip(images, 1, 7)
    torch.manual_seed(5)
    crop_and_flip(images, 1, 6)
    assert torch.equal(crop_and_flip(images, 1, 7), first)
    for seed, iteration in [(2, 7), (1, 8), (7, 1)]:
        assert not torch.equal(crop_and_flip(images, seed, iteration), first)


def test_draws_do_not_hang_on_the_pixels():
    small, large = pixels((16, 1, 5, 5)), pixels((16, 3, 9, 7), seed=1)
    drawn = [
        [outcome_of(a, b, 2, True) for a, b in zip(crop_and_flip(images, 0, 4, 2).numpy(), images.numpy(), strict=True)]
        for images in (small, large)
    ]
    assert drawn[0] == drawn[1]


def test_nothing_to_draw_changes_nothing():
    images = pixels((4, 3, 6, 6))
    assert torch.equal(crop_and_flip(images, 0, 0, padding=0, flip=False), images)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_layout_of_the_images_does_not_matter(layout):
    images = pixels((4, 3, 6, 6))
    assert torch.equal(crop_and_flip(images.contiguous(memory_format=layout), 0, 0), crop_and_flip(images, 0, 0))
