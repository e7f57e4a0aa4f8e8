"""MNIST (LeCun, Cortes, Burges): 60,000 training and 10,000 test images of handwritten digits, 28 x 28, grey.

The four IDX files lie in <data_dir>/MNIST/raw, where torchvision.datasets.MNIST looks for them. They are
downloaded if one is missing, and only then; nothing is written where all are there.
"""

import hashlib
import http.client
import os
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import UserError

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

SECONDS_WITHOUT_DATA = 60


def load(settings: dict, data_dir: str) -> dict:
    """The data set as `sources.load_source` describes it."""
    return load_mnist(data_dir)


def load_mnist(data_dir: str) -> dict:
    """MNIST as `load_source` describes it. Raises UserError for a failed download and for a damaged file."""
    raw = Path(data_dir).expanduser() / "MNIST" / "raw"
    # os.path.isfile is False, not an error, where a folder may not be searched.
    missing = [name for name, _, _ in FILES.values() if not os.path.isfile(raw / name)]
    if missing:
        _download(raw, missing)
    arrays = {key: _read(raw / name, shape, digest) for key, (name, shape, digest) in FILES.items()}
    for key in ("train_images", "test_images"):
        arrays[key] = arrays[key][:, np.newaxis]
    return {**arrays, "class_names": list(CLASS_NAMES), "pixel_max": 255}


def _download(raw: Path, missing: list[str]) -> None:
    """Fetches the missing files into `raw`, each of them whole or not at all.

    torchvision unpacks in place and takes any file of the right name for a complete one, so an interrupted
    download, or two at a time, would leave a damaged file. It works in a scratch folder instead, and finished
    files are renamed. Archives (*.gz) that already lie in `raw` are used before the network is.
    """
    from torchvision.datasets import MNIST

    try:
        raw.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=raw.parent) as scratch, _socket_timeout():
            fetched = Path(scratch, "MNIST", "raw")
            fetched.mkdir(parents=True)
            for archive in raw.glob("*.gz"):
                shutil.copy(archive, fetched)
            MNIST(scratch, download=True)
            for name in missing:
                os.replace(fetched / name, raw / name)
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        AssertionError,
        http.client.HTTPException,
        zlib.error,
    ) as error:
        raise UserError(
            f"MNIST: {', '.join(missing)} not in {raw}, and the download failed ({_one_line(error)});"
            " put the four uncompressed IDX files there, or let data_dir name a folder that holds MNIST/raw."
        ) from error


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Behind some firewalls a connection opens and then stays silent; torchvision would wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_WITHOUT_DATA)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read(path: Path, shape: tuple[int, ...], digest: str) -> np.ndarray:
    """The images (uint8) or labels (int64) of one IDX file. Raises UserError where it is not the original.

    Files are read one by one with torchvision's reader, because torchvision.datasets.MNIST does not say which
    of them it could not read, and prefers pickled copies in MNIST/processed if an old version left some.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    try:
        array = (read_image_file if len(shape) == 3 else read_label_file)(str(path)).numpy()
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise _damaged(path, f"it cannot be read: {_one_line(error)}") from error
    if array.shape != shape:
        raise _damaged(path, f"its shape is {array.shape} instead of {shape}")
    if hashlib.sha256(array.astype(np.uint8, copy=False)).hexdigest() != digest:
        raise _damaged(path, "its content was altered")
    return array


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is not the original MNIST file ({reason}); delete it, and the next run downloads it anew."
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
