"""Gather the measurements of an experiment in one tidy table, and refuse what was made with other settings."""

import pandas

from goodsubnet.audit import Audit
from goodsubnet.jobs import Job, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    args = arguments.parse_args(argv)
    with Job("collect", args.output, args.settings, {"plan": args.plan}) as job:
        audit = Audit(job.json("plan"))
        rows = gather(audit)
        audit.conclude(job)
        job.save(".csv", pandas.DataFrame(rows).to_csv(index=False).encode())
        print(f"{len(rows):,} rows")


def gather(audit: Audit) -> list[dict]:
    """A row for each subnetwork; none any more once something did not fit."""
    rows = []
    for row, paths, result in audit.measured("evaluate"):
        if not audit.unfit:
            measured = audit.read(result)
            dense = audit.read(audit.plan["paths"]["dense"].format(**row))
            pruned = audit.provenance[paths["subnetwork"]]
            # With several workers: without their start.
            seconds = pruned.get("workers", pruned)["seconds"]
            rows.append({**row, **measured, **dense, **latency_ratios(audit.provenance[result]), "seconds": seconds})
    return rows


def latency_ratios(provenance: dict) -> dict[str, float]:
    """A pruned deep network's seconds a batch over the dense one's, for each size of batch."""
    measured = provenance.get("latency_seconds", {})
    return {f"latency_ratio_{batch}": taken["pruned"] / taken["dense"] for batch, taken in measured.items()}


if __name__ == "__main__":
    run(main)
