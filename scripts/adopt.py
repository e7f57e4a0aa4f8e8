"""Take up a checkpoint that was trained elsewhere, and measure the dense network there."""

from goodsubnet.exchange.foreign import check_imported
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import ADOPT
from goodsubnet.stages.choose import stage_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that it is pruned on")
    arguments.add_argument("--foreign", required=True, help="the checkpoint, as `goodsubnet import` wrote it")
    arguments.add_argument("--iteration", required=True, type=int, help="how long it was trained")
    Machine.add_arguments(arguments)
    args = arguments.parse_args(argv)
    check_imported(args.foreign)
    inputs = {"data": args.data, "subset": args.subset, "foreign": args.foreign}
    settings = ADOPT.validate_python(args.settings)
    with Job("adopt", args.output, settings, inputs, iteration=args.iteration) as job:
        adopt = stage_of(settings.kind, "adopt")
        checkpoint, measured = adopt(job, Machine.from_arguments(args), args.iteration)
        print(" ".join(f"{name} {value:.4g}" for name, value in measured.items()))
        job.save_json(measured, ".dense.json")
        job.save_tensors(checkpoint)


if __name__ == "__main__":
    run(main)
