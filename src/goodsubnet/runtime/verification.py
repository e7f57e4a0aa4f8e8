"""Where a figure or a table comes from: the chain of files from it to the data, and the first link that does not hold.

A link is a file between the job that made it and one that was made from it. It holds where its sidecar is whole and
lies where the job wrote it, where the file has the SHA-256 that its sidecar and everyone who read it recorded, where
today's code is the one that ran, and where the settings are those of the plan that the table was made by.

What is nearer to the data is checked earlier, so the report names the first cause and not its consequences. Three
rounds: all sidecars and the sizes of the files, which takes no time; then every byte; then the plans.
"""

import concurrent.futures
import functools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts, code, fingerprint
from goodsubnet.runtime.artifacts import Json, Provenance, Recorded
from goodsubnet.runtime.audit import Audit

# What is kept in memory of a sidecar.
KEPT = (
    "stage",
    "settings",
    "wildcards",
    "inputs",
    "gathered",
    "outputs",
    "temporary",
    "output",
    "format",
    "sources",
    "commit",
)


class Broken(UserError):
    """A link that does not hold: the file, what was recorded, what is there."""


@dataclass
class Made:
    """What one job made: the files of one stem.

    path: one of them. provenance: their sidecar, or None where it is unusable (`problem` says why).
    files: those that belong to the chain, path -> what was made from it (a path) -> the SHA-256 that it had then.
    """

    path: str
    provenance: Provenance | None = None
    problem: str = ""
    files: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def sidecar(self) -> str:
        return sidecar_of(self.path)

    def sources(self) -> Iterator[tuple[str, str]]:
        """Path and SHA-256 of all that it was made from."""
        if self.provenance is not None:
            for each in self.provenance["inputs"].values():
                yield each["path"], each["sha256"]
            yield from self.provenance["gathered"].items()

    def known(self) -> Provenance:
        """Its provenance, which is usable where there is no `problem`."""
        if self.provenance is None:
            raise Broken(self.problem)
        return self.provenance

    def recorded(self, path: str) -> Recorded | None:
        """SHA-256 and bytes of a file as the job wrote it; None where the sidecar does not speak of it."""
        return None if self.provenance is None else self.provenance["outputs"].get(os.path.basename(path))


