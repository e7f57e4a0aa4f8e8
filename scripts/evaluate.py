"""Measure a subnetwork on its sub-dataset and on the test set."""

from threadpoolctl import threadpool_limits

from goodsubnet.data.inputs import network_inputs
from goodsubnet.jobs import Job, parser, run
from goodsubnet.losses import accuracy, mean_loss, targets_of
from goodsubnet.networks.two_layer import subnetwork_forward


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--subnetwork", required=True, help="what was selected")
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "subnetwork": args.subnetwork}
    with Job("evaluate", args.output, args.settings, inputs) as job:
        settings, data, chosen = job.settings, job.tensors("data"), job.tensors("subnetwork")
        subset = job.tensors("subset")["indices"]
        parts = {
            "train": (data["train_images"][subset], data["train_labels"][subset]),
            "test": (data["test_images"], data["test_labels"]),
        }
        weights = {name: chosen[name] for name in "ab"}
        row = {"steps": len(chosen["neurons"]), "distinct": len(chosen["distinct_neurons"])}
        for part, (images, labels) in parts.items():
            rows = network_inputs(images, int(data["pixel_max"][0]), settings["inputs"])
            with threadpool_limits(1):
                outputs = subnetwork_forward(weights, chosen["share"], rows, settings["activation"])
            targets = targets_of(labels, settings["loss"])
            row[f"{part}_accuracy"] = accuracy(outputs, targets)
            row[f"{part}_loss"] = mean_loss(outputs, targets, settings["loss"])
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
        job.save_json(row)


if __name__ == "__main__":
    run(main)
