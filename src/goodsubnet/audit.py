"""Whether the artifacts of an experiment are those of today's configuration and code, and which are not.

Snakemake knows that, too, as long as its memory is there. A table is made only of artifacts that were compared with
what the plan says and with one another.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodsubnet import artifacts
from goodsubnet.errors import UserError

if TYPE_CHECKING:
    from goodsubnet.jobs import Job

SHOWN = 5
CELL = ("network", "examples", "seed", "iteration", "method")


class Audit:
    """Compares what is recorded with each artifact with what the plan says and with what lies there now.

    plan: as `scripts/plan.py` writes it, with the grid of the experiment, the path of each stage's artifacts and the
    settings that they must have. read_provenance: what gives the provenance of the artifact at a path.
    `unfit` collects what does not fit: path -> reason. `gathered`: path -> SHA-256 of all that was read.
    """

    def __init__(self, plan: dict, read_provenance: Callable[[str], dict] = artifacts.read_provenance) -> None:
        self.plan = plan
        self.provenance: dict[str, dict] = {}
        self.unfit: dict[str, str] = {}
        self.gathered: dict[str, str] = {}
        self._read_provenance = read_provenance

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

    def measured(self, stage: str) -> Iterator[tuple[dict, dict[str, str], str]]:
        """As `subnetworks`, and the path of what "evaluate" or "terms" measured of each, checked."""
        for row, paths in self.subnetworks():
            # The network that was pruned is not evaluated again.
            sources = {name: path for name, path in paths.items() if stage != "evaluate" or name != "checkpoint"}
            yield row, paths, self.check(stage, f"{stage} {row['network']}", sources, row)

    def read(self, path: str) -> Any:
        """Content of a JSON artifact. Raises UserError where it is not what was written."""
        self._gather(path)
        return json.loads(Path(path).read_bytes())

    def tensors(self, path: str) -> dict[str, np.ndarray]:
        """The same of tensors, mapped into memory."""
        self._gather(path)
        return artifacts.map_tensors(path)

    def _gather(self, path: str) -> None:
        # A dense measurement is read once for each method.
        if path not in self.gathered:
            self.gathered[path] = artifacts.verify(path)

    def check(self, stage: str, key: str, sources: dict[str, str], wildcards: dict) -> str:
        """Path of an artifact. sources: its inputs, name -> path, checked before."""
        path = self.plan["paths"][stage].format(**wildcards)
        if path not in self.provenance:
            try:
                self.provenance[path] = self._read_provenance(path)
                reason = self._difference(path, self.plan["stages"][key], sources)
            except UserError as error:
                self.provenance[path], reason = {}, str(error)
            if reason:
                self.unfit[path] = reason
        return path

    def check_settings(self, path: str) -> None:
        """Compare the settings of an artifact that is none of a subnetwork, if the plan speaks of its stage."""
        self.provenance[path] = self._read_provenance(path)
        stage = self.provenance[path]["stage"]
        allowed = [settings for key, settings in self.plan["stages"].items() if key.split()[0] == stage]
        reasons = [self._other_settings(path, settings) for settings in allowed]
        if reasons and all(reasons):
            self.unfit[path] = reasons[0]

    def grid_paths(self) -> Iterator[set[str]]:
        """Of each stage the paths of all its artifacts that the grid asks for."""
        grid = self.plan["grid"]
        names = ("networks", "examples", "seeds", "iterations", "methods")
        cells = [
            {**dict(zip(CELL, values, strict=True)), "experiment": grid["experiment"], "dataset": grid["dataset"]}
            for values in itertools.product(*(list(grid[name]) or [""] for name in names))
        ]
        for pattern in self.plan["paths"].values():
            yield {pattern.format(**cell) for cell in cells}

    def conclude(self, job: "Job") -> None:
        """Hand what was read to the job, for its sidecar.

        Raises UserError where something does not fit; writes the paths of it to `<stem>.unfit.txt` beside the output.
        """
        listing = job.output.with_name(f"{job.stem}.unfit.txt")
        job.gather(self.gathered)
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
        reason = self._other_settings(path, settings)
        if reason:
            return reason
        if set(sources) != set(recorded["inputs"]):
            return f"made from {sorted(recorded['inputs'])}, and it must be made from {sorted(sources)}"
        for name, source in sources.items():
            if source in self.unfit:
                return f"made from {source}, which does not fit"
            # What came from elsewhere was made by no stage, and is checked by none before.
            made = self.provenance.get(source) or self._read_provenance(source)
            there = made["outputs"][Path(source).name]["sha256"]
            if there != recorded["inputs"][name]["sha256"]:
                return f"made from another {name} than {source} as it is today"
        return None

    def _other_settings(self, path: str, settings: dict) -> str | None:
        recorded = self.provenance[path]["settings"]
        for name in sorted({*settings, *recorded}):
            then, now = recorded.get(name), settings.get(name)
            if then != now:
                return f"made with {name} = {then}, and it must be {now}"
        return None
