"""Gather the measurements of an experiment in one tidy table, and refuse what was made with other settings."""

import pandas

from goodsubnet.runtime.artifacts import Provenance
from goodsubnet.runtime.audit import Audit
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import TableSettings


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    args = arguments.parse_args(argv)
    with Job("collect", args.output, TableSettings.model_validate(args.settings), {"plan": args.plan}) as job:
        audit = Audit.by_plan(job)
        rows = gather(audit)
        audit.conclude(job)
        job.save(".csv", pandas.DataFrame(rows).to_csv(index=False).encode())
        print(f"{len(rows):,} rows")


def gather(audit: Audit) -> list[dict]:
    """A row for each subnetwork; none where something does not fit."""
    rows = []
    for cell in audit.rows("evaluate"):
        measured = audit.read(cell.path)
        dense = audit.read(audit.path_of(("pretrain", "adopt"), cell.names, ".dense.json"))
        pruned = audit.provenance[audit.path_of(("prune",), cell.names)]
        # With several workers: without their start-up.
        seconds = pruned.get("workers", pruned)["seconds"]
        ratios = latency_ratios(audit.provenance[cell.path])
        rows.append({**cell.names, **measured, **dense, **ratios, "seconds": seconds})
    return rows


def latency_ratios(provenance: Provenance) -> dict[str, float]:
    """A pruned deep network's seconds per batch over the dense one's, for each size of batch."""
    measured = provenance.get("latency_seconds", {})
    return {f"latency_ratio_{batch}": taken["pruned"] / taken["dense"] for batch, taken in measured.items()}


if __name__ == "__main__":
    run(main)
