"""Measure a subnetwork on its sub-dataset and on the test set."""

from goodsubnet.jobs import Job, Machine, parser, run
from goodsubnet.stages import stage_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--subnetwork", required=True, help="what was selected")
    arguments.add_argument("--finetuned", help="the same after fine-tuning, where there was any")
    Machine.add_arguments(arguments)
    args = arguments.parse_args(argv)
    inputs = {
        "data": args.data,
        "subset": args.subset,
        "subnetwork": args.subnetwork,
        "finetuned": args.finetuned or None,
    }
    with Job("evaluate", args.output, args.settings, inputs) as job:
        row = stage_of(job.settings["kind"], "evaluate")(job, Machine.from_arguments(args))
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items() if value is not None))
        job.save_json(row)


if __name__ == "__main__":
    run(main)
