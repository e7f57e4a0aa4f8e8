"""Gather the measurements of an experiment in one tidy table, and refuse what was made with other settings."""

import itertools
from pathlib import Path

import pandas

from goodsubnet import artifacts
from goodsubnet.errors import UserError
from goodsubnet.jobs import Job, parser, run

SHOWN = 5


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    args = arguments.parse_args(argv)
    with Job("collect", args.output, args.settings, {"plan": args.plan}) as job:
        plan = job.json("plan")
        rows, unfit = gather(plan)
        if unfit:
            raise UserError(_refusal(unfit, args.output.with_name("unfit.txt")))
        args.output.with_name("unfit.txt").unlink(missing_ok=True)
        job.save(".csv", pandas.DataFrame(rows).to_csv(index=False).encode())
        print(f"{len(rows):,} rows")


def gather(plan: dict) -> tuple[list[dict], dict[str, str]]:
    """A row for each subnetwork, and what does not fit: path -> reason."""
    grid, audit = plan["grid"], Audit(plan)
    rows = []
    trials = itertools.product(grid["networks"], grid["examples"], grid["seeds"])
    for network, examples, seed in trials:
        trial = {"experiment": grid["experiment"], "dataset": grid["dataset"], "network": network}
        trial |= {"examples": examples, "seed": seed}
        data = audit.check("prepare", "prepare", {}, trial)
        subset = audit.check("subset", "subset", {"data": data}, trial)
        sources = {"data": data, "subset": subset}
        previous = {}
        for iteration in grid["iterations"]:
            cell = {**trial, "iteration": iteration}
            checkpoint = audit.check("pretrain", f"pretrain {network}", {**sources, **previous}, cell)
            previous = {"previous": checkpoint}
            for method in grid["methods"]:
                row = {**cell, "method": method}
                key = f"prune {network} {method}"
                subnetwork = audit.check("prune", key, {**sources, "checkpoint": checkpoint}, row)
                result = audit.check("evaluate", f"evaluate {network}", {**sources, "subnetwork": subnetwork}, row)
                if not audit.unfit:
                    measured = artifacts.read_json(result)
                    dense = artifacts.read_json(plan["paths"]["dense"].format(**row))
                    seconds = audit.provenance[subnetwork]["seconds"]
                    row["width"] = grid["networks"][network]
                    rows.append({**row, **measured, **dense, "seconds": seconds})
    return [{name: row[name] for name in _columns(row)} for row in rows], audit.unfit


class Audit:
    """Compares what is recorded with each artifact with what the plan says and with what lies there now."""

    def __init__(self, plan: dict) -> None:
        self.plan = plan
        self.provenance: dict[str, dict] = {}
        self.unfit: dict[str, str] = {}

    def check(self, stage: str, key: str, sources: dict[str, str], wildcards: dict) -> str:
        """Path of an artifact. sources: its inputs, name -> path, checked before."""
        path = self.plan["paths"][stage].format(**wildcards)
        if path not in self.provenance:
            try:
                self.provenance[path] = artifacts.read_provenance(path)
                reason = self._difference(path, self.plan["stages"][key], sources)
            except UserError as error:
                self.provenance[path], reason = {}, str(error)
            if reason:
                self.unfit[path] = reason
        return path

    def _difference(self, path: str, settings: dict, sources: dict[str, str]) -> str | None:
        recorded = self.provenance[path]
        for name in sorted({*settings, *recorded["settings"]}):
            then, now = recorded["settings"].get(name), settings.get(name)
            if then != now:
                return f"made with {name} = {then}, today it is {now}"
        if set(sources) != set(recorded["inputs"]):
            return f"made from {sorted(recorded['inputs'])}, today it is made from {sorted(sources)}"
        for name, source in sources.items():
            if source in self.unfit:
                return f"made from {source}, which does not fit"
            there = self.provenance[source]["outputs"][Path(source).name]["sha256"]
            if there != recorded["inputs"][name]["sha256"]:
                return f"made from another {name} than {source} as it is today"
        return None


def _columns(row: dict) -> list[str]:
    first = ["experiment", "dataset", "network", "width", "examples", "seed", "iteration", "method"]
    return first + [name for name in row if name not in first]


def _refusal(unfit: dict[str, str], listing: Path) -> str:
    """One message; the paths of all of them are in a file, for Snakemake to make them again."""
    artifacts.write(listing, "".join(f"{path}\n" for path in unfit).encode())
    shown = [f"  {path}: {reason}" for path, reason in itertools.islice(unfit.items(), SHOWN)]
    more = [f"  and {len(unfit) - SHOWN} more"] if len(unfit) > SHOWN else []
    return "\n".join(
        [
            f"{len(unfit)} artifacts do not fit today's configuration and code:",
            *shown,
            *more,
            f"their paths are in {listing}; to make them again:",
            f"  xargs -d '\\n' rm < '{listing}'    and run snakemake again",
        ]
    )


if __name__ == "__main__":
    run(main)
