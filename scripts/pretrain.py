"""Train a network from one checkpoint to the next, and measure the dense network there."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.settings.stages import PRETRAIN
from goodsubnet.stages.choose import stage_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset to train on")
    arguments.add_argument("--previous", help="the checkpoint to begin from; without it, initial weights")
    arguments.add_argument("--seed", required=True, type=int)
    arguments.add_argument("--iteration", required=True, type=int, help="train up to here")
    Machine.add_arguments(arguments)
    Saving.add_arguments(arguments)
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "previous": args.previous}
    wildcards = {"seed": args.seed, "iteration": args.iteration}
    settings = PRETRAIN.validate_python(args.settings)
    with Job("pretrain", args.output, settings, inputs, **wildcards) as job:
        pretrain = stage_of(settings.kind, "pretrain")
        checkpoint, measured = pretrain(
            job, Machine.from_arguments(args), args.seed, args.iteration, Saving.from_arguments(args)
        )
        print(" ".join(f"{name} {value:.4g}" for name, value in measured.items()))
        job.save_json(measured, ".dense.json")
        job.save_tensors(checkpoint)


if __name__ == "__main__":
    run(main)
