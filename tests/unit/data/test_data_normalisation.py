"""Mean and deviation of pixels, against numpy in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from goodsubnet.data.normalisation import IMAGENET, pixel_statistics

SHAPES = arrays.array_shapes(min_dims=4, max_dims=4, max_side=5)


@given(arrays.arrays(np.uint8, SHAPES), st.sampled_from([16, 255]))
def test_they_are_those_of_the_pixels_of_a_channel(images, pixel_max):
    mean, deviation = pixel_statistics(images, pixel_max)
    scaled = images.astype(np.float64) / pixel_max
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean, scaled.mean((0, 2, 3)), rtol=1e-6, atol=1e-12)
    varies = np.ptp(images, axis=(0, 2, 3)) > 0
    np.testing.assert_allclose(deviation[varies], scaled.std((0, 2, 3))[varies], rtol=1e-6)


@given(st.integers(0, 255), st.integers(1, 40))
def test_a_channel_that_never_varies_is_not_divided_by_nothing(value, count):
    images = np.full((count, 2, 3, 3), value, np.uint8)
    images[0, 1, 0, 0] ^= 1
    _, deviation = pixel_statistics(images, 255)
    assert deviation[0] == 1
    assert 0 < deviation[1] < 1


def test_sums_are_exact_however_many_pixels_there_are():
    """In float32 one would stop to count at 2^24 of them."""
    images = np.zeros((5, 1, 2048, 2048), np.uint8)
    images[1:] = 255
    mean, deviation = pixel_statistics(images, 255)
    assert mean.tolist() == pytest.approx([0.8], rel=1e-7)
    assert deviation.tolist() == pytest.approx([0.4], rel=1e-7)


def test_of_imagenet_they_are_torchvisions():
    from torchvision.models import ResNet34_Weights

    preset = ResNet34_Weights.IMAGENET1K_V1.transforms()
    assert (preset.mean, preset.std) == IMAGENET[3]
    for values, of_grey in zip(IMAGENET[3], IMAGENET[1], strict=True):
        assert of_grey == [pytest.approx(np.mean(values), abs=1e-3)]
