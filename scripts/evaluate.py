"""Measure a subnetwork on its sub-dataset and on the test set."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import EVALUATE
from goodsubnet.stages.choose import stage_of


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
        "finetuned": args.finetuned,
    }
    settings = EVALUATE.validate_python(args.settings)
    with Job("evaluate", args.output, settings, inputs) as job:
        row = stage_of(settings.kind, "evaluate")(job, Machine.from_arguments(args))
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items() if value is not None))
        job.save_json(row)


if __name__ == "__main__":
    run(main)
