"""CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images of ten kinds of things, 32 x 32, RGB.

The files lie in <data_dir>/cifar-10-batches-py, where torchvision.datasets.CIFAR10 looks for them. They are
downloaded if one is missing, and only then; nothing is written if all are there. They are pickles, so they are
read only by torchvision, and only after their MD5s were found to be those of the original files.
"""

import os
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from goodsubnet.data.downloads import absent, downloaded, not_original
from goodsubnet.data.files import one_line
from goodsubnet.data.loading import LoadedData
from goodsubnet.settings.datasets import SourceSettings

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_CLASS_COUNTS = (5000,) * 10


class Settings(SourceSettings):
    """CIFAR-10 (50,000 training and 10,000 test images of 10 classes), through torchvision; downloaded if absent."""

    label: ClassVar[str | None] = "CIFAR-10"

    source: Literal["cifar10"] = Field(description="where the data come from")

    def classes(self) -> dict[str, int]:
        return dict(zip(CLASS_NAMES, TRAIN_CLASS_COUNTS, strict=True))

    def image(self) -> tuple[int, int, int]:
        return 3, 32, 32


def load(settings: Settings, data_dir: str) -> LoadedData:
    """The data set as `data.loading.load_source` describes it."""
    return load_cifar10(data_dir)


def load_cifar10(data_dir: str) -> LoadedData:
    """CIFAR-10 as `load_source` describes it. Raises UserError for a failed download and for a damaged file."""
    from torchvision.datasets import CIFAR10

    root = Path(data_dir).expanduser()
    _ensure_original_files(root / CIFAR10.base_folder)
    arrays = {}
    for part, train in (("train", True), ("test", False)):
        stored = CIFAR10(root, train=train)
        arrays[f"{part}_images"] = np.ascontiguousarray(stored.data.transpose(0, 3, 1, 2))
        arrays[f"{part}_labels"] = np.array(stored.targets, dtype=np.int64)
    return {
        "train_images": arrays["train_images"],
        "train_labels": arrays["train_labels"],
        "test_images": arrays["test_images"],
        "test_labels": arrays["test_labels"],
        "class_names": list(CLASS_NAMES),
        "pixel_max": 255,
    }


def _ensure_original_files(folder: Path) -> None:
    """Downloads what is missing; raises UserError, naming the file, unless all have the MD5 that torchvision knows."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    digests = dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])
    missing = absent(list(digests), folder)
    if missing:
        _download(folder, missing)
    for name, digest in digests.items():
        try:
            reason = None if check_integrity(folder / name, digest) else "its content was altered"
        except OSError as error:
            reason = f"it cannot be read: {one_line(error)}"
        if reason is not None:
            raise not_original(folder / name, "CIFAR-10", reason)


def _download(folder: Path, missing: list[str]) -> None:
    """Fetches the missing files into `folder`. An intact archive beside it is used before the network is."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    archive = folder.parent / CIFAR10.filename
    advice = (
        f"put {CIFAR10.filename} into {folder.parent}, or let data_dir name a folder that holds {CIFAR10.base_folder}"
    )
    with downloaded("CIFAR-10", missing, folder, advice) as scratch:
        # Only an intact one: torchvision would write through a link to a damaged one.
        if check_integrity(archive, CIFAR10.tgz_md5):
            (scratch / CIFAR10.filename).symlink_to(archive.resolve())
        CIFAR10(scratch, download=True)
        for name in missing:
            os.replace(scratch / CIFAR10.base_folder / name, folder / name)
