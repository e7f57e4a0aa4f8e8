"""MNIST (LeCun, Cortes, Burges): 60,000 training and 10,000 test images of handwritten digits, 28 x 28, grey.

The four IDX files lie in <data_dir>/MNIST/raw, where torchvision.datasets.MNIST looks for them. They are
downloaded if one is missing, and only then; nothing is written if all are there.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from goodsubnet.data.downloads import absent, downloaded, not_original
from goodsubnet.data.files import one_line
from goodsubnet.data.loading import LoadedData
from goodsubnet.settings.datasets import SourceSettings

CLASS_NAMES = tuple("0123456789")
TRAIN_CLASS_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)

# Of the original files: name, shape, and SHA-256 of the decoded values (a byte each, without the header).
FILES = {
    "train_images": (
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ),
    "train_labels": (
        "train-labels-idx1-ubyte",
        (60000,),
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    ),
    "test_images": (
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ),
    "test_labels": (
        "t10k-labels-idx1-ubyte",
        (10000,),
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
}


class Settings(SourceSettings):
    """MNIST (60,000 training and 10,000 test digits), through torchvision; downloaded if absent."""

    label: ClassVar[str | None] = "MNIST"

    source: Literal["mnist"] = Field(description="where the data come from")

    def classes(self) -> dict[str, int]:
        return dict(zip(CLASS_NAMES, TRAIN_CLASS_COUNTS, strict=True))

    def image(self) -> tuple[int, int, int]:
        return 1, 28, 28

    def nonzero(self) -> float:
        return 0.19


def load(settings: Settings, data_dir: str) -> LoadedData:
    """The data set as `data.loading.load_source` describes it."""
    return load_mnist(data_dir)


def load_mnist(data_dir: str) -> LoadedData:
    """MNIST as `load_source` describes it. Raises UserError for a failed download and for a damaged file."""
    raw = Path(data_dir).expanduser() / "MNIST" / "raw"
    missing = absent([name for name, _, _ in FILES.values()], raw)
    if missing:
        _download(raw, missing)
    arrays = {key: _read(raw / name, shape, digest) for key, (name, shape, digest) in FILES.items()}
    return {
        "train_images": arrays["train_images"][:, np.newaxis],
        "train_labels": arrays["train_labels"],
        "test_images": arrays["test_images"][:, np.newaxis],
        "test_labels": arrays["test_labels"],
        "class_names": list(CLASS_NAMES),
        "pixel_max": 255,
    }


def _download(raw: Path, missing: list[str]) -> None:
    """Fetches the missing files into `raw`. Archives (*.gz) that already lie there are used before the network is."""
    from torchvision.datasets import MNIST

    advice = "put the four uncompressed IDX files there, or let data_dir name a folder that holds MNIST/raw"
    with downloaded("MNIST", missing, raw, advice) as scratch:
        fetched = scratch / "MNIST" / "raw"
        fetched.mkdir(parents=True)
        for archive in raw.glob("*.gz"):
            shutil.copy(archive, fetched)
        MNIST(scratch, download=True)
        for name in missing:
            os.replace(fetched / name, raw / name)


def _read(path: Path, shape: tuple[int, ...], digest: str) -> np.ndarray:
    """The images (uint8) or labels (int64) of one IDX file. Raises UserError where it is not the original.

    Files are read one by one with torchvision's reader, because torchvision.datasets.MNIST does not say which
    of them it could not read, and prefers pickled copies in MNIST/processed if an old version left some.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    try:
        array = (read_image_file if len(shape) == 3 else read_label_file)(str(path)).numpy()
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise not_original(path, "MNIST", f"it cannot be read: {one_line(error)}") from error
    if array.shape != shape:
        raise not_original(path, "MNIST", f"its shape is {array.shape} instead of {shape}")
    if hashlib.sha256(array.astype(np.uint8, copy=False)).hexdigest() != digest:
        raise not_original(path, "MNIST", "its content was altered")
    return array
