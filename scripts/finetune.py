"""Train a pruned network further."""

from goodsubnet.jobs import Job, Machine, Saving, parser, run
from goodsubnet.stages.deep.finetune import finetune


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--subnetwork", required=True, help="the pruned network")
    arguments.add_argument("--seed", required=True, type=int)
    Machine.add_arguments(arguments)
    Saving.add_arguments(arguments)
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "subnetwork": args.subnetwork}
    with Job("finetune", args.output, args.settings, inputs, seed=args.seed) as job:
        job.save_tensors(finetune(job, Machine.from_arguments(args), args.seed, Saving.from_arguments(args)))


if __name__ == "__main__":
    run(main)
