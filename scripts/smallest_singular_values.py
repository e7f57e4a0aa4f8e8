"""Measure the smallest singular values of tanh features at initialisation, for one number of examples."""

from threadpoolctl import threadpool_limits

from goodsubnet.jobs import Job, parser, run
from goodsubnet.theory.random_matrices import as_records, smallest_singular_values


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--examples", required=True, type=int)
    args = arguments.parse_args(argv)
    with Job("smallest_singular_values", args.output, args.settings, {}, examples=args.examples) as job:
        settings = job.settings
        job.facts["threads"] = settings.get("threads", 1)
        with threadpool_limits(job.facts["threads"]):
            draws = smallest_singular_values(args.examples, settings["inputs"], settings["widths"], settings["draws"])
        job.save_json({"rows": as_records(draws)})
        print(f"{len(draws):,} matrices of {args.examples:,} examples")


if __name__ == "__main__":
    run(main)
