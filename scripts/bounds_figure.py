"""Draw the bounds on the loss of the subnetworks beside what was measured."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.bounds import bounds
from goodsubnet.plots.canvas import render


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measured losses and the bounds, by step")
    args = arguments.parse_args(argv)
    with Job("bounds_figure", args.output, args.settings, {"table": args.table}) as job:
        figure = bounds(pandas.read_csv(args.table), job.settings["style"], job.settings["method"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
