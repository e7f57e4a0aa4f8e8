"""Draw how much of the pre-training is enough, and what stopping there costs."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.answers import answers_figure
from goodsubnet.plots.canvas import render


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the answers of the experiment")
    args = arguments.parse_args(argv)
    with Job("answers_figure", args.output, args.settings, {"table": args.table}) as job:
        settings = job.settings
        figure = answers_figure(pandas.read_csv(args.table), settings["method"], settings["margin"], settings["style"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
