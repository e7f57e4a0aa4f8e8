"""Whether the artifacts of an experiment are those of today's configuration and code, and which are not.

Snakemake knows that, too, as long as its records exist. A table is made only of artifacts that were compared with
what the plan says and with one another. The plan says all that must be known about the stages: this module knows none
of them.
"""

import itertools
import json
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar

import numpy as np

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.artifacts import Json, Provenance
from goodsubnet.runtime.jobs import Job

if TYPE_CHECKING:
    from pydantic import BaseModel

S = TypeVar("S", bound="BaseModel")
SHOWN = 5
Names: TypeAlias = dict[str, str | int | None]
"""What names a row of a table, from `experiment` to `method`."""


class Member(TypedDict):
    """Artifacts of one network and method, where a stage has them. settings: which of the plan's they must have."""

    names: Names
    settings: int


class Entry(TypedDict):
    """Artifacts of one stage, all made from the same kinds of inputs.

    path: with wildcards. inputs: name -> path, with the same wildcards and {previous}, the iteration before in the
    grid: where there is none, there is no such input.
    """

    stage: str
    path: str
    inputs: dict[str, str]
    members: list[Member]


class Plan(TypedDict):
    """What a table is made from, as the workflow says it.

    names: those that all rows share. order: of all names in a row. grid: name -> its values, in order; rows follow it.
    entries: in the order of their making. settings: what members refer to.
    """

    names: Names
    order: list[str]
    grid: dict[str, list[str | int]]
    entries: list[Entry]
    settings: list[dict[str, Json]]


@dataclass(frozen=True)
class Cell:
    """One artifact of a plan: what names it, where it lies, and what it is made from."""

    names: Names
    path: str
    inputs: dict[str, str]


class Audit:
    """Compares what is recorded with each artifact with what the plan says and with what lies there now.

    read_provenance: what gives the provenance of the artifact at a path. `unfit` collects what does not fit: path ->
    reason. `gathered`: path -> SHA-256 of all that was read.
    """

    def __init__(self, plan: Plan, read_provenance: Callable[[str], Provenance] = artifacts.read_provenance) -> None:
        self.plan = plan
        self.provenance: dict[str, Provenance] = {}
        self.unfit: dict[str, str] = {}
        self.gathered: dict[str, str] = {}
        self._read_provenance = read_provenance

    @classmethod
    def by_plan(cls, job: Job[S]) -> "Audit":
        """The audit of a job whose input `plan` says what its table is made from; everything is compared."""
        audit = cls(json.loads(job.content("plan")))
        audit.check()
        return audit

    def check(self) -> None:
        """Compare every artifact of the plan, starting with those that others are made from."""
        for entry in self.plan["entries"]:
            for cell, settings in self._cells(entry):
                self._check(cell, settings)

    def rows(self, stage: str) -> list[Cell]:
        """The artifacts of a stage as rows of a table, in the order of the grid; none where something does not fit."""
        if self.unfit:
            return []
        rows = [cell for entry in self.plan["entries"] if entry["stage"] == stage for cell, _ in self._cells(entry)]
        places = {
            name: {value: place for place, value in enumerate(self.plan["grid"][name])} for name in self.plan["grid"]
        }
        varied = [name for name in self.plan["order"] if name in places]
        return sorted(rows, key=lambda row: [places[name].get(row.names.get(name), 0) for name in varied])  # type: ignore[arg-type]  # a name that a row lacks has no place

    def path_of(self, stages: Sequence[str], names: Mapping[str, str | int | None], suffix: str | None = None) -> str:
        """Where the artifact of one of these stages lies that a row comes from. suffix: of another file of its stem."""
        for entry in self.plan["entries"]:
            if entry["stage"] not in stages:
                continue
            for member in entry["members"]:
                if all(names.get(name) == value for name, value in member["names"].items()):
                    path = entry["path"].format(**names)
                    return path if suffix is None else str(Path(path).with_name(artifacts.stem(path) + suffix))
        raise KeyError(f"the plan has no {' or '.join(stages)} of {dict(names)}")

    def paths(self) -> Iterator[set[str]]:
        """The paths of all artifacts, for each entry."""
        for entry in self.plan["entries"]:
            yield {cell.path for cell, _ in self._cells(entry)}

    def read(self, path: str) -> dict[str, Json]:
        """Content of a JSON artifact. Raises UserError where it is not what was written."""
        self._gather(path)
        content: dict[str, Json] = json.loads(Path(path).read_bytes())
        return content

    def tensors(self, path: str) -> dict[str, np.ndarray]:
        """The same for tensors, mapped into memory."""
        self._gather(path)
        return artifacts.map_tensors(path)

    def _gather(self, path: str) -> None:
        # A dense measurement is read once for each method.
        if path not in self.gathered:
            self.gathered[path] = artifacts.verify(path)

    def _cells(self, entry: Entry) -> Iterator[tuple[Cell, dict[str, Json]]]:
        """The artifacts of an entry, in the order of the grid, and the settings that they must have."""
        grid, marks = self.plan["grid"], self.plan["grid"]["iteration"]
        fields = [field for _, field, _, _ in string.Formatter().parse(entry["path"]) if field]
        before = dict(zip(marks[1:], marks, strict=False))
        for member in entry["members"]:
            named = {**self.plan["names"], **member["names"]}
            varied = [name for name in self.plan["order"] if name in fields and name not in named]
            for values in itertools.product(*(grid[name] for name in varied)):
                names = {**named, **dict(zip(varied, values, strict=True))}
                previous = before.get(names["iteration"]) if "iteration" in varied else None  # type: ignore[arg-type]  # an iteration is a number
                inputs = {
                    name: path.format(**names, previous=previous)
                    for name, path in entry["inputs"].items()
                    if previous is not None or "{previous}" not in path
                }
                ordered = {name: names[name] for name in self.plan["order"] if name in names}
                cell = Cell(ordered, entry["path"].format(**names), inputs)
                yield cell, self.plan["settings"][member["settings"]]

    def _check(self, cell: Cell, settings: Mapping[str, Json]) -> None:
        try:
            self.provenance[cell.path] = self._read_provenance(cell.path)
            reason = self._difference(self.provenance[cell.path], settings, cell.inputs)
        except UserError as error:
            reason = str(error)
        if reason:
            self.unfit[cell.path] = reason

    def conclude(self, job: Job[S]) -> None:
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

    def _difference(self, recorded: Provenance, settings: Mapping[str, Json], sources: Mapping[str, str]) -> str | None:
        for name in sorted({*settings, *recorded["settings"]}):
            then, now = recorded["settings"].get(name), settings.get(name)
            if then != now:
                return f"made with {name} = {then}, and it must be {now}"
        if set(sources) != set(recorded["inputs"]):
            return f"made from {sorted(recorded['inputs'])}, and it must be made from {sorted(sources)}"
        for name, source in sources.items():
            if source in self.unfit:
                return f"made from {source}, which does not fit"
            # What came from elsewhere was made by no stage, so none has checked it before.
            made = self.provenance.get(source) or self._read_provenance(source)
            there = made["outputs"][Path(source).name]["sha256"]
            if there != recorded["inputs"][name]["sha256"]:
                return f"made from another {name} than {source} as it is today"
        return None
