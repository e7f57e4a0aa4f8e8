"""The making of one artifact: inputs checked, a lock, outputs with provenance.

A job is a process that makes the artifacts of one stem. It holds a kernel lock on them, so that a survivor of a killed
run and its successor never write together, and it leaves either complete artifacts with their sidecar, or nothing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import numpy as np

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts, devices, fingerprint
from goodsubnet.runtime.artifacts import Facts, Json, Provenance, Tensors
from goodsubnet.runtime.group import ALONE, Alone, Workers
from goodsubnet.runtime.machine import Machine

if TYPE_CHECKING:
    from pydantic import BaseModel

S = TypeVar("S", bound="BaseModel", covariant=True)
"""The settings of a stage: a model of `goodsubnet.settings.stages`."""


class Task(Generic[S]):
    """What a stage computes from: settings and inputs; and a record of how it was done.

    settings: the stage's settings, with the fingerprint of its code. inputs: name -> path, verified. workers: who do
    this together, each with a task of its own. facts: for the sidecar.
    """

    def __init__(self, settings: S, inputs: Mapping[str, Path]) -> None:
        self.settings = settings
        self.inputs = dict(inputs)
        self.workers: Workers | Alone = ALONE
        self.facts: Facts = {"device": "cpu", "threads": 1}
        self.temporary = False
        self._leased: devices.Device | None = None

    def acquire(self, machine: Machine, threads: int) -> devices.Device:
        """The device, leased before torch is imported and recorded; and the threads that are to be used."""
        if self._leased is None:
            self._visible = os.environ.get(devices.VARIABLE)
            self._leased = devices.acquire(machine.device)
            self.facts |= {"device": self._leased.name, "threads": threads}
            self.temporary = machine.temporary
        return self._leased

    @contextlib.contextmanager
    def environment_before_lease(self) -> Iterator[None]:
        """Within this block processes start that lease devices of their own."""
        leased = os.environ.pop(devices.VARIABLE, None)
        if self._visible is not None:
            os.environ[devices.VARIABLE] = self._visible
        try:
            yield
        finally:
            os.environ.pop(devices.VARIABLE, None)
            if leased is not None:
                os.environ[devices.VARIABLE] = leased

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Tensors of the input `name`, mapped into memory (it was verified on entry)."""
        return artifacts.map_tensors(self.inputs[name])

    def content(self, name: str) -> bytes:
        """The bytes of the input `name`."""
        return self.inputs[name].read_bytes()


