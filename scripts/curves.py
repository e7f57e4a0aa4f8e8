"""Draw the accuracy of the subnetworks as curves, with the spread over seeds."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.accuracy import curves
from goodsubnet.plots.canvas import render


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job("curves", args.output, args.settings, {"table": args.table}) as job:
        figure = curves(pandas.read_csv(args.table), job.settings["style"], job.settings["accuracy"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
