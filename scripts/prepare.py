"""Read a data set, check its content, and store its images (or the names of their files), classes and labels."""

import numpy as np

from goodsubnet.data.files import pack
from goodsubnet.data.labels import group_labels
from goodsubnet.data.normalisation import IMAGENET, pixel_statistics
from goodsubnet.data.sources import load_source
from goodsubnet.jobs import Job, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data-dir", required=True, help="where data sets lie, or are downloaded to")
    arguments.add_argument("--dataset", required=True, help="name of the data set")
    args = arguments.parse_args(argv)
    with Job("prepare", args.output, args.settings, {}, dataset=args.dataset) as job:
        settings = job.settings
        source = load_source(settings, args.data_dir)
        tensors = {"pixel_max": np.array([source["pixel_max"]]), "class_names": pack(source["class_names"])}
        for part in ("train", "test"):
            classes = source[f"{part}_labels"]
            if "train_files" in source:
                tensors[f"{part}_files"] = pack(source[f"{part}_files"])
            else:
                tensors[f"{part}_images"] = source[f"{part}_images"]
            tensors[f"{part}_classes"] = classes
            tensors[f"{part}_labels"] = group_labels(classes, settings["groups"], source["class_names"])
            print(f"{part}: {len(classes):,} images of {len(source['class_names'])} classes")
        if "train_files" in source:
            tensors["folder"] = pack([settings["path"]])
            tensors["image"] = np.array([settings["channels"], *settings["size"]])
            mean, deviation = IMAGENET[settings["channels"]]
        else:
            mean, deviation = pixel_statistics(source["train_images"], source["pixel_max"])
        tensors["mean"], tensors["std"] = (np.array(values, np.float32) for values in (mean, deviation))
        job.save_tensors(tensors)


if __name__ == "__main__":
    run(main)
