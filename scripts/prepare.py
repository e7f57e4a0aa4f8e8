"""Read a data set, check its content, and store it as uint8 images with their classes and labels."""

import numpy as np

from goodsubnet.data.labels import group_labels
from goodsubnet.data.sources import load_source
from goodsubnet.jobs import Job, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data-dir", required=True, help="where data sets lie, or are downloaded to")
    arguments.add_argument("--dataset", required=True, help="name of the data set")
    args = arguments.parse_args(argv)
    with Job("prepare", args.output, args.settings, {}, dataset=args.dataset) as job:
        source = load_source(job.settings, args.data_dir)
        tensors = {"pixel_max": np.array([source["pixel_max"]])}
        for part in ("train", "test"):
            classes = source[f"{part}_labels"]
            tensors[f"{part}_images"] = source[f"{part}_images"]
            tensors[f"{part}_classes"] = classes
            tensors[f"{part}_labels"] = group_labels(classes, job.settings["groups"], source["class_names"])
            print(f"{part}: {len(classes):,} images of {len(source['class_names'])} classes")
        job.save_tensors(tensors)


if __name__ == "__main__":
    run(main)
