"""A data set as the chain stores it: images (or the names of their files), classes and labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from goodsubnet.data.files import pack
from goodsubnet.data.labels import group_labels
from goodsubnet.data.normalisation import IMAGENET, pixel_statistics
from goodsubnet.data.sources import load_source


def prepared(settings: Mapping[str, Any], data_dir: str) -> dict[str, np.ndarray]:
    """The tensors of a prepared data set.

    settings: of the data set, as `load_source` takes them, with its `groups`. data_dir: where the files lie.
    `train_images`, `test_images`: uint8 (count, C, H, W), or, where they stay in files, `train_files`, `test_files`,
    `folder` and `image`; `..._classes`, `..._labels`: int64 (count,), original and grouped; `pixel_max`, `class_names`,
    `mean`, `std`. Raises UserError for data that are missing, damaged or do not fit.
    """
    source = load_source(dict(settings), data_dir)
    tensors = {"pixel_max": np.array([source["pixel_max"]]), "class_names": pack(source["class_names"])}
    for part in ("train", "test"):
        classes = source[f"{part}_labels"]
        if "train_files" in source:
            tensors[f"{part}_files"] = pack(source[f"{part}_files"])
        else:
            tensors[f"{part}_images"] = source[f"{part}_images"]
        tensors[f"{part}_classes"] = classes
        tensors[f"{part}_labels"] = group_labels(classes, settings["groups"], source["class_names"])
    if "train_files" in source:
        tensors["folder"] = pack([settings["path"]])
        tensors["image"] = np.array([settings["channels"], *settings["size"]])
        mean, deviation = IMAGENET[settings["channels"]]
    else:
        mean, deviation = pixel_statistics(source["train_images"], source["pixel_max"])
    tensors["mean"], tensors["std"] = (np.array(values, np.float32) for values in (mean, deviation))
    return tensors
