"""The job's side of several workers: torchrun started, waited for, and its failures put in words."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from goodsubnet.errors import UserError
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine

if TYPE_CHECKING:
    from pydantic import BaseModel

S = TypeVar("S", bound="BaseModel")
# torchrun itself would wait for half a minute for a worker that hangs.
SECONDS_TO_END = 10
SECONDS_BETWEEN_LOOKS = 0.5
SOURCE = Path(__file__).parents[3]


class Said(TypedDict):
    """What a worker that failed said."""

    rank: int
    host: str
    time: float
    message: str


class Ended(TypedDict):
    """How a worker ended."""

    rank: int
    host: str
    exit_code: int


@contextlib.contextmanager
def workers_of(job: Job[S], machine: Machine, threads: int, module: str, task: Mapping[str, Json]) -> Iterator[Path]:
    """Start the workers of a job, and wait until they have ended; yields the folder that they wrote to.

    module: what each runs, `python -m <module> <folder>`; it finds its task, with the job's settings, inputs and
    machine, in the folder's `task.json`, and leaves `facts.json`, or `error-<rank>.json`. Several are started by
    torchrun: on this machine, where they meet through a file and talk over the loopback interface, or, with
    `machine.nodes`, one torchrun on each node of this Slurm allocation.
    Raises UserError, naming the worker, where one fails, dies or hangs; none is left then.
    """
    with _scratch(job) as folder:
        inputs = {name: str(path) for name, path in job.inputs.items()}
        description = {**task, "settings": job.recorded, "inputs": inputs, "machine": asdict(machine)}
        (folder / "task.json").write_text(json.dumps(description))
        command = [*_everywhere(machine), sys.executable, "-m", f"{__package__}.agent", str(folder), module]
        _run([*command, *_rendezvous(machine, folder)], folder, _environment(machine, threads))
        _raise_failure(folder, machine.workers)
        job.facts.update(json.loads((folder / "facts.json").read_bytes()))
        yield folder


@contextlib.contextmanager
def _scratch(job: Job[S]) -> Iterator[Path]:
    """A folder that the workers share, on the file system of the results; removed at the end."""
    folder = (job.output.parent / ".progress" / f"{job.stem}.workers").absolute()
    # What a killed job left.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _everywhere(machine: Machine) -> list[str]:
    """What starts a command on each of the nodes."""
    if machine.nodes == 1:
        return []
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(f"nodes: {machine.nodes} asked, but this is not a Slurm allocation; set nodes: 1")
    each = [f"--nodes={machine.nodes}", f"--ntasks={machine.nodes}", "--ntasks-per-node=1"]
    # Without `cpu-bind` Slurm may tie all workers of a node to one core.
    return ["srun", *each, "--cpu-bind=none", "--kill-on-bad-exit=1"]


def _rendezvous(machine: Machine, folder: Path) -> list[str]:
    """Where torchrun's processes meet: in a file, which opens no port, or at a port of this node."""
    per_node = [f"--nnodes={machine.nodes}", f"--nproc-per-node={machine.workers // machine.nodes}"]
    if machine.nodes == 1:
        place = [f"--rdzv-endpoint={folder / 'rendezvous'}", "--rdzv-conf=store_type=file", "--local-addr=127.0.0.1"]
        return [*per_node, "--rdzv-id=workers", *place]
    # Not Slurm's name of the node, which need not be one of the network.
    endpoint = f"{socket.gethostname()}:{_free_port()}"
    return [*per_node, f"--rdzv-id={os.environ['SLURM_JOB_ID']}", f"--rdzv-endpoint={endpoint}"]


def _free_port() -> int:
    """A port that nothing listens on; GOODSUBNET_PORT, where it is set. Raises UserError where that one is in use."""
    port = int(os.environ.get("GOODSUBNET_PORT", "0"))
    with socket.socket() as found:
        try:
            found.bind(("", port))
        except OSError as error:
            raise UserError(f"GOODSUBNET_PORT: port {port} is of no use ({error.strerror}); name another one") from None
        return found.getsockname()[1]


def _environment(machine: Machine, threads: int) -> dict[str, str]:
    paths = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": str(threads),
    }
    if machine.nodes == 1:
        # Otherwise torchrun opens a port for the workers, on every interface.
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return environment


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run torchrun and wait; it ends with this process, however that ends, and soon after a worker failed."""
    process = subprocess.Popen(command, env=environment)
    try:
        while process.poll() is None and not any(folder.glob("error-*.json")):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_BETWEEN_LOOKS)
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
            # Its workers end with it.
            process.kill()
            process.wait()


def _raise_failure(folder: Path, size: int) -> None:
    """Raises UserError where a worker failed: the words of the first one that said why, or how one ended."""
    if (folder / "facts.json").exists():
        return
    said = sorted((cast(Said, _read(path)) for path in folder.glob("error-*.json")), key=lambda each: each["time"])
    ended = [cast(Ended, _read(path)) for path in sorted(folder.glob("ended-*.json"))]
    killed = [end for end in ended if end["exit_code"] < 0 and end["rank"] not in [each["rank"] for each in said]]
    for end in killed:
        name = signal.Signals(-end["exit_code"]).name
        memory = " (by the system, out of memory, if nobody else did)" if name == "SIGKILL" else ""
        raise UserError(f"worker {end['rank']} of {size} on {end['host']} was killed by {name}{memory}")
    for each in said:
        raise UserError(f"worker {each['rank']} of {size} on {each['host']}: {each['message']}")
    for end in ended:
        code = f"ended with exit code {end['exit_code']}"
        raise UserError(f"worker {end['rank']} of {size} on {end['host']} {code}; look at the log above")
    raise UserError(f"the {size} workers could not be started; look at the log above")


def _read(path: Path) -> object:
    return json.loads(path.read_bytes())
