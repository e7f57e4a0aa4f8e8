"""The 1,797 handwritten digits that scikit-learn ships: 8 x 8, grey, values 0 .. 16. They need no network.

Source: the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI repository).
"""

import hashlib
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from goodsubnet.data.loading import LoadedData
from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.settings.datasets import SourceSettings

CLASS_NAMES = tuple("0123456789")
CLASS_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
PIXEL_MAX = 16
TEST_SHARE = 0.2

# SHA-256 of the values as bytes, one each, in scikit-learn's order.
IMAGES_SHA256 = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
LABELS_SHA256 = "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"


class Settings(SourceSettings):
    """The 1,797 handwritten digits that scikit-learn ships; no download."""

    label: ClassVar[str | None] = "scikit-learn's digits"

    source: Literal["digits"] = Field(description="where the data come from")
    test_share: float = Field(TEST_SHARE, gt=0, lt=1, description="share of each class kept for the test set")

    def classes(self) -> dict[str, int]:
        return dict(zip(CLASS_NAMES, train_class_counts(self.test_share), strict=True))

    def image(self) -> tuple[int, int, int]:
        return 1, 8, 8

    def nonzero(self) -> float:
        return 0.51

    def test_images(self) -> int:
        return sum(_test_class_counts(self.test_share))


def load(settings: Settings, data_dir: str) -> LoadedData:
    """The data set as `data.loading.load_source` describes it."""
    return load_digits(settings.test_share)


def load_digits(test_share: float = TEST_SHARE) -> LoadedData:
    """The digits as `load_source` describes them, split into training and test data.

    Of each class, round(test_share * count) examples, drawn at random with a fixed seed, are the test data;
    both parts keep scikit-learn's order. Raises UserError for an impossible share, and where scikit-learn's
    data are not those that this was written for.
    """
    from sklearn import __version__, datasets

    test_counts = _test_class_counts(test_share)
    bunch = datasets.load_digits()
    images = bunch.images.astype(np.uint8)[:, np.newaxis]
    labels = bunch.target.astype(np.int64)
    if (
        hashlib.sha256(images).hexdigest() != IMAGES_SHA256
        or hashlib.sha256(labels.astype(np.uint8)).hexdigest() != LABELS_SHA256
    ):
        raise UserError(
            f"digits: scikit-learn {__version__} ships other data than those this was written for;"
            " install the version in envs/requirements.txt."
        )
    is_test = np.zeros(len(labels), dtype=bool)
    generator = random_generator("digits", "test split")
    for label, count in enumerate(test_counts):
        is_test[generator.permutation(np.flatnonzero(labels == label))[:count]] = True
    return {
        "train_images": images[~is_test],
        "train_labels": labels[~is_test],
        "test_images": images[is_test],
        "test_labels": labels[is_test],
        "class_names": list(CLASS_NAMES),
        "pixel_max": PIXEL_MAX,
    }


def train_class_counts(test_share: float = TEST_SHARE) -> list[int]:
    """Number of training examples of each class, without the data. UserError for an impossible share."""
    return [count - test for count, test in zip(CLASS_COUNTS, _test_class_counts(test_share), strict=True)]


def _test_class_counts(test_share: float) -> list[int]:
    counts = [round(test_share * count) for count in CLASS_COUNTS] if 0 < test_share < 1 else []
    if not counts or any(not 0 < test < count for test, count in zip(counts, CLASS_COUNTS, strict=True)):
        raise UserError(
            f"test_share: {test_share} leaves a class of digits without training or test examples;"
            " choose a number between 0.01 and 0.99."
        )
    return counts
