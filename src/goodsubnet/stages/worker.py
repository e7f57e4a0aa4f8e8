"""A worker: computes a stage together with the others, from the task that the job left in the folder they share."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Literal, TypedDict, cast

from pydantic import BaseModel, TypeAdapter

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts, plugins
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.fingerprint import fingerprint, loaded_sources
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.workers.joining import facts_of, joined
from goodsubnet.runtime.workers.processes import end_with_parent
from goodsubnet.settings.stages import PRUNE, PRUNING_TIMES, PruneSettings, PruningTimesSettings
from goodsubnet.stages.choose import stage_of


class Described(TypedDict):
    """What the job left: `runtime.workers.launch.workers_of` and `stages.together` say it."""

    stage: Literal["prune", "calibrate", "pruning_times"]
    kind: str
    seed: int
    settings: dict[str, Json]
    inputs: dict[str, str]
    machine: dict[str, Json]


def main() -> None:
    """Argument: the folder. torchrun says who this worker is, in RANK and WORLD_SIZE."""
    end_with_parent()
    # The job decides when to stop, and the agent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, rank, size = Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank > 0:
        # All would say the same.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # open until this process ends
    try:
        work(json.loads((folder / "task.json").read_bytes()), folder, rank, size)
    except (UserError, MemoryError) as error:
        message = str(error) if isinstance(error, UserError) else f"out of memory ({error})"
        said = {"rank": rank, "host": socket.gethostname(), "time": time.time(), "message": message}
        artifacts.write(folder / f"error-{rank}.json", artifacts.encode_json(said))
        sys.exit(1)


def work(described: Described, folder: Path, rank: int, size: int) -> None:
    """Compute the stage; the first worker writes the result, once all have come to the end."""
    stage, kind = described["stage"], described["kind"]
    machine = TypeAdapter(Machine).validate_python(described["machine"])
    settings: PruneSettings | PruningTimesSettings
    read = PRUNING_TIMES if stage == "pruning_times" else PRUNE
    settings = read.validate_python(described["settings"])
    inputs = {name: Path(path) for name, path in described["inputs"].items()}
    task = cast(Task[BaseModel], Task(settings, inputs))
    leased = task.acquire(machine, settings.threads)
    plugin = plugins.found("methods")[settings.method.algorithm]
    code = fingerprint(__file__, [f"stages.{kind}.{stage}", plugin.source])
    with joined(machine, leased, settings.threads, code, folder, rank, size) as workers:
        task.workers = workers
        began = time.perf_counter()
        result = stage_of(kind, stage)(task, machine, described["seed"])
        seconds = time.perf_counter() - began
        facts = facts_of(task, workers, seconds)
        if rank == 0:
            if stage == "prune":
                artifacts.write(
                    folder / "result.safetensors", artifacts.encode_tensors(cast(artifacts.Tensors, result))
                )
            else:
                artifacts.write(folder / "result.json", artifacts.encode_json(result))
            facts["sources"] = loaded_sources()
            artifacts.write(folder / "facts.json", artifacts.encode_json(facts))


if __name__ == "__main__":
    main()