class Lineage:
    """All that the files at `paths` were made from. Paths are relative to the current folder, where snakemake ran.

    made: in the order of making: each comes after what it was made from. deleted: checkpoints that are gone because
    their sidecar says that they were temporary. Raises UserError for a path that the workflow did not make.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.here = os.getcwd()
        self.asked = list(dict.fromkeys(normal(str(path), self.here) for path in paths))
        self.made: list[Made] = []
        self._met: dict[str, Made] = {}
        # Hundreds of sidecars have the same settings and the same code.
        self._settings: dict[str, dict[str, Json]] = {}
        self._sources: dict[str, dict[str, str]] = {}
        for path in self.asked:
            self._check_asked(path)
            self._walk(path)
        self.deleted = {
            path
            for made in self.made
            for path in made.files
            if made.provenance is not None
            and Path(path).name in made.provenance["temporary"]
            and path not in self.asked
            and not Path(path).exists()
        }

    def check(self) -> None:
        """Raises Broken at the first link that does not hold."""
        for made in self.made:
            self._check_record(made)
            self._check_code(made)
            self._check_readers(made)
        self._check_content()
        for made in self.made:
            self._check_plan(made)

    # ---- the walk

    def _walk(self, path: str) -> None:
        """Depth first, without recursion: a network's checkpoints depend on one another in a long chain."""
        made, new = self._meet(path)
        made.files.setdefault(path, {})
        waiting = [(made, made.sources())] if new else []
        while waiting:
            made, sources = waiting[-1]
            for name, digest in sources:
                path = normal(name, self.here)
                source, new = self._meet(path)
                source.files.setdefault(path, {})[made.path] = digest
                if new:
                    waiting.append((source, source.sources()))
                    break
            else:
                waiting.pop()
                self.made.append(made)

    def _meet(self, path: str) -> tuple[Made, bool]:
        """What made the file, and whether none of its files was met before."""
        sidecar = sidecar_of(path)
        if sidecar in self._met:
            return self._met[sidecar], False
        made = self._met[sidecar] = Made(path)
        try:
            provenance = read_sealed(sidecar)
        except Broken as broken:
            made.problem = str(broken)
        else:
            settings, sources = provenance["settings"], provenance["sources"]
            provenance["settings"] = self._settings.setdefault(json.dumps(settings, sort_keys=True), settings)
            provenance["sources"] = self._sources.setdefault(json.dumps(sources, sort_keys=True), sources)
            made.provenance = provenance
        return made, True

    def _check_asked(self, path: str) -> None:
        """Raises UserError for a path whose chain cannot be walked from here."""
        sidecar = sidecar_of(path)
        if Path(path).is_dir():
            raise UserError(f"{path} is a folder; name a figure or a table in it")
        if path == sidecar:
            raise UserError(f"{path} is a sidecar; name the file that lies beside it")
        if not Path(sidecar).exists():
            if Path(path).exists():
                raise UserError(
                    f"{path} cannot be followed: there is no {Path(sidecar).name} beside it; did snakemake make it?"
                )
            raise UserError(f"{path} is not there; say --directory where snakemake ran elsewhere than in {self.here}")
        try:
            written = sidecar_of(read_sealed(sidecar)["output"])
        except Broken:
            return
        there = os.path.join(self.here, sidecar)
        folder = there.removesuffix(f"/{written}")
        if folder not in (there, self.here):
            raise UserError(f"{path} was made by snakemake in {folder}: run this there, or say --directory {folder}")

    # ---- the links

    def _check_record(self, made: Made) -> None:
        """Is the sidecar there, whole, and that of these files?"""
        if made.problem:
            raise Broken(f"{made.problem}{self._readers(made)}")
        output, wildcards = made.known()["output"], made.known()["wildcards"]
        if not same_place(sidecar_of(normal(output, self.here)), made.sidecar):
            raise Broken(f"{made.sidecar} was written for {output}: it was moved or swapped{self._readers(made)}")
        parts = [*os.path.dirname(made.path).split("/"), artifacts.stem(made.path)]
        for name, value in wildcards.items():
            if f"{name}-{value}" not in parts and any(part.startswith(f"{name}-") for part in parts):
                raise Broken(f"{made.sidecar} is of {name} {value}: it was swapped{self._readers(made)}")

    def _check_code(self, made: Made) -> None:
        """Is the code that made it today's?"""
        if made.known()["format"] != artifacts.FORMAT:
            raise Broken(f"{made.path} has another format of artifacts than today's; delete it and run again")
        differing = changed_sources(tuple(made.known()["sources"].items()))
        own = made.known()["settings"].get("architecture")
        if isinstance(own, dict) and own.get("code"):
            # The user's file that builds the network.
            differing = [*differing, *changed_network(str(own["file"]), str(own["code"]))]
        if differing:
            raise Broken(f"{made.path} was made by other code than today's, see {', '.join(differing)}")

    def _check_readers(self, made: Made) -> None:
        """Was everything made from these files as they are recorded, and are they there, of the right size?"""
        for path, readers in made.files.items():
            recorded = made.recorded(path)
            if recorded is None:
                raise Broken(f"{path} is not among what {made.sidecar} speaks of{self._readers(made, path)}")
            for reader, digest in readers.items():
                if digest != recorded["sha256"]:
                    raise Broken(
                        f"{path} is not what {reader} was made from\n  {reader} recorded {self._named(digest, path)}"
                        f"\n  {made.sidecar} records {self._named(recorded['sha256'], path)}"
                    )
            if path in self.deleted:
                continue
            try:
                size = os.stat(path).st_size
            except OSError as error:
                raise Broken(f"{path} {missing(error)}{self._readers(made, path)}") from None
            if size != recorded["bytes"]:
                raise Broken(
                    f"{path} was altered: it has {size:,} bytes, and {recorded['bytes']:,} were written"
                    f"{self._readers(made, path)}"
                )

    def _check_content(self) -> None:
        """Has every file the bytes that were recorded? Each is read once."""
        files = [(made, path) for made in self.made for path in made.files if path not in self.deleted]
        # Hashing leaves Python's lock, so threads use all cores.
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            try:
                digests = pool.map(artifacts.sha256, [path for _, path in files])
                for (made, path), digest in zip(files, digests, strict=True):
                    recorded = made.known()["outputs"][os.path.basename(path)]["sha256"]
                    if digest != recorded:
                        raise Broken(
                            f"{path} was altered\n  now it has {self._named(digest, path)}\n  {made.sidecar} records"
                            f" {self._named(recorded, path)}{self._readers(made, path)}"
                        )
            except OSError as error:
                raise Broken(f"{error.filename} {missing(error)}") from None
            finally:
                pool.shutdown(cancel_futures=True)

    def _check_plan(self, made: Made) -> None:
        """Were the settings and inputs of all that a table was gathered from those of its plan?"""
        plan = made.known()["inputs"].get("plan")
        if plan is None:
            return
        gathered = {normal(path, self.here) for path in made.known()["gathered"]}
        if not gathered:
            raise Broken(f"{made.sidecar} does not say what was gathered by {plan['path']}")
        audit = Audit(json.loads(Path(plan["path"]).read_bytes()), self._provenance)
        audit.check()
        for path, reason in audit.unfit.items():
            raise Broken(f"{path} does not fit {plan['path']}, by which {made.path} was made: {reason}")
        planned = {sidecar_of(path) for path in audit.provenance}
        for path in sorted(gathered):
            if sidecar_of(path) not in planned:
                raise Broken(f"{path} was gathered in {made.path}, and {plan['path']} does not ask for it")
        for asked in audit.paths():
            lacking = {normal(path, self.here) for path in asked} - gathered
            if len(lacking) < len(asked):
                for path in sorted(lacking):
                    raise Broken(f"{path} is asked for by {plan['path']}, and was not gathered in {made.path}")

    def _provenance(self, path: str) -> Provenance:
        """Provenance of an artifact, as `artifacts.read_provenance` gives it."""
        made, _ = self._meet(normal(path, self.here))
        if made.problem:
            raise UserError(made.problem)
        if made.recorded(path) is None:
            raise UserError(f"{made.sidecar} does not speak of it")
        return made.known()

    # ---- words

    def _readers(self, made: Made, path: str | None = None) -> str:
        """A line that says what was made from a file (by default the first of `made`), and its SHA-256 then."""
        for name, readers in made.files.items():
            for reader, digest in readers.items():
                if path in (None, name):
                    it = "it" if name == path else name
                    return f"\n  {reader} was made from {it} when that had {self._named(digest, name)}"
        return ""

    def _named(self, digest: str, path: str) -> str:
        """A SHA-256, and the file it belongs to, if that is another file of the chain than the one at `path`."""
        for made in self.made:
            for name, recorded in (made.provenance or {"outputs": {}})["outputs"].items():
                other = str(Path(made.path).with_name(name))
                if recorded["sha256"] == digest and other != path:
                    return f"sha256 {digest}, that of {other}"
        return f"sha256 {digest}"

    def text(self, every: bool = False) -> str:
        """The chain for people, from the figure to the data: one line per kind of file. every: also one per file."""
        lines, total = [f"{'stage':<24} {'files':>7} {'size':>9}"], 0
        for stage, files in self._kinds():
            size = sum(self._bytes(path) for path in files if path not in self.deleted)
            total += size
            gone = len(self.deleted.intersection(files))
            first = self._met[sidecar_of(files[0])]
            where = files[0] if len(files) == 1 else f"{os.path.commonpath(files)}/*{ending(files[0])}"
            # Of the data: it can be compared with that of other runs.
            root = first.recorded(files[0]) if len(files) == 1 and not any(first.sources()) else None
            notes = f"  sha256 {root['sha256']}" if root else ""
            notes += f"  ({gone:,} of them deleted, as keep_checkpoints: last does)" if gone else ""
            lines.append(f"{stage:<24} {len(files):>7,} {amount(size):>9}  {where}{notes}")
            if every:
                lines += [f"{self._digest(path):>42}  {path}" for path in files]
        number = sum(len(made.files) for made in self.made)
        commits = Counter(made.provenance["commit"] or "unknown" for made in self.made if made.provenance)
        said = ", ".join(f"{commit} ({count:,})" for commit, count in commits.most_common())
        lines.append(f"{number:,} files, {amount(total)}; made with commit {said}")
        if any(made.provenance and _in_files(made.provenance) for made in self.made):
            lines.append("not checked: the images, which stay in files of their own; the data set records their names")
        return "\n".join(lines)

    def _kinds(self) -> list[tuple[str, list[str]]]:
        """Stage and files of each kind, from the figure to the data."""
        levels: dict[str, int] = {}
        kinds: dict[tuple[str, str], list[str]] = {}
        depth: Counter = Counter()
        for made in reversed(self.made):
            stage = made.provenance["stage"] if made.provenance else "not known"
            for path, readers in made.files.items():
                level = max((levels.get(reader, 0) + 1 for reader in readers), default=0)
                levels[made.path] = max(level, levels.get(made.path, 0))
                kind = (stage, ending(path))
                depth[kind] = max(depth[kind], level)
                kinds.setdefault(kind, []).append(path)
        return [(kind[0], kinds[kind][::-1]) for kind in sorted(kinds, key=lambda kind: depth[kind])]

    def _bytes(self, path: str) -> int:
        recorded = self._met[sidecar_of(path)].recorded(path)
        return recorded["bytes"] if recorded else 0

    def _digest(self, path: str) -> str:
        recorded = self._met[sidecar_of(path)].recorded(path)
        return recorded["sha256"][:16] if recorded else "not recorded"


