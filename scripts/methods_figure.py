"""Draw all pruning methods side by side: loss against size, and at equal size against cost."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.methods import methods_figure


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="loss, size and cost of every method along its steps")
    args = arguments.parse_args(argv)
    with Job("methods_figure", args.output, args.settings, {"table": args.table}) as job:
        figure = methods_figure(pandas.read_csv(args.table), job.settings["style"], job.settings["methods"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
