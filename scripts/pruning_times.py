"""Measure how long pruning takes with one worker and with several: of layers of a deep network, or of neurons."""

from goodsubnet.distributed.launch import on_workers
from goodsubnet.jobs import Job, Machine, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--part", required=True, choices=("layers", "two_layer"))
    Machine.add_arguments(arguments)
    Machine.add_worker_arguments(arguments)
    args = arguments.parse_args(argv)
    with Job("pruning_times", args.output, args.settings, {}, part=args.part) as job:
        measured = on_workers(job, Machine.from_arguments(args), "pruning_times", 0)
        print(f"{len(measured['rows'])} measurements")
        job.save_json({**measured, "device": job.facts["device"]})


if __name__ == "__main__":
    run(main)
