"""Draw and tabulate Figure 3: the condition number of standard Gaussian matrices over examples and neurons."""

from pathlib import Path

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.random_matrices import figure3
from goodsubnet.theory.random_matrices import condition_number_table
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--draws", required=True, nargs="+", help="the measurements, a file a number of examples")
    args = arguments.parse_args(argv)
    inputs = {Path(path).stem: path for path in args.draws}
    with Job("figure3", args.output, args.settings, inputs) as job:
        table = condition_number_table(pandas.concat([pandas.DataFrame(job.json(name)["rows"]) for name in inputs]))
        figure = figure3(table, job.settings["style"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))
        job.save(".csv", as_csv(table))


if __name__ == "__main__":
    run(main)
