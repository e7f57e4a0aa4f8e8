"""A user's own images: <path>/train/<class>/* and <path>/test/<class>/*, one folder a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError

IMAGE_EXTENSIONS = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
PIL_MODES = {1: "L", 3: "RGB"}


def load(settings: dict, data_dir: str) -> dict:
    """The data set as `sources.load_source` describes it."""
    return load_folder(settings["path"], data_dir, channels=settings["channels"], size=settings.get("size"))


def load_folder(path: str, data_dir: str, *, channels: int, size: Sequence[int] | None = None) -> dict:
    """The images under `path` (relative to data_dir, unless absolute) as `load_source` describes them.

    Classes are the folders' names, sorted by code points; hidden folders are no classes. Within a class the
    order is that of the sorted file names. Files whose names end like no image's are passed over.

    channels: 1 makes all images grey, 3 RGB; transparency is dropped, of an animation the first frame is
    taken, and pixels stay as they are stored (no EXIF rotation). size: (height, width) to which images are
    resized (bilinear, antialiased), or None: all must have the same size.

    Raises UserError for missing folders, classes that differ between train and test or have no images, images
    that cannot be read or have more than 8 bits a channel, and sizes that differ.
    """
    if channels not in PIL_MODES:
        raise UserError(f"channels: {channels!r} is not possible; choose 1 (grey) or 3 (RGB).")
    root = Path(data_dir).expanduser() / Path(path).expanduser()
    class_names = _matching_class_names(root)
    files = {split: _list_images(root / split, class_names) for split in ("train", "test")}
    images = _read_images([file for split in files.values() for file, _ in split], channels, size)
    labels = np.array([label for split in files.values() for _, label in split], dtype=np.int64)
    count = len(files["train"])
    return {
        "train_images": images[:count],
        "train_labels": labels[:count],
        "test_images": images[count:],
        "test_labels": labels[count:],
        "class_names": class_names,
        "pixel_max": 255,
    }


def train_class_counts(path: str, data_dir: str) -> dict[str, int]:
    """Number of training images of each class, by the names of the files alone. Raises UserError as `load_folder`."""
    root = Path(data_dir).expanduser() / Path(path).expanduser()
    names = _matching_class_names(root)
    labels = [label for _, label in _list_images(root / "train", names)]
    return dict(zip(names, np.bincount(labels).tolist(), strict=True))


def _matching_class_names(root: Path) -> list[str]:
    train, test = (_class_names(root / split) for split in ("train", "test"))
    for here, there, only in (
        ("train", "test", set(train) - set(test)),
        ("test", "train", set(test) - set(train)),
    ):
        if only:
            raise UserError(
                f"{_quoted(root)}: class {min(only)!r} is in {here} but not in {there} ({len(only)} such);"
                " both need the same class folders."
            )
    return train


def _class_names(folder: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(
            f"{_quoted(folder)} cannot be listed ({error.strerror}); an image folder needs"
            " train/<class>/* and test/<class>/*: check `path` and data_dir."
        ) from error
    if not names:
        raise UserError(f"{_quoted(folder)} has no class folders; put the images into one folder a class.")
    return names


def _list_images(folder: Path, class_names: list[str]) -> list[tuple[Path, int]]:
    """The images under one split, each with its class."""
    listed = []
    for label, name in enumerate(class_names):
        try:
            entries = sorted((folder / name).iterdir())
        except OSError as error:
            raise UserError(f"{_quoted(folder / name)} cannot be listed ({error.strerror}).") from error
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                raise UserError(f"{_quoted(entry)} is a folder inside a class; move its images to the class itself.")
        files = [entry for entry in entries if entry.suffix.lower() in IMAGE_EXTENSIONS]
        if not files:
            raise UserError(
                f"{_quoted(folder / name)} has no images; add some, or remove the class from train and test."
            )
        listed += [(file, label) for file in files]
    return listed


def _read_images(files: list[Path], channels: int, size: Sequence[int] | None) -> np.ndarray:
    """All images as uint8 of shape (count, channels, height, width)."""
    first = _read_image(files[0], channels, size)
    try:
        images = np.empty((len(files), *first.shape), dtype=np.uint8)
    except MemoryError as error:
        gigabytes = len(files) * first.size / 1e9
        raise UserError(
            f"{_quoted(files[0].parents[2])}: {len(files)} images of {_pixels(first)} need {gigabytes:.0f} GB"
            " of memory; set a smaller `size`, or use fewer images."
        ) from error
    images[0] = first
    for index, file in enumerate(files[1:], start=1):
        image = _read_image(file, channels, size)
        if image.shape != first.shape:
            raise UserError(
                f"{_quoted(file)} has {_pixels(image)}, but {_quoted(files[0])} has {_pixels(first)};"
                " set `size: [height, width]` to resize all."
            )
        images[index] = image
    return images


def _read_image(file: Path, channels: int, size: Sequence[int] | None) -> np.ndarray:
    """One image as uint8 of shape (channels, height, width)."""
    from PIL import Image

    try:
        with Image.open(file) as stored:
            deep = stored.mode.startswith(("I", "F"))
            # PIL warns where it drops the transparency of a palette; by way of RGBA it does not.
            image = stored.convert("RGBA") if stored.mode == "P" and "transparency" in stored.info else stored
            image = image.convert(PIL_MODES[channels])
    # The decoders raise all kinds for damaged files: SyntaxError, struct.error, IndexError ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{_quoted(file)} cannot be read as an image ({reason}); replace or remove it.") from error
    if deep:
        # PIL would clip such values at 255: most of a 16-bit image would come out white.
        raise UserError(f"{_quoted(file)} has more than 8 bits a channel; convert it to 8 bits first.")
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image.height, image.width, channels).transpose(2, 0, 1)


def _pixels(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[2]} pixels"


def _quoted(path: Path) -> str:
    """Quoted as in Python, so that odd characters in a name neither break the line nor fail to print."""
    return repr(str(path))