def _in_files(provenance: Provenance) -> bool:
    """Whether it is of a data set whose images stay in files of their own."""
    dataset = provenance["settings"].get("dataset")
    return isinstance(dataset, dict) and dataset.get("storage") == "files"


@functools.cache
def normal(path: str, here: str) -> str:
    """A path relative to the folder `here`; absolute where it lies elsewhere."""
    return os.path.normpath(os.path.join(here, path)).removeprefix(f"{here.rstrip('/')}/")


def same_place(one: str, other: str) -> bool:
    """Whether two paths are one; a folder of theirs may be a link."""
    if one == other:
        return True
    return os.path.basename(one) == os.path.basename(other) and os.path.realpath(one) == os.path.realpath(other)


@functools.cache
def sidecar_of(path: str) -> str:
    """As `artifacts.sidecar`, which is slow for tens of thousands of questions."""
    return str(artifacts.sidecar(path))


@functools.cache
def changed_sources(recorded: tuple[tuple[str, str], ...]) -> list[str]:
    """Which files of code are not, today, what they were. recorded: as `fingerprint.loaded_sources` gives them."""
    today = {name: fingerprint.source_hash(name) for name, _ in recorded}
    return [name if today[name] else f"{name} (gone)" for name, then in recorded if today[name] != then]


