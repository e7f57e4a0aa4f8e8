"""A data set as the chain stores it: images (or the names of their files), classes and labels."""

import numpy as np

from goodsubnet.data.files import pack
from goodsubnet.data.labels import group_labels
from goodsubnet.data.loading import load_source
from goodsubnet.data.normalisation import IMAGENET, pixel_statistics
from goodsubnet.settings.datasets import SourceSettings

PARTS = ("train", "test")


def prepared(settings: SourceSettings, data_dir: str) -> dict[str, np.ndarray]:
    """The tensors of a prepared data set.

    settings: of the data set, with its `groups`. data_dir: where the files lie.
    `train_images`, `test_images`: uint8 (count, C, H, W), or, where they stay in files, `train_files`, `test_files`,
    `folder` and `image`; `..._classes`, `..._labels`: int64 (count,), original and grouped; `pixel_max`, `class_names`,
    `mean`, `std`. Raises UserError for data that are missing, damaged or do not fit.
    """
    source = load_source(settings, data_dir)
    names = source["class_names"]
    tensors = {"pixel_max": np.array([source["pixel_max"]]), "class_names": pack(names)}
    classes = {"train": source["train_labels"], "test": source["test_labels"]}
    if "train_images" in source:
        images = {"train": source["train_images"], "test": source["test_images"]}
        stored = {f"{part}_images": images[part] for part in PARTS}
        mean, deviation = pixel_statistics(images["train"], source["pixel_max"])
    else:
        files = {"train": source["train_files"], "test": source["test_files"]}
        stored = {f"{part}_files": pack(files[part]) for part in PARTS}
        channels, height, width = settings.image()
        if settings.folder is None or height is None or width is None:
            raise ValueError(f"{settings.source}: images in files need a folder and a size")
        tensors |= {"folder": pack([settings.folder]), "image": np.array([channels, height, width])}
        mean, deviation = (np.array(values) for values in IMAGENET[channels])
    tensors |= stored
    for part in PARTS:
        tensors[f"{part}_classes"] = classes[part]
        tensors[f"{part}_labels"] = group_labels(classes[part], settings.groups, names)
    tensors["mean"], tensors["std"] = (np.array(values, np.float32) for values in (mean, deviation))
    return tensors
