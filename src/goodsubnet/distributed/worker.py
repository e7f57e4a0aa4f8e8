"""A worker: computes a stage together with the others, from the task that the job left in the folder they share."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from goodsubnet import artifacts
from goodsubnet.devices import Device
from goodsubnet.distributed.processes import end_with_parent
from goodsubnet.distributed.workers import Workers, patience
from goodsubnet.errors import UserError
from goodsubnet.fingerprint import fingerprint, loaded_sources
from goodsubnet.jobs import Machine, Task
from goodsubnet.stages import stage_of

# Importing torch from a slow file system.
SECONDS_TO_START = 300
LIBRARIES = ("numpy", "numba", "torch", "safetensors")


def main() -> None:
    """Argument: the folder. torchrun says who this worker is, in RANK and WORLD_SIZE."""
    end_with_parent()
    # The job decides when to stop, and the agent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, rank, size = Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank > 0:
        # All would say the same.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        work(json.loads((folder / "task.json").read_bytes()), folder, rank, size)
    except (UserError, MemoryError) as error:
        message = str(error) if isinstance(error, UserError) else f"out of memory ({error})"
        said = {"rank": rank, "host": socket.gethostname(), "time": time.time(), "message": message}
        artifacts.write(folder / f"error-{rank}.json", artifacts.encode_json(said))
        sys.exit(1)


def work(description: Mapping[str, Any], folder: Path, rank: int, size: int) -> None:
    """Compute the stage; the first worker writes the result, once all have come to the end."""
    machine, stage = Machine(**description["machine"]), description["stage"]
    inputs = {name: Path(path) for name, path in description["inputs"].items()}
    task = Task(description["settings"], inputs)
    leased = task.acquire(machine)
    with joined(task, machine, leased, stage, folder, rank, size) as workers:
        task.workers = workers
        began = time.perf_counter()
        result = stage_of(task.settings["kind"], stage)(task, machine, description["seed"])
        seconds = time.perf_counter() - began
        facts = facts_of(task, workers, seconds)
        if rank == 0:
            if stage == "prune":
                artifacts.write(folder / "result.safetensors", artifacts.encode_tensors(result))
            else:
                artifacts.write(folder / "result.json", artifacts.encode_json(result))
            facts["sources"] = loaded_sources()
            artifacts.write(folder / "facts.json", artifacts.encode_json(facts))


@contextlib.contextmanager
def joined(
    task: Task, machine: Machine, leased: Device, stage: str, folder: Path, rank: int, size: int
) -> Iterator[Workers]:
    """Be one of the workers, once all are there and alike."""
    import torch
    from torch import distributed

    torch.set_num_threads(task.settings["threads"])
    start = datetime.timedelta(seconds=SECONDS_TO_START)
    if machine.nodes == 1:
        # They talk over the loopback interface, and meet by a file, because a store of torch listens at every one.
        os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
        store = distributed.FileStore(str(folder / "store"), size)
        store.set_timeout(start)
    else:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = distributed.TCPStore(address, port, size, is_master=False, timeout=start)
    store = distributed.PrefixStore("goodsubnet", store)
    algorithm = task.settings["method"]["algorithm"]
    about = {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "code": fingerprint(__file__, [f"stages.{task.settings['kind']}.{stage}", f"methods.{algorithm}"]),
    }
    place = [socket.gethostname(), leased.name]
    store.set(f"about/{rank}", json.dumps({"about": about, "place": place}))
    told = [json.loads(store.get(f"about/{other}")) for other in range(size)]
    check_alike([other["about"] for other in told])
    places = [tuple(other["place"]) for other in told]
    # Several workers on one device: NCCL refuses that.
    backend = "nccl" if leased.kind == "cuda" and len(set(places)) == size else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience())
    device = leased.torch_device if backend == "nccl" else "cpu"
    try:
        yield Workers(rank, size, machine.graph, device=device, store=store)
    finally:
        # Where another worker is gone, this would wait for it.
        if sys.exc_info()[0] is None:
            distributed.destroy_process_group()


def check_alike(abouts: list[dict[str, str]]) -> None:
    """Raises UserError where a worker runs other versions than the first one."""
    for rank, about in enumerate(abouts):
        for name, version in about.items():
            if version != abouts[0][name]:
                raise UserError(
                    f"worker {rank} has {name} {version}, worker 0 has {abouts[0][name]}; start them all in the same "
                    "environment and from the same checkout"
                )


def facts_of(task: Task, workers: Workers, seconds: float) -> dict[str, Any]:
    """For the sidecar: who the workers were, and what passed between them; asked by all, the same for all."""
    traffic, size = workers.traffic, workers.size
    own = [traffic.messages, traffic.bytes, traffic.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]
    rows = np.zeros((size, len(own)))
    rows[workers.rank] = own
    messages, received, talking, memory = workers.agree(rows.ravel(), np.add).reshape(rows.shape).T
    return {
        **task.facts,
        "workers": {
            "number": size,
            "graph": workers.graph,
            "cores": len(os.sched_getaffinity(0)),
            "seconds": round(seconds, 3),
            # The slowest worker waits the least.
            "seconds_communicating": round(float(talking.min()), 3),
            "seconds_communicating_or_waiting": [round(float(each), 3) for each in talking],
            "messages_received": int(messages.sum()),
            "bytes_received": int(received.sum()),
            "peak_memory_bytes": [int(each) for each in memory],
        },
    }


if __name__ == "__main__":
    main()
