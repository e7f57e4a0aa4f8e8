"""Draw the terms of the bounds along pre-training."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.bounds import terms
from goodsubnet.plots.canvas import render


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the terms of the bounds, by checkpoint")
    args = arguments.parse_args(argv)
    with Job("terms_figure", args.output, args.settings, {"table": args.table}) as job:
        figure = terms(pandas.read_csv(args.table), job.settings["style"], job.settings["method"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
