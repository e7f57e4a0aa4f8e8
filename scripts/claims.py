"""Judge which of the paper's claims hold, on the tables of all experiments."""

from collections import Counter

import pandas

from goodsubnet.claims import ExperimentResults, judge, summary
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import ClaimsSettings
from goodsubnet.theory.text import as_csv

# Tables of experiments, each with a column `experiment`; and those of the figures that have none.
TABLES = ("evaluations", "terms", "violations")
FIGURES = ("singular_value_fits", "condition_numbers", "pruning_times")


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    for name in TABLES:
        arguments.add_argument(f"--{name}", nargs="*", default=[], help="a table of each experiment that ran")
    for name in FIGURES:
        arguments.add_argument(f"--{name.replace('_', '-')}", nargs="*", default=[], help="the table, if it was made")
    args = arguments.parse_args(argv)
    inputs = {f"{name} {n}": path for name in (*TABLES, *FIGURES) for n, path in enumerate(getattr(args, name))}
    with Job("claims", args.output, ClaimsSettings.model_validate(args.settings), inputs) as job:
        tables = {name: by_experiment(getattr(args, name)) for name in TABLES}
        results = [
            ExperimentResults(
                **described.model_dump(mode="json"),
                evaluations=tables["evaluations"].get(described.name),
                terms=tables["terms"].get(described.name),
                violations=tables["violations"].get(described.name),
            )
            for described in job.settings.experiments
        ]
        figures = {name: pandas.read_csv(path) for name in FIGURES for path in getattr(args, name)}
        judgements = judge(results, **figures)
        verdicts = summary(judgements)
        job.save(".csv", as_csv(judgements))
        job.save(".summary.csv", as_csv(verdicts))
        line = sentence(verdicts)
        job.save(".txt", f"{line}\n".encode())
        print(line, verdicts.to_string(), sep="\n\n")


def by_experiment(paths: list[str]) -> dict[str, pandas.DataFrame]:
    """The tables that have rows, by the experiment that they name."""
    tables = (pandas.read_csv(path) for path in paths)
    return {str(table["experiment"].iloc[0]): table for table in tables if not table.empty}


def sentence(verdicts: pandas.DataFrame) -> str:
    """How many claims hold, in one line."""
    counts = Counter(verdicts["verdict"])
    told = {
        "holds": ("holds", "hold"),
        "does not hold": ("does not hold", "do not hold"),
        "undecided": ("is undecided", "are undecided"),
        "not run": ("was not run", "were not run"),
    }
    return f"Of the paper's {len(verdicts)} claims " + ", ".join(
        f"{counts[verdict]} {one if counts[verdict] == 1 else several}" for verdict, (one, several) in told.items()
    )


if __name__ == "__main__":
    run(main)
