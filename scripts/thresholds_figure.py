"""Draw the threshold in pre-training iterations by number of examples, with the laws and Theorem 3 beside it."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.thresholds import thresholds_figure


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--thresholds", required=True, help="the thresholds, measured and predicted")
    arguments.add_argument("--laws", required=True, help="the laws fitted to the thresholds")
    args = arguments.parse_args(argv)
    inputs = {"thresholds": args.thresholds, "laws": args.laws}
    with Job("thresholds_figure", args.output, args.settings, inputs) as job:
        figure = thresholds_figure(pandas.read_csv(args.thresholds), pandas.read_csv(args.laws), job.settings["style"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
