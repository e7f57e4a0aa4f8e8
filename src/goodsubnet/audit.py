"""Whether the artifacts of an experiment are those of today's configuration and code, and which are not.

Snakemake knows that, too, as long as its memory is there. A table is made only of artifacts that were compared with
what the plan says and with one another.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from goodsubnet import artifacts
from goodsubnet.errors import UserError

SHOWN = 5


class Audit:
    """Compares what is recorded with each artifact with what the plan says and with what lies there now.

    plan: as `scripts/plan.py` writes it, with the grid of the experiment, the path of each stage's artifacts and the
    settings that they must have. `unfit` collects what does not fit: path -> reason.
    """

    def __init__(self, plan: dict) -> None:
        self.plan = plan
        self.provenance: dict[str, dict] = {}
        self.unfit: dict[str, str] = {}

    def subnetworks(self) -> Iterator[tuple[dict, dict[str, str]]]:
        """Each subnetwork of the grid, checked back to its data set.

        Yields what names it, from `experiment` to `method`, and the paths of `data`, `subset`, `checkpoint`,
        `subnetwork` and, where the plan has one, `finetuned`.
        """
        grid = self.plan["grid"]
        for trial, sources, checkpoints in self.trainings():
            network = trial["network"]
            tolerances = {}
            for method in grid["calibrated"]:
                last = {**sources, "checkpoint": checkpoints[grid["iterations"][-1]]}
                path = self.check("calibrate", f"calibrate {network} {method}", last, {**trial, "method": method})
                tolerances[method] = {"tolerance": path}
            for iteration, checkpoint in checkpoints.items():
                for method in grid["methods"]:
                    row = {**trial, "iteration": iteration, "method": method}
                    paths = {**sources, "checkpoint": checkpoint}
                    chosen_by = {**paths, **tolerances.get(method, {})}
                    if method in grid["widths_from"]:
                        # Checked before: a method stands behind the one that it takes its widths from.
                        other = {**row, "method": grid["widths_from"][method]}
                        chosen_by["widths"] = self.plan["paths"]["prune"].format(**other)
                    paths["subnetwork"] = self.check("prune", f"prune {network} {method}", chosen_by, row)
                    if "finetune" in self.plan["stages"]:
                        fine = {**sources, "subnetwork": paths["subnetwork"]}
                        paths["finetuned"] = self.check("finetune", "finetune", fine, row)
                    yield row, paths

    def trainings(self) -> Iterator[tuple[dict, dict[str, str], dict[int, str]]]:
        """Each training of the grid, checked back to its data set.

        Yields what names it, from `experiment` to `seed`, the paths of `data` and `subset`, and iteration -> path of
        its checkpoints, in order.
        """
        grid = self.plan["grid"]
        for network, examples, seed in itertools.product(grid["networks"], grid["examples"], grid["seeds"]):
            trial = {"experiment": grid["experiment"], "dataset": grid["dataset"], "network": network}
            trial |= {"width": grid["networks"][network], "examples": examples, "seed": seed}
            sources = {"data": self.check("prepare", "prepare", {}, trial)}
            sources["subset"] = self.check("subset", "subset", dict(sources), trial)
            previous, checkpoints = {}, {}
            for iteration in grid["iterations"]:
                cell = {**trial, "iteration": iteration}
                if trial["network"] in grid.get("foreign", {}):
                    previous = {"foreign": grid["foreign"][trial["network"]].format(**cell)}
                checkpoints[iteration] = self.check("pretrain", f"pretrain {network}", {**sources, **previous}, cell)
                previous = {"previous": checkpoints[iteration]}
            yield trial, sources, checkpoints

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

    def conclude(self, listing: Path) -> None:
        """Raises UserError where something does not fit; writes the paths of it to `listing`."""
        if not self.unfit:
            listing.unlink(missing_ok=True)
            return
        artifacts.write(listing, "".join(f"{path}\n" for path in self.unfit).encode())
        shown = [f"  {path}: {reason}" for path, reason in itertools.islice(self.unfit.items(), SHOWN)]
        more = [f"  and {len(self.unfit) - SHOWN} more"] if len(self.unfit) > SHOWN else []
        raise UserError(
            "\n".join(
                [
                    f"{len(self.unfit)} artifacts do not fit today's configuration and code:",
                    *shown,
                    *more,
                    f"their paths are in {listing}; to make them again:",
                    f"  xargs -d '\\n' rm < '{listing}'    and run snakemake again",
                ]
            )
        )

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
            # What came from elsewhere was made by no stage, and is checked by none before.
            made = self.provenance.get(source) or artifacts.read_provenance(source)
            there = made["outputs"][Path(source).name]["sha256"]
            if there != recorded["inputs"][name]["sha256"]:
                return f"made from another {name} than {source} as it is today"
        return None
