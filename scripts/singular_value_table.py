"""Tabulate the smallest singular values of tanh features against the width, with fitted curves and exponents."""

import json

import pandas

from goodsubnet.runtime.commands import inputs_by_stem, parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import TableSettings
from goodsubnet.theory.random_matrices import singular_value_fits, singular_value_table
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--draws", required=True, nargs="+", help="the measurements, one file per number of examples"
    )
    args = arguments.parse_args(argv)
    settings = TableSettings.model_validate(args.settings)
    with Job("singular_value_table", args.output, settings, inputs_by_stem(args.draws)) as job:
        draws = pandas.concat([pandas.DataFrame(json.loads(job.content(name))["rows"]) for name in job.inputs])
        fits = singular_value_fits(draws)
        job.save(".csv", as_csv(singular_value_table(draws)))
        job.save(".fits.csv", as_csv(fits))
        print(fits.to_string())


if __name__ == "__main__":
    run(main)
