"""CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images of ten kinds of things, 32 x 32, RGB.

The files lie in <data_dir>/cifar-10-batches-py, where torchvision.datasets.CIFAR10 looks for them. They are
downloaded if one is missing, and only then; nothing is written where all are there. They are pickles, so they are
read only by torchvision, and only after their MD5s were found to be those of the original files.
"""

import http.client
import os
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import UserError
from .files import one_line, socket_timeout

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_CLASS_COUNTS = (5000,) * 10


def load(settings: dict, data_dir: str) -> dict:
    """The data set as `sources.load_source` describes it."""
    return load_cifar10(data_dir)


def load_cifar10(data_dir: str) -> dict:
    """CIFAR-10 as `load_source` describes it. Raises UserError for a failed download and for a damaged file."""
    from torchvision.datasets import CIFAR10

    root = Path(data_dir).expanduser()
    _ensure_original_files(root / CIFAR10.base_folder)
    arrays = {}
    for part, train in (("train", True), ("test", False)):
        stored = CIFAR10(root, train=train)
        arrays[f"{part}_images"] = np.ascontiguousarray(stored.data.transpose(0, 3, 1, 2))
        arrays[f"{part}_labels"] = np.array(stored.targets, dtype=np.int64)
    return {**arrays, "class_names": list(CLASS_NAMES), "pixel_max": 255}


def _ensure_original_files(folder: Path) -> None:
    """Downloads what is missing; raises UserError, naming the file, unless all have the MD5 that torchvision knows."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    digests = dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])
    # os.path.isfile is False, not an error, where a folder may not be searched.
    missing = [name for name in digests if not os.path.isfile(folder / name)]
    if missing:
        _download(folder, missing)
    for name, digest in digests.items():
        try:
            reason = None if check_integrity(folder / name, digest) else "its content was altered"
        except OSError as error:
            reason = f"it cannot be read: {one_line(error)}"
        if reason is not None:
            raise UserError(
                f"{folder / name} is not the original CIFAR-10 file ({reason});"
                " delete it, and the next run downloads it anew."
            )


def _download(folder: Path, missing: list[str]) -> None:
    """Fetches the missing files into `folder`, each of them whole or not at all.

    torchvision unpacks in place, so an interrupted download, or two at a time, would leave a damaged file. It works
    in a scratch folder instead, and finished files are renamed. An intact archive beside `folder` is used before the
    network is.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    archive = folder.parent / CIFAR10.filename
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder.parent) as scratch, socket_timeout():
            # Only an intact one: through a link to another, torchvision would write.
            if check_integrity(archive, CIFAR10.tgz_md5):
                Path(scratch, CIFAR10.filename).symlink_to(archive.resolve())
            CIFAR10(scratch, download=True)
            for name in missing:
                os.replace(Path(scratch, CIFAR10.base_folder, name), folder / name)
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        tarfile.TarError,
        http.client.HTTPException,
        zlib.error,
    ) as error:
        raise UserError(
            f"CIFAR-10: {', '.join(missing)} not in {folder}, and the download failed ({one_line(error)}); put"
            f" {CIFAR10.filename} into {folder.parent}, or let data_dir name a folder that holds {CIFAR10.base_folder}."
        ) from error