@functools.cache
def changed_network(file: str, recorded: str) -> list[str]:
    """The user's file, where today it does not have the code that was recorded."""
    try:
        return [] if code.digest(code.code_text(code.parsed_by_user(Path(file)))) == recorded else [file]
    except UserError as error:
        return [f"{file} ({error})"]


def read_sealed(sidecar: str | Path) -> Provenance:
    """What a sidecar says. Raises Broken where it is missing, altered, or of a version that did not record enough."""
    try:
        content = Path(sidecar).read_bytes()
        provenance = json.loads(content)
        seal = provenance.get("seal")
    except OSError as error:
        raise Broken(f"{sidecar} {missing(error)}") from None
    except (ValueError, AttributeError):
        raise Broken(f"{sidecar} was altered: it is no whole JSON") from None
    if seal is None and "sources" not in provenance:
        raise Broken(f"{sidecar} was written by an earlier version, so it cannot be checked; delete it and run again")
    if not isinstance(seal, str) or not artifacts.seal_holds(content, seal):
        raise Broken(f"{sidecar} was altered: its seal is not that of its content")
    if not provenance.keys() >= set(KEPT):
        raise Broken(f"{sidecar} was altered: it lacks {', '.join(sorted(set(KEPT) - provenance.keys()))}")
    return cast(Provenance, {name: provenance[name] for name in KEPT})


def missing(error: OSError) -> str:
    return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def ending(path: str) -> str:
    """What follows the stem: `.dense.json`."""
    return Path(path).name.removeprefix(artifacts.stem(path))


def amount(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
