"""Gather loss, size and cost of every method along its steps in one tidy table, for the comparison of the methods."""

from goodsubnet.results.comparison import methods_table
from goodsubnet.runtime.audit import Audit
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import TableSettings


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    args = arguments.parse_args(argv)
    with Job("compare_methods", args.output, TableSettings.model_validate(args.settings), {"plan": args.plan}) as job:
        audit = Audit.by_plan(job)
        traces = gather(audit)
        audit.conclude(job)
        table = methods_table(traces)
        job.save(".csv", table.to_csv(index=False, float_format="%.8g").encode())
        print(f"{len(table):,} rows")


def gather(audit: Audit) -> list[tuple[dict, dict]]:
    """Names and trace of each subnetwork; none where something does not fit."""
    traces = []
    for cell in audit.rows("prune"):
        stored = audit.tensors(cell.path)
        # Copied, so that not every file stays open.
        traces.append((cell.names, {name: stored[name].copy() for name in ("sizes", "losses", "passes")}))
    return traces


if __name__ == "__main__":
    run(main)
