"""Draw the accuracy of the subnetworks after each amount of pre-training, beside the dense and the paper's ones."""

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.tables import accuracy_table_figure


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the table of accuracies (accuracy_table.csv)")
    args = arguments.parse_args(argv)
    with Job("accuracy_table_figure", args.output, args.settings, {"table": args.table}) as job:
        figure = accuracy_table_figure(pandas.read_csv(args.table), job.settings["style"], job.settings["title"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
