"""Tabulate the threshold in pre-training iterations, measured and by Theorem 3, and the law it follows."""

import pandas

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import ThresholdsSettings
from goodsubnet.theory.laws import compare_laws
from goodsubnet.theory.text import as_csv
from goodsubnet.theory.thresholds import greedy_evaluations, seed_requirements, seed_thresholds, thresholds


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    arguments.add_argument("--terms", required=True, help="the terms of the bounds at every checkpoint")
    args = arguments.parse_args(argv)
    with Job(
        "thresholds",
        args.output,
        ThresholdsSettings.model_validate(args.settings),
        {"table": args.table, "terms": args.terms},
    ) as job:
        terms, margin = pandas.read_csv(args.terms), job.settings.margin
        evaluations = greedy_evaluations(pandas.read_csv(args.table), terms)
        table = thresholds(evaluations, terms, margin)
        job.save(".csv", as_csv(table))
        laws = pandas.concat(
            [
                compare_laws(seed_thresholds(evaluations, margin), "loss threshold"),
                compare_laws(seed_requirements(evaluations, job.settings.accuracy), "required pre-training"),
            ]
        )
        job.save(".laws.csv", as_csv(laws))
        print(table.to_string(), laws.to_string(), sep="\n\n")


if __name__ == "__main__":
    run(main)
