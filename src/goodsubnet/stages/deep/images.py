"""The images of a job of a deep network, from its inputs `data` and `subset`."""

from pathlib import Path

import numpy as np

from goodsubnet.data.batches import ResidentImages, StreamedImages
from goodsubnet.data.files import unpack
from goodsubnet.jobs import Machine, Task

Images = ResidentImages | StreamedImages


def images_of(job: Task, machine: Machine, device: str, part: str, augmentation: dict | None = None) -> Images:
    """part: "train" or "validation", of the sub-dataset, or "test", all of the test set.

    augmentation: of training batches. device: as torch calls it.
    """
    data = job.tensors("data")
    stored = "test" if part == "test" else "train"
    chosen = {"train": "indices", "validation": "validation"}.get(part)
    indices = np.arange(len(data[f"{stored}_labels"])) if chosen is None else job.tensors("subset")[chosen]
    labels = data[f"{stored}_labels"][indices]
    if "folder" not in data:
        pixel_max = int(data["pixel_max"][0])
        return ResidentImages(data[f"{stored}_images"][indices], labels, pixel_max, device, augmentation)
    names, (folder,) = unpack(data[f"{stored}_files"]), unpack(data["folder"])
    root = Path(machine.data_dir).expanduser() / Path(folder).expanduser()
    channels, size = int(data["image"][0]), int(data["image"][1])
    files = [names[index] for index in indices]
    return StreamedImages(root, files, labels, channels, size, device, augmentation, machine.readers)


def measured_parts(job: Task) -> list[str]:
    """The parts that accuracies are measured on."""
    held_out = len(job.tensors("subset")["validation"]) > 0
    return ["train", *(["validation"] if held_out else []), "test"]
