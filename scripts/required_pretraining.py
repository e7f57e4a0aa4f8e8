"""Tabulate the iteration from which a subnetwork is good, for each width, number of examples and method."""

import pandas

from goodsubnet.results.analysis import required_pretraining
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import RequiredPretrainingSettings
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.bounds_tables import certificates
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    arguments.add_argument("--terms", help="the terms of the bounds; without them there are no certificates")
    args = arguments.parse_args(argv)
    inputs = {"table": args.table, "terms": args.terms or None}
    with Job(
        "required_pretraining", args.output, RequiredPretrainingSettings.model_validate(args.settings), inputs
    ) as job:
        table = required_pretraining(pandas.read_csv(args.table), accuracy=job.settings.accuracy)
        none = NotApplicable("the bound is of greedy selection in two-layer networks")
        if args.terms:
            certified = certificates(pandas.read_csv(args.terms), job.settings.margin)
            table = table.merge(certified, how="left", on=["network", "method", "examples"])
            table["certificate"] = table["certificate"].astype(object).where(table["certificate"].notna(), none)
        else:
            table["certificate"] = pandas.Series([none] * len(table), index=table.index, dtype=object)
            table["certified_loss"] = float("nan")
        job.save(".csv", as_csv(table))
        print(table.to_string())


if __name__ == "__main__":
    run(main)
