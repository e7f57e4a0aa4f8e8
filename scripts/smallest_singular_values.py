"""Measure the smallest singular values of tanh features at initialisation, for one number of examples."""

from threadpoolctl import threadpool_limits

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import SingularValuesSettings
from goodsubnet.theory.random_matrices import as_records, smallest_singular_values


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--examples", required=True, type=int)
    args = arguments.parse_args(argv)
    with Job(
        "smallest_singular_values",
        args.output,
        SingularValuesSettings.model_validate(args.settings),
        {},
        examples=args.examples,
    ) as job:
        settings = job.settings
        with threadpool_limits(1):
            draws = smallest_singular_values(args.examples, settings.inputs, settings.widths, settings.draws)
        job.save_json({"rows": as_records(draws)})
        print(f"{len(draws):,} matrices of {args.examples:,} examples")


if __name__ == "__main__":
    run(main)
