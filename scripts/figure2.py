"""Draw and tabulate Figure 2: the smallest singular value of tanh features against the width, with fitted curves."""

from pathlib import Path

import pandas

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.random_matrices import figure2
from goodsubnet.theory.random_matrices import singular_value_fits, singular_value_table
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--draws", required=True, nargs="+", help="the measurements, a file a number of examples")
    args = arguments.parse_args(argv)
    inputs = {Path(path).stem: path for path in args.draws}
    with Job("figure2", args.output, args.settings, inputs) as job:
        draws = pandas.concat([pandas.DataFrame(job.json(name)["rows"]) for name in inputs])
        table, fits = singular_value_table(draws), singular_value_fits(draws)
        figure = figure2(table, fits, job.settings["style"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))
        job.save(".csv", as_csv(table))
        job.save(".fits.csv", as_csv(fits))
        print(fits.to_string())


if __name__ == "__main__":
    run(main)
