"""Observe a checkpoint on a probe of its sub-dataset: what a stopping rule may know of it while training goes on."""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import OBSERVE
from goodsubnet.stages.choose import stage_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--checkpoint", required=True, help="the trained network")
    arguments.add_argument("--first", help="the first checkpoint, of a network that was trained elsewhere")
    arguments.add_argument("--seed", required=True, type=int)
    arguments.add_argument("--iteration", required=True, type=int, help="of the checkpoint")
    Machine.add_arguments(arguments)
    args = arguments.parse_args(argv)
    inputs = {name: getattr(args, name) for name in ("data", "subset", "checkpoint")} | {"first": args.first}
    settings = OBSERVE.validate_python(args.settings)
    with Job("observe", args.output, settings, inputs, seed=args.seed, iteration=args.iteration) as job:
        observe = stage_of(settings.kind, "observe")
        seen = observe(job, Machine.from_arguments(args), args.seed, args.iteration)
        print(
            f"subnetwork: accuracy {seen.pruned_accuracy:.4f}, loss {seen.pruned_loss:.4g}; dense network: "
            f"{seen.dense_accuracy:.4f}, {seen.dense_loss:.4g}; distance from the beginning {seen.distance:.4g}"
        )
        job.save_json(seen.as_dict())


if __name__ == "__main__":
    run(main)
