"""Find the tolerance with which a method keeps the requested share of a network's multiply-adds."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import PRUNE
from goodsubnet.stages.together import compute_together


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--checkpoint", required=True, help="the last checkpoint of the network")
    arguments.add_argument("--seed", required=True, type=int)
    Machine.add_arguments(arguments)
    Machine.add_worker_arguments(arguments)
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "checkpoint": args.checkpoint}
    settings = PRUNE.validate_python(args.settings)
    with Job("calibrate", args.output, settings, inputs, seed=args.seed) as job:
        machine = Machine.from_arguments(args)
        found = compute_together(job, machine, "calibrate", settings.kind, settings.threads, args.seed)
        print(f"tolerance {found['tolerance']:.5g}, flops_ratio {found['flops_ratio']:.4f}")
        job.save_json(found)


if __name__ == "__main__":
    run(main)
