"""Draw a sub-dataset: indices into the training images."""

from goodsubnet.data.subsets import draw_subset, hold_out
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import SubsetSettings


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--examples", required=True, type=int)
    arguments.add_argument("--seed", required=True, type=int)
    args = arguments.parse_args(argv)
    wildcards = {"examples": args.examples, "seed": args.seed}
    with Job(
        "subset", args.output, SubsetSettings.model_validate(args.settings), {"data": args.data}, **wildcards
    ) as job:
        settings, classes = job.settings, job.tensors("data")["train_classes"]
        drawn = draw_subset(classes, args.examples, args.seed, settings.shares, name=settings.dataset)
        indices, validation = hold_out(classes, drawn, settings.validation_share, args.seed, name=settings.dataset)
        print(f"{len(indices):,} examples to train on, {len(validation):,} held out")
        job.save_tensors({"indices": indices, "validation": validation})


if __name__ == "__main__":
    run(main)
