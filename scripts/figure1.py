"""Draw Figure 1: accuracy of the subnetworks against pre-training and number of examples."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.accuracy import figure1
from goodsubnet.plots.canvas import render


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job("figure1", args.output, args.settings, {"table": args.table}) as job:
        settings = job.settings
        evaluations = pandas.read_csv(args.table)
        figure = figure1(evaluations, settings["style"], settings["method"], settings["accuracy"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
