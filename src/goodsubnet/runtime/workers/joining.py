"""A worker's side: meeting the others, making sure that all are alike, and what is recorded about them afterwards."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from goodsubnet.errors import UserError
from goodsubnet.runtime.artifacts import Facts
from goodsubnet.runtime.devices import Device
from goodsubnet.runtime.group import Workers, patience
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine

if TYPE_CHECKING:
    from pydantic import BaseModel

S = TypeVar("S", bound="BaseModel")
# Importing torch from a slow file system.
SECONDS_TO_START = 300
LIBRARIES = ("numpy", "numba", "torch", "safetensors")


@contextlib.contextmanager
def joined(
    machine: Machine, leased: Device, threads: int, code: str, folder: Path, rank: int, size: int
) -> Iterator[Workers]:
    """Join the workers, once all are there and alike. code: a fingerprint of what they run."""
    import torch
    from torch import distributed

    torch.set_num_threads(threads)
    store: distributed.Store
    start = datetime.timedelta(seconds=SECONDS_TO_START)
    if machine.nodes == 1:
        # They talk over the loopback interface, and meet through a file, because a store of torch listens on every one.
        os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
        store = distributed.FileStore(str(folder / "store"), size)
        store.set_timeout(start)
    else:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = distributed.TCPStore(address, port, size, is_master=False, timeout=start)
    store = distributed.PrefixStore("goodsubnet", store)
    about = {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "code": code,
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
    """Raises UserError where a worker runs different versions from the first one."""
    for rank, about in enumerate(abouts):
        for name, version in about.items():
            if version != abouts[0][name]:
                raise UserError(
                    f"worker {rank} has {name} {version}, worker 0 has {abouts[0][name]}; start them all in the same "
                    "environment and from the same checkout"
                )


def facts_of(task: Task[S], workers: Workers, seconds: float) -> Facts:
    """For the sidecar: who the workers were, and what passed between them; called by all, the same for all."""
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
