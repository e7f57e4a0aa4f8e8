"""Measure a subnetwork on its sub-dataset and on the test set."""

from goodsubnet.jobs import Job, device_argument, parser, run
from goodsubnet.stages import stage_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--subnetwork", required=True, help="what was selected")
    device_argument(arguments)
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "subnetwork": args.subnetwork}
    with Job("evaluate", args.output, args.settings, inputs) as job:
        row = stage_of(job.settings["kind"], "evaluate")(job, args.device)
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
        job.save_json(row)


if __name__ == "__main__":
    run(main)
