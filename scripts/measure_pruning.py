"""Measure how long pruning takes with one worker and with several: of layers of a deep network, or of neurons."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import PRUNING_TIMES
from goodsubnet.stages.together import compute_together


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--part", required=True, choices=("layers", "two_layer"))
    Machine.add_arguments(arguments)
    Machine.add_worker_arguments(arguments)
    args = arguments.parse_args(argv)
    settings = PRUNING_TIMES.validate_python(args.settings)
    with Job("measure_pruning", args.output, settings, {}, part=args.part) as job:
        machine = Machine.from_arguments(args)
        measured = compute_together(job, machine, "pruning_times", settings.kind, settings.threads, 0)
        job.save_json({**measured, "device": job.facts["device"]})


if __name__ == "__main__":
    run(main)
