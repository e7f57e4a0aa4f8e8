"""Where a data set comes from: the settings of a source in, arrays out."""

from typing import NotRequired, Protocol, TypedDict, TypeVar, cast

import numpy as np

from goodsubnet.runtime import plugins
from goodsubnet.settings.datasets import SourceSettings

S = TypeVar("S", bound=SourceSettings)


class LoadedData(TypedDict):
    """A data set as its source gives it.

    train_images, test_images: uint8, shape (count, channels, height, width), values 0 .. pixel_max. train_labels,
    test_labels: int64, shape (count,): the original class, an index into class_names. pixel_max: the largest value a
    pixel can have; divide by it for pixels in [0, 1].
    Where images stay on disk, train_files, test_files (paths relative to root) and root stand in place of the images.
    """

    train_images: NotRequired[np.ndarray]
    test_images: NotRequired[np.ndarray]
    train_files: NotRequired[list[str]]
    test_files: NotRequired[list[str]]
    root: NotRequired[str]
    train_labels: np.ndarray
    test_labels: np.ndarray
    class_names: list[str]
    pixel_max: int


class Source(Protocol[S]):
    """A module of `data.sources`, or of a user's `plugins/sources`."""

    @property
    def Settings(self) -> type[S]:
        """Its keys, and what is known before the data are read."""

    def load(self, settings: S, data_dir: str) -> LoadedData:
        """The data. Raises UserError, naming the file, for what is missing, damaged or unsuitable.

        data_dir: the folder that holds, or will hold, the files of the sources that have any.
        """


def load_source(settings: SourceSettings, data_dir: str) -> LoadedData:
    """Load the data set that the settings describe. Errors as `Source.load`."""
    source = cast(Source[SourceSettings], plugins.load("sources", settings.source))
    return source.load(settings, data_dir)
