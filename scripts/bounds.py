"""Compare the bounds with what was measured at every pruned checkpoint, and count where they are violated."""

from goodsubnet.runtime.audit import Audit
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import BoundsSettings
from goodsubnet.theory.bounds_tables import tables, violations_table
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    args = arguments.parse_args(argv)
    with Job("bounds", args.output, BoundsSettings.model_validate(args.settings), {"plan": args.plan}) as job:
        audit = Audit.by_plan(job)
        measured = gather(audit)
        audit.conclude(job)
        terms, bounds = tables(measured, job.settings.loss, job.settings.error)
        violations = violations_table(bounds)
        for suffix, table in ((".csv", bounds), (".terms.csv", terms), (".violations.csv", violations)):
            # Ten digits: a bound may be a hair above the loss.
            job.save(suffix, as_csv(table, digits=10))
        print(violations.to_string())


def gather(audit: Audit) -> list[tuple[dict, dict]]:
    """Names and terms of each subnetwork; none where something does not fit."""
    measured = []
    for cell in audit.rows("terms"):
        dense = audit.read(audit.path_of(("pretrain", "adopt"), cell.names, ".dense.json"))
        rate = {"learning_rate_per_neuron": dense["learning_rate_per_neuron"]}
        measured.append((cell.names, {**audit.read(cell.path), **rate}))
    return measured


if __name__ == "__main__":
    run(main)