class Job(Task[S]):
    """The making of one artifact, or of several with one stem.

    stage: name of the rule. settings: the stage's settings, with the fingerprint of its code.
    inputs: name -> path, or None where there is none; verified on entry. wildcards: what the path says (seed, ...).
    """

    def __init__(
        self,
        stage: str,
        output: Path,
        settings: S,
        inputs: Mapping[str, str | Path | None],
        **wildcards: str | int,
    ) -> None:
        # An input that is absent comes as an empty argument.
        super().__init__(settings, {name: Path(path) for name, path in inputs.items() if path})
        self.stage = stage
        self.output = Path(output)
        self.stem = artifacts.stem(output)
        self.wildcards = wildcards
        self.recorded: dict[str, Json] = settings.model_dump(mode="json")
        self._outputs: dict[str, artifacts.Recorded] = {}
        self._gathered: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._hashes = {name: artifacts.verify(path) for name, path in self.inputs.items()}
        waited = self._lock()
        # What a killed job was writing.
        _remove(self.output.parent.glob(f".{self.stem}.*.tmp"))
        _remove(self.progress_path.parent.glob(f".{self.stem}-*.tmp"))
        if waited and self._made_meanwhile():
            print(f"{self.output} was made by the process that held its lock: nothing to do")
            self._unlock()
            raise SystemExit(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                artifacts.write(artifacts.sidecar(self.output), artifacts.encode_provenance(self._provenance()))
                # That of other settings, too: nobody will continue from it.
                _remove(self.progress_path.parent.glob(f"{self.stem}-*"))
                with contextlib.suppress(OSError):
                    self.progress_path.parent.rmdir()
        finally:
            self._unlock()

    def gather(self, files: Mapping[str, str]) -> None:
        """Put into the sidecar what was read beside the inputs. files: path -> the SHA-256 that was verified."""
        self._gathered |= files

    def starting_point(self) -> dict[str, np.ndarray] | None:
        """What training continues from: what was saved last, else the input `previous`; None where there is neither."""
        kept = self.load_progress()
        return self.tensors("previous") if kept is None and "previous" in self.inputs else kept

    def save_tensors(self, tensors: Tensors) -> None:
        self.save(".safetensors", artifacts.encode_tensors(tensors))

    def save_json(self, value: object, suffix: str = ".json") -> None:
        self.save(suffix, artifacts.encode_json(value))

    def save(self, suffix: str, content: bytes) -> None:
        """Write `<stem><suffix>` beside the output."""
        path = self.output.with_name(self.stem + suffix)
        artifacts.write(path, content)
        self._outputs[path.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    @property
    def key(self) -> str:
        """A hash of all that the result depends on: settings, code, inputs and wildcards."""
        parts = json.dumps([self.stage, self.recorded, self._hashes, self.wildcards], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    @property
    def progress_path(self) -> Path:
        """Where unfinished work is kept: keyed, so that other settings, inputs or code never resume it."""
        return self.output.parent / ".progress" / f"{self.stem}-{self.key}"

    def save_progress(self, tensors: Tensors) -> None:
        content = artifacts.encode_tensors(tensors)
        artifacts.write(self.progress_path, hashlib.sha256(content).digest() + content)

    def load_progress(self) -> dict[str, np.ndarray] | None:
        """What `save_progress` kept, or None if there is nothing, or nothing that can be trusted."""
        from safetensors.numpy import load

        try:
            content = self.progress_path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            print(f"{self.progress_path} is damaged: this segment starts again from its checkpoint")
            return None
        return load(content[32:])

    def _lock(self) -> bool:
        """Hold the kernel lock on the output; True if another process had to be waited for."""
        path = self.output.with_name(f".{self.stem}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {path.parent}: {error.strerror}") from None
        waited = False
        while True:
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise UserError(f"cannot write to {path.parent}: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting: another process is making {self.output}", flush=True)
                waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The holder before us removed the file that we have just locked: the name stands for another one now.
            if _same_file(path, descriptor):
                self._lock_path, self._lock_descriptor = path, descriptor
                return waited
            os.close(descriptor)

    def _unlock(self) -> None:
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock_descriptor)

    def _made_meanwhile(self) -> bool:
        try:
            recorded = artifacts.read_provenance(self.output)
            for name in recorded["outputs"]:
                artifacts.verify(self.output.with_name(name))
        except UserError:
            return False
        return recorded["key"] == self.key

    def _provenance(self) -> Provenance:
        facts = self.facts.copy()
        sources = facts.pop("sources", {})
        return {
            "stage": self.stage,
            "output": str(self.output),
            "format": artifacts.FORMAT,
            "settings": self.recorded,
            "wildcards": self.wildcards,
            "key": self.key,
            "inputs": {
                name: {"path": str(self.inputs[name]), "sha256": digest} for name, digest in self._hashes.items()
            },
            "gathered": self._gathered,
            "outputs": self._outputs,
            "temporary": [self.output.name] if self.temporary else [],
            # Workers have loaded what this process has not.
            "sources": {**fingerprint.loaded_sources(), **sources},
            "commit": _commit(),
            "versions": _versions(),
            "machine": {"system": platform.platform(), "processor": platform.machine()},
            **facts,
            "seconds": round(time.perf_counter() - self._began, 3),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _commit() -> str | None:
    """The git commit of the code, with "-dirty" where it was changed since, or None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    with contextlib.suppress(OSError):
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode == 0:
            return result.stdout.strip()
    return None


def _versions() -> dict[str, str]:
    """Versions of Python and of the libraries that this process has loaded."""
    names = ("numpy", "numba", "torch", "torchvision", "sklearn", "pandas", "matplotlib", "safetensors")
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in names}
    return {"python": platform.python_version()} | {name: text for name, text in loaded.items() if text}
