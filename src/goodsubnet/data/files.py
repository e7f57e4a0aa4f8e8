"""What the readers of files share: one image file read, names of files as an array."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goodsubnet.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

PIL_MODES = {1: "L", 3: "RGB"}


def read_image(path: Path, channels: int) -> "Image.Image":
    """The image in a file, 8 bits per channel: grey where `channels` is 1, RGB where it is 3.

    Transparency is dropped, of an animation the first frame is taken, and pixels stay as they are stored (no EXIF
    rotation). Raises UserError, naming the file, where it cannot be decoded or has more than 8 bits per channel.
    """
    from PIL import Image

    mode = PIL_MODES[channels]
    try:
        with Image.open(path) as stored:
            deep = _is_deep(stored)
            # PIL warns where it drops the transparency of a palette; by way of RGBA, it does not.
            image = stored.convert("RGBA") if stored.mode == "P" and "transparency" in stored.info else stored
            image = image.convert(mode)
    # The decoders raise all kinds of errors for damaged files: SyntaxError, struct.error, IndexError ...
    except Exception as error:
        raise _unreadable(path, error) from error
    if deep:
        raise _too_deep(path)
    return image


def check_image_header(path: Path) -> None:
    """Opens an image file without decoding it. Raises UserError as `read_image`, for what the header tells."""
    from PIL import Image

    try:
        with Image.open(path) as stored:
            deep = _is_deep(stored)
    except Exception as error:
        raise _unreadable(path, error) from error
    if deep:
        raise _too_deep(path)


def pack(names: list[str]) -> np.ndarray:
    """Names as an array that a prepared artifact can hold: the bytes of a JSON list, uint8 of shape (bytes,)."""
    return np.frombuffer(json.dumps(names).encode("ascii"), dtype=np.uint8)


def unpack(array: np.ndarray) -> list[str]:
    """The names in an array made by `pack`."""
    return json.loads(array.tobytes())


def quoted(path: Path) -> str:
    """Quoted as in Python, so that odd characters in a name neither break the line nor fail to print."""
    return repr(str(path))


def one_line(error: Exception) -> str:
    """The message of an error for use within another: one line, never empty."""
    return " ".join(str(error).split()) or type(error).__name__


def _is_deep(stored: "Image.Image") -> bool:
    """More than 8 bits per channel: PIL would clip values at 255, and most of a 16-bit image would come out white."""
    return stored.mode.startswith(("I", "F"))


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{quoted(path)} cannot be read as an image ({one_line(error)}); replace or remove it.")


def _too_deep(path: Path) -> UserError:
    return UserError(f"{quoted(path)} has more than 8 bits a channel; convert it to 8 bits first.")
