"""Gather loss, size and cost of every method along its steps in one tidy table, for the comparison of the methods."""

from goodsubnet.audit import Audit
from goodsubnet.comparison import methods_table
from goodsubnet.jobs import Job, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    args = arguments.parse_args(argv)
    with Job("methods", args.output, args.settings, {"plan": args.plan}) as job:
        audit = Audit(job.json("plan"))
        traces = gather(audit)
        audit.conclude(job)
        table = methods_table(traces)
        job.save(".csv", table.to_csv(index=False, float_format="%.8g").encode())
        print(f"{len(table):,} rows")


def gather(audit: Audit) -> list[tuple[dict, dict]]:
    """Names and trace of each subnetwork; none any more once something did not fit."""
    traces = []
    for row, paths in audit.subnetworks():
        if not audit.unfit:
            stored = audit.tensors(paths["subnetwork"])
            # Copied, so that not every file stays open.
            traces.append((row, {name: stored[name].copy() for name in ("sizes", "losses", "passes")}))
    return traces


if __name__ == "__main__":
    run(main)
