"""Choose a subnetwork of a checkpoint, and store it."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import PRUNE
from goodsubnet.stages.together import prune_together


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--checkpoint", required=True, help="the trained network")
    arguments.add_argument("--tolerance", help="the tolerance that was calibrated, for methods that need it")
    arguments.add_argument("--widths", help="the subnetwork whose widths are taken, for methods that need it")
    arguments.add_argument("--seed", required=True, type=int)
    Machine.add_arguments(arguments)
    Machine.add_worker_arguments(arguments)
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "checkpoint": args.checkpoint}
    inputs |= {"tolerance": args.tolerance, "widths": args.widths}
    settings = PRUNE.validate_python(args.settings)
    with Job("prune", args.output, settings, inputs, seed=args.seed) as job:
        machine = Machine.from_arguments(args)
        job.save_tensors(prune_together(job, machine, settings.kind, settings.threads, args.seed))


if __name__ == "__main__":
    run(main)
