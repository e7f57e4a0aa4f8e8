"""The images of a deep network, from a prepared data set and a sub-dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from goodsubnet.data.batches import ResidentImages, StreamedImages
from goodsubnet.data.files import unpack
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.training import Crop, ResizedCrop

Images: TypeAlias = ResidentImages | StreamedImages
A = TypeVar("A", Crop, ResizedCrop)


def images_of(
    data: Mapping[str, np.ndarray],
    subset: Mapping[str, np.ndarray],
    machine: Machine,
    device: str,
    part: str,
    augmentation: Crop | ResizedCrop | None = None,
) -> Images:
    """data, subset: tensors, as the stages prepare and subset make them.

    part: "train" or "validation", of the sub-dataset, or "test", all of the test set.

    augmentation: of training batches. device: as torch calls it.
    """
    stored = "test" if part == "test" else "train"
    chosen = {"train": "indices", "validation": "validation"}.get(part)
    indices = np.arange(len(data[f"{stored}_labels"])) if chosen is None else subset[chosen]
    labels = data[f"{stored}_labels"][indices]
    if "folder" not in data:
        pixel_max = int(data["pixel_max"][0])
        crop = _of_type(augmentation, Crop)
        return ResidentImages(data[f"{stored}_images"][indices], labels, pixel_max, device, crop)
    names, (folder,) = unpack(data[f"{stored}_files"]), unpack(data["folder"])
    root = Path(machine.data_dir).expanduser() / Path(folder).expanduser()
    channels, size = int(data["image"][0]), int(data["image"][1])
    files = [names[index] for index in indices]
    resized = _of_type(augmentation, ResizedCrop)
    return StreamedImages(root, files, labels, channels, size, device, resized, machine.readers)


def _of_type(augmentation: Crop | ResizedCrop | None, wanted: type[A]) -> A | None:
    """The augmentation, where it is of the kind that such images are varied by. Raises TypeError for the other."""
    if augmentation is None or isinstance(augmentation, wanted):
        return augmentation
    raise TypeError(f"images of this kind are varied by {wanted.__name__}, not {augmentation!r}")


def measured_parts(subset: Mapping[str, np.ndarray]) -> list[str]:
    """The parts that accuracies are measured on."""
    held_out = len(subset["validation"]) > 0
    return ["train", *(["validation"] if held_out else []), "test"]
