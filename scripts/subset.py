"""Draw a sub-dataset: indices into the training images."""

from goodsubnet.data.subsets import draw_subset
from goodsubnet.jobs import Job, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--examples", required=True, type=int)
    arguments.add_argument("--seed", required=True, type=int)
    args = arguments.parse_args(argv)
    wildcards = {"examples": args.examples, "seed": args.seed}
    with Job("subset", args.output, args.settings, {"data": args.data}, **wildcards) as job:
        indices = draw_subset(
            job.tensors("data")["train_classes"],
            args.examples,
            args.seed,
            job.settings["shares"],
            name=job.settings["dataset"],
        )
        job.save_tensors({"indices": indices})


if __name__ == "__main__":
    run(main)
