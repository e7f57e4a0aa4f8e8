"""Choose a subnetwork of a checkpoint, and store it."""

from goodsubnet.jobs import Job, device_argument, parser, run
from goodsubnet.stages import stage_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--checkpoint", required=True, help="the trained network")
    arguments.add_argument("--seed", required=True, type=int)
    device_argument(arguments)
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "checkpoint": args.checkpoint}
    with Job("prune", args.output, args.settings, inputs, seed=args.seed) as job:
        prune = stage_of(job.settings["kind"], "prune")
        job.save_tensors(prune(job, args.device, args.seed))


if __name__ == "__main__":
    run(main)
