"""What every script does around its science: settings in, a lock, checked inputs, outputs with provenance, signals.

A job is a process that makes the artifacts of one stem. It holds a kernel lock on them, so that a survivor of a killed
run and its successor never write together, and it leaves either complete artifacts with their sidecar, or nothing.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from goodsubnet import artifacts, devices, fingerprint
from goodsubnet.distributed.workers import ALONE, Alone, Graph, Workers
from goodsubnet.errors import UserError

TERMINATED = 128 + signal.SIGTERM


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every script has."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--settings", required=True, type=json.loads, help="settings of the stage, as JSON")
    arguments.add_argument("--output", required=True, type=Path, help="the artifact to make")
    return arguments


@dataclass(frozen=True)
class Machine:
    """What a job may use, and no result depends on.

    device: "auto", "cpu" or "cuda". data_dir: where the images lie that are read from files. readers: processes that
    read them ahead. temporary: the output will be deleted once nothing needs it. workers: processes that select
    together (Algorithm 2), nodes: machines that they are spread over, graph: how they talk.
    """

    device: str = "auto"
    data_dir: str = "data"
    readers: int = 0
    temporary: bool = False
    workers: int = 1
    nodes: int = 1
    graph: Graph = "all"

    @staticmethod
    def add_arguments(arguments: argparse.ArgumentParser) -> None:
        arguments.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
        arguments.add_argument("--data-dir", default="data", help="where data sets lie")
        arguments.add_argument("--readers", type=int, default=0, help="processes that read images ahead")
        arguments.add_argument("--temporary", action="store_true", help="it will be deleted once nothing needs it")

    @staticmethod
    def add_worker_arguments(arguments: argparse.ArgumentParser) -> None:
        arguments.add_argument("--workers", type=int, default=1, help="processes that select together")
        arguments.add_argument("--nodes", type=int, default=1, help="machines that they are spread over")
        arguments.add_argument("--graph", default="all", choices=get_args(Graph), help="how they talk to each other")

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Machine":
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls) if hasattr(args, field.name)})


def run(main: Callable[[], None]) -> None:
    """Run a script's `main`: what a person must mend is one line, and SIGTERM ends it with everything saved."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory ({error}); lower the width or the number of examples, or add memory")


class Signals:
    """Whether a signal to stop has come; while `deferred`, it waits until the job has saved what it has."""

    deferred = False
    received: int | None = None


def _stop(number: int, _frame: Any) -> None:
    if Signals.received is not None:
        # A cluster sends it more than once; the first one is being obeyed.
        return
    Signals.received = number
    if not Signals.deferred:
        print("stopped by a signal: the same command again makes this anew")
        raise SystemExit(128 + number)


@contextlib.contextmanager
def deferred_signals():
    """Within this block SIGTERM and Ctrl-C only set `Signals.received`; at its end they take effect."""
    Signals.deferred = True
    try:
        yield
    finally:
        Signals.deferred = False
    if Signals.received is not None:
        raise SystemExit(128 + Signals.received)


