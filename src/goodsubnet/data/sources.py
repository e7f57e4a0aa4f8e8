"""Where a data set comes from: the settings of a source in, arrays out."""

import importlib

from ..errors import UserError

SOURCES = ("cifar10", "mnist", "digits", "folder")


def load_source(settings: dict, data_dir: str) -> dict:
    """Loads the data set that settings["source"] names: "cifar10", "mnist", "digits" or "folder".

    settings: beside "source", "test_share" for digits, and "path", "channels", "size", "storage" for folder.
    data_dir: the folder that holds, or will hold, the files of the sources that have any.

    Returns a dictionary:
        train_images, test_images   uint8, shape (count, channels, height, width), values 0 .. pixel_max
        train_labels, test_labels   int64, shape (count,): the original class, an index into class_names
        class_names                 list of str
        pixel_max                   int: the largest value a pixel can have; divide by it for pixels in [0, 1]
    With "storage" = "files" the images stay on disk, and train_files, test_files and root stand in place of
    train_images and test_images (`folder.list_folder`).

    Raises UserError for an unknown source and for missing, damaged or unsuitable data.
    """
    if settings["source"] not in SOURCES:
        raise UserError(f"source: {settings['source']!r} is not known; choose one of {', '.join(SOURCES)}.")
    # By name: so that the code fingerprint of one data set does not reach the readers of the others.
    return importlib.import_module(f"goodsubnet.data.{settings['source']}").load(settings, data_dir)
