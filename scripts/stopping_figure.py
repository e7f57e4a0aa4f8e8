"""Draw what each stopping rule saves against what it loses."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.stopping import stopping_figure


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the scores of the rules")
    args = arguments.parse_args(argv)
    with Job("stopping_figure", args.output, args.settings, {"table": args.table}) as job:
        figure = stopping_figure(pandas.read_csv(args.table), job.settings["style"], job.settings["accuracy"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