class Task:
    """What a stage computes from: settings and inputs; and what is to be said of how it was done.

    settings: the stage's settings, with the fingerprint of its code. inputs: name -> path, verified. workers: who do
    this together, each with a task of its own. facts: for the sidecar.
    """

    def __init__(self, settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> None:
        self.settings = dict(settings)
        self.inputs = dict(inputs)
        self.workers: Workers | Alone = ALONE
        self.facts: dict[str, Any] = {"device": "cpu", "threads": 1}
        self.temporary = False
        self._leased: devices.Device | None = None

    def acquire(self, machine: Machine) -> devices.Device:
        """The device, leased before torch is imported and recorded."""
        if self._leased is None:
            self._visible = os.environ.get(devices.VARIABLE)
            self._leased = devices.acquire(machine.device)
            self.facts |= {"device": self._leased.name, "threads": self.settings["threads"]}
            self.temporary = machine.temporary
        return self._leased

    @contextlib.contextmanager
    def environment_before_lease(self):
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

    def tensors(self, name: str) -> dict:
        """Tensors of the input `name`, mapped into memory (it was verified on entry)."""
        return artifacts.map_tensors(self.inputs[name])

    def json(self, name: str) -> Any:
        return json.loads(self.inputs[name].read_bytes())


class Job(Task):
    """The making of one artifact, or of several with one stem.

    stage: name of the rule. settings: the stage's settings, with the fingerprint of its code.
    inputs: name -> path, or list of paths; verified on entry. wildcards: what the path says (seed, iteration ...).
    """

    def __init__(
        self,
        stage: str,
        output: Path,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Path | None],
        **wildcards: Any,
    ) -> None:
        super().__init__(settings, {name: Path(path) for name, path in inputs.items() if path is not None})
        self.stage = stage
        self.output = Path(output)
        self.stem = artifacts.stem(output)
        self.wildcards = wildcards
        self._outputs: dict[str, dict[str, Any]] = {}
        self._gathered: dict[str, str] = {}

    def __enter__(self) -> "Job":
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: Any) -> None:
        try:
            if kind is None:
                artifacts.write(artifacts.sidecar(self.output), artifacts.encode_provenance(self._provenance()))
                # That of other settings, too: nobody will go on with it.
                _remove(self.progress_path.parent.glob(f"{self.stem}-*"))
                with contextlib.suppress(OSError):
                    self.progress_path.parent.rmdir()
        finally:
            self._unlock()

    def gather(self, files: Mapping[str, str]) -> None:
        """Put into the sidecar what was read beside the inputs. files: path -> the SHA-256 that was verified."""
        self._gathered |= files

    def starting_point(self) -> dict | None:
        """What training goes on from: what was saved last, else the input `previous`; None where there is neither."""
        kept = self.load_progress()
        return self.tensors("previous") if kept is None and "previous" in self.inputs else kept

    def save_tensors(self, tensors: Mapping[str, Any]) -> None:
        self.save(".safetensors", artifacts.encode_tensors(tensors))

    def save_json(self, value: Any, suffix: str = ".json") -> None:
        self.save(suffix, artifacts.encode_json(value))

    def save(self, suffix: str, content: bytes) -> None:
        """Write `<stem><suffix>` beside the output."""
        path = self.output.with_name(self.stem + suffix)
        artifacts.write(path, content)
        self._outputs[path.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    @property
    def key(self) -> str:
        """A hash of all that the result depends on: settings, code, inputs and wildcards."""
        parts = json.dumps([self.stage, self.settings, self._hashes, self.wildcards], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    @property
    def progress_path(self) -> Path:
        """Where unfinished work is kept: keyed, so that other settings, inputs or code never resume it."""
        return self.output.parent / ".progress" / f"{self.stem}-{self.key}"

    def save_progress(self, tensors: Mapping[str, Any]) -> None:
        content = artifacts.encode_tensors(tensors)
        artifacts.write(self.progress_path, hashlib.sha256(content).digest() + content)

    def load_progress(self) -> dict | None:
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

    def _provenance(self) -> dict[str, Any]:
        facts = dict(self.facts)
        return {
            "stage": self.stage,
            "output": str(self.output),
            "format": artifacts.FORMAT,
            "settings": self.settings,
            "wildcards": self.wildcards,
            "key": self.key,
            "inputs": {
                name: {"path": str(self.inputs[name]), "sha256": digest} for name, digest in self._hashes.items()
            },
            "gathered": self._gathered,
            "outputs": self._outputs,
            "temporary": [self.output.name] if self.temporary else [],
            # Workers have loaded what this process has not.
            "sources": {**fingerprint.loaded_sources(), **facts.pop("sources", {})},
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


@dataclass(frozen=True)
class Saving:
    """How often progress inside a training segment is saved: the first that is due.

    seconds: between saves. iterations: between saves; 0 for never.
    """

    seconds: float
    iterations: int

    @staticmethod
    def add_arguments(arguments: argparse.ArgumentParser) -> None:
        arguments.add_argument("--save-seconds", type=float, default=60.0, help="save progress this often")
        arguments.add_argument("--save-iterations", type=int, default=0, help="and after so many iterations; 0: never")

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Saving":
        return cls(args.save_seconds, args.save_iterations)

    def of(self, job: Job, start: int, stop: int, state: Callable[[int], Mapping[str, Any]]) -> Callable[[int], None]:
        """To be called with the iterations done, from `start` on: reports, saves `state`, and ends on a signal."""
        report = Progress("iteration", start, stop)
        saved = time.monotonic()

        def after_iteration(done: int) -> None:
            nonlocal saved
            report(done)
            due = time.monotonic() - saved >= self.seconds or (self.iterations and done % self.iterations == 0)
            if (due or Signals.received is not None) and done < stop:
                job.save_progress(state(done))
                saved = time.monotonic()
            if Signals.received is not None:
                print(
                    f"stopped by a signal at iteration {done:,}, and saved: the same command again goes on from there"
                )
                raise SystemExit(128 + Signals.received)

        return after_iteration


class Progress:
    """Lines for a long job's log: how far, how fast, how long still; at most one every `interval` seconds."""

    def __init__(self, what: str, first: int, last: int, interval: float = 10.0) -> None:
        self._what, self._first, self._last, self._interval = what, first, last, interval
        self._began = self._printed = time.monotonic()

    def __call__(self, now: int) -> None:
        moment = time.monotonic()
        if moment - self._printed < self._interval or now <= self._first:
            return
        self._printed = moment
        rate = (now - self._first) / (moment - self._began)
        left = (self._last - now) / rate
        print(f"{self._what} {now:,} of {self._last:,} | {rate:,.1f} a second | {left:,.0f} s left", flush=True)
