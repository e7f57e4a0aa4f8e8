"""A user's own images: <path>/train/<class>/* and <path>/test/<class>/*, one folder per class.

Where there is no folder `test`, `val` takes its place, as in ImageNet.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from goodsubnet.data.files import PIL_MODES, check_image_header, quoted, read_image
from goodsubnet.data.loading import LoadedData
from goodsubnet.errors import UserError
from goodsubnet.settings.base import Count
from goodsubnet.settings.datasets import SourceSettings

IMAGE_EXTENSIONS = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)


class Settings(SourceSettings):
    """Your own images: `<path>/train/<class>/*` and `<path>/test/<class>/*` (or `val` for `test`)."""

    source: Literal["folder"] = Field(description="where the data come from")
    path: str | None = Field(
        description="the folder; relative to `data_dir` unless absolute; null: experiments on it are switched off"
    )
    channels: Literal[1, 3] = Field(1, description="1: converted to grey, 3: to RGB")
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[height, width] in pixels to resize to; null: all images must be of one size. With `storage: "
        "files`: what is cut out of an image, height and width equal",
    )
    storage: Literal["memory", "files"] = Field(
        "memory",
        description="`memory`: images are read once and kept; `files`: read from the folder each time, for those that "
        "do not fit into memory, and for deep networks only",
    )
    title: str | None = Field(None, description="what figures and tables call the data; null: its name")

    @model_validator(mode="after")
    def _square_from_files(self) -> "Settings":
        if self.storage == "files" and (self.size is None or self.size[0] != self.size[1]):
            raise ValueError("storage: files needs a size with height and width equal, as size: [224, 224]")
        return self

    def title_of(self, name: str) -> str:
        return self.title or name

    def stored(self) -> "Settings":
        return self.model_copy(update={"title": None})

    def image(self) -> tuple[int, int | None, int | None]:
        height, width = self.size or (None, None)
        return self.channels, height, width

    def classes_there(self, data_dir: str) -> dict[str, int] | None:
        return None if self.path is None else train_class_counts(self.path, data_dir)

    @property
    def streamed(self) -> bool:
        return self.storage == "files"

    @property
    def switched_off(self) -> bool:
        return self.path is None

    @property
    def folder(self) -> str | None:
        return self.path


def load(settings: Settings, data_dir: str) -> LoadedData:
    """The data set as `data.loading.load_source` describes it."""
    if settings.path is None:
        raise UserError("path: the folder of images is not named")
    if settings.storage == "files":
        return list_folder(settings.path, data_dir)
    return load_folder(settings.path, data_dir, channels=settings.channels, size=settings.size)


def load_folder(path: str, data_dir: str, *, channels: int, size: Sequence[int] | None = None) -> LoadedData:
    """The images under `path` (relative to data_dir, unless absolute) as `load_source` describes them.

    Classes are the folders' names, sorted by code points; hidden folders are not classes. Within a class the
    order is that of the sorted file names. Files without the suffix of an image are skipped.

    channels: 1 makes all images grey, 3 RGB; transparency is dropped, of an animation the first frame is
    taken, and pixels stay as they are stored (no EXIF rotation). size: (height, width) to which images are
    resized (bilinear, antialiased), or None: all must have the same size.

    Raises UserError for missing folders, classes that differ between train and test or have no images, images
    that cannot be read or have more than 8 bits per channel, and sizes that differ.
    """
    if channels not in PIL_MODES:
        raise UserError(f"channels: {channels!r} is not possible; choose 1 (grey) or 3 (RGB).")
    class_names, train, test = _list_splits(_root(path, data_dir))
    images = _read_images([file for file, _ in train + test], channels, size)
    return {
        "train_images": images[: len(train)],
        "train_labels": _labels(train),
        "test_images": images[len(train) :],
        "test_labels": _labels(test),
        "class_names": class_names,
        "pixel_max": 255,
    }


def list_folder(path: str, data_dir: str) -> LoadedData:
    """The names of the images in place of the images: for folders that do not fit into memory.

    Returns what `load_folder` does, in the same order, with these keys in place of the images:
        train_files, test_files     list of str: the files' paths, relative to root
        root                        str: the folder

    Every file's header is opened, so a file that is not an image is found here and not in the middle of a training.
    Raises UserError as `load_folder` does, but sizes may differ.
    """
    root = _root(path, data_dir)
    class_names, train, test = _list_splits(root)
    _check_headers([file for file, _ in train + test])
    return {
        "root": str(root),
        "train_files": [file.relative_to(root).as_posix() for file, _ in train],
        "train_labels": _labels(train),
        "test_files": [file.relative_to(root).as_posix() for file, _ in test],
        "test_labels": _labels(test),
        "class_names": class_names,
        "pixel_max": 255,
    }


def train_class_counts(path: str, data_dir: str) -> dict[str, int]:
    """Number of training images of each class, by the names of the files alone. Raises UserError as `load_folder`."""
    root = _root(path, data_dir)
    names = _matching_class_names(root / "train", _test_folder(root))
    return dict(zip(names, np.bincount(_labels(_list_images(root / "train", names))).tolist(), strict=True))


def _root(path: str, data_dir: str) -> Path:
    return Path(data_dir).expanduser() / Path(path).expanduser()


def _test_folder(root: Path) -> Path:
    # os.path.isdir is False, not an error, where a folder may not be searched.
    only_val = os.path.isdir(root / "val") and not os.path.isdir(root / "test")
    return root / ("val" if only_val else "test")


def _list_splits(root: Path) -> tuple[list[str], list[tuple[Path, int]], list[tuple[Path, int]]]:
    """The class names, and the training and the test images, each with its class."""
    train, test = root / "train", _test_folder(root)
    class_names = _matching_class_names(train, test)
    return class_names, _list_images(train, class_names), _list_images(test, class_names)


def _labels(listed: list[tuple[Path, int]]) -> np.ndarray:
    return np.array([label for _, label in listed], dtype=np.int64)


def _matching_class_names(train: Path, test: Path) -> list[str]:
    names = {folder: _class_names(folder) for folder in (train, test)}
    for here, there in ((train, test), (test, train)):
        only = set(names[here]) - set(names[there])
        if only:
            raise UserError(
                f"{quoted(train.parent)}: class {min(only)!r} is in {here.name} but not in {there.name}"
                f" ({len(only)} such); both need the same class folders."
            )
    return names[train]


def _class_names(folder: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(
            f"{quoted(folder)} cannot be listed ({error.strerror}); an image folder needs"
            " train/<class>/* and test/<class>/* (or val/<class>/*): check `path` and data_dir."
        ) from error
    if not names:
        raise UserError(f"{quoted(folder)} has no class folders; put the images into one folder per class.")
    return names


def _list_images(folder: Path, class_names: list[str]) -> list[tuple[Path, int]]:
    """The images under one split, each with its class."""
    listed = []
    for label, name in enumerate(class_names):
        try:
            entries = sorted((folder / name).iterdir())
        except OSError as error:
            raise UserError(f"{quoted(folder / name)} cannot be listed ({error.strerror}).") from error
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                raise UserError(f"{quoted(entry)} is a folder inside a class; move its images to the class itself.")
        files = [entry for entry in entries if entry.suffix.lower() in IMAGE_EXTENSIONS]
        if not files:
            raise UserError(
                f"{quoted(folder / name)} has no images; add some, or remove the class from train and"
                f" {_test_folder(folder.parent).name}."
            )
        listed += [(file, label) for file in files]
    return listed


def _check_headers(files: list[Path], together: int = 4096) -> None:
    """Raises UserError for the first of `files` that is not an image."""
    # Threads for the sake of slow disks and network folders; where the files are cached one does as well, 60 us a file.
    with ThreadPoolExecutor() as pool:
        # A pool queues all that it is given at once: a million images would be a million tasks in memory.
        for start in range(0, len(files), together):
            list(pool.map(check_image_header, files[start : start + together]))


def _read_images(files: list[Path], channels: int, size: Sequence[int] | None) -> np.ndarray:
    """All images as uint8 of shape (count, channels, height, width)."""
    first = _read_pixels(files[0], channels, size)
    try:
        images = np.empty((len(files), *first.shape), dtype=np.uint8)
    except MemoryError as error:
        gigabytes = len(files) * first.size / 1e9
        raise UserError(
            f"{quoted(files[0].parents[2])}: {len(files)} images of {_pixels(first)} need {gigabytes:.0f} GB"
            " of memory; set a smaller `size`, use fewer images, or leave them on disk with `storage: files`."
        ) from error
    images[0] = first
    for index, file in enumerate(files[1:], start=1):
        image = _read_pixels(file, channels, size)
        if image.shape != first.shape:
            raise UserError(
                f"{quoted(file)} has {_pixels(image)}, but {quoted(files[0])} has {_pixels(first)};"
                " set `size: [height, width]` to resize all."
            )
        images[index] = image
    return images


def _read_pixels(file: Path, channels: int, size: Sequence[int] | None) -> np.ndarray:
    """One image as uint8 of shape (channels, height, width)."""
    from PIL import Image

    image = read_image(file, channels)
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image.height, image.width, channels).transpose(2, 0, 1)


def _pixels(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[2]} pixels"
