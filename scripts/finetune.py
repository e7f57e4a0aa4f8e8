"""Train a pruned network further."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.settings.stages import FinetuneSettings
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
    with Job("finetune", args.output, FinetuneSettings.model_validate(args.settings), inputs, seed=args.seed) as job:
        job.save_tensors(finetune(job, Machine.from_arguments(args), args.seed, Saving.from_arguments(args)))


if __name__ == "__main__":
    run(main)
