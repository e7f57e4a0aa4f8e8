"""Data sets that torchvision downloads: every file whole or not at all, and what went wrong in one line."""

import http.client
import os
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from goodsubnet.data.files import one_line
from goodsubnet.errors import UserError

SECONDS_WITHOUT_DATA = 60
FAILURES = (
    *(OSError, RuntimeError, ValueError, EOFError, AssertionError),
    *(http.client.HTTPException, zlib.error, tarfile.TarError),
)


@contextmanager
def downloaded(name: str, missing: Sequence[str], folder: Path, advice: str) -> Iterator[Path]:
    """A scratch folder beside `folder` to download into; its files are then moved with `os.replace`.

    torchvision unpacks in place and takes any file of the right name for a complete one, so an interrupted download,
    or two at once, would leave a damaged file. Raises UserError where the block fails: the data set's name, what was
    missing, why, and the advice.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder.parent) as scratch, _socket_timeout():
            yield Path(scratch)
    except FAILURES as error:
        raise UserError(
            f"{name}: {', '.join(missing)} not in {folder}, and the download failed ({one_line(error)}); {advice}."
        ) from error


def absent(names: Sequence[str], folder: Path) -> list[str]:
    """Which of the files are not in a folder."""
    # os.path.isfile is False, not an error, where a folder may not be searched.
    return [name for name in names if not os.path.isfile(folder / name)]


def not_original(path: Path, name: str, reason: str) -> UserError:
    """The error for a file that is not what the data set's authors published."""
    return UserError(
        f"{path} is not the original {name} file ({reason}); delete it, and the next run downloads it anew."
    )


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Behind some firewalls a connection opens and then stays silent; torchvision would wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_WITHOUT_DATA)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
