"""Measure the condition numbers of standard Gaussian matrices, for one number of examples."""

from threadpoolctl import threadpool_limits

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import ConditionNumbersSettings
from goodsubnet.theory.random_matrices import as_records, condition_numbers


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--examples", required=True, type=int)
    args = arguments.parse_args(argv)
    with Job(
        "condition_numbers",
        args.output,
        ConditionNumbersSettings.model_validate(args.settings),
        {},
        examples=args.examples,
    ) as job:
        settings = job.settings
        with threadpool_limits(1):
            draws = condition_numbers(args.examples, settings.widths, settings.draws)
        job.save_json({"rows": as_records(draws)})
        print(f"{len(draws):,} matrices of {args.examples:,} examples")


if __name__ == "__main__":
    run(main)
