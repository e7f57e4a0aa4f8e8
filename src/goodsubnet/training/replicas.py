"""Several processes that train one network: each has a copy, on a device of its own, and a share of every batch."""

import contextlib
import datetime
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from multiprocessing import connection
from pathlib import Path

from torch import distributed, multiprocessing

from goodsubnet.errors import UserError
from goodsubnet.networks.deep import build
from goodsubnet.networks.files import Description
from goodsubnet.runtime import devices
from goodsubnet.runtime.jobs import Job, Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import DeepPretrainSettings
from goodsubnet.training.fitting import Descent, Fit
from goodsubnet.training.images import images_of
from goodsubnet.training.loop import prepare_torch
from goodsubnet.training.shares import Share

# A process that waits longer for another one takes it for dead.
TIMEOUT = datetime.timedelta(seconds=60)
SECONDS_TO_END = 5


@contextlib.contextmanager
def replicas(
    job: Job[DeepPretrainSettings],
    machine: Machine,
    descent: Descent,
    description: Description,
    seed: int,
    start: int,
    stop: int,
) -> Iterator[Share | None]:
    """Start the other processes of a training; yields this one's share, None where it trains alone.

    The others read the job's inputs, wait for this process's weights and momentum, and end with the iteration `stop`,
    or when this process is gone. Raises UserError where one of them died.
    """
    processes = descent.processes
    if processes == 1 or start == stop:
        yield None
        return
    folder = tempfile.mkdtemp(prefix="goodsubnet-")
    # They meet by a file: a store of torch that is told one address listens at all of them.
    store = _store(folder, processes)
    task = (job.inputs, job.settings, machine, descent, description, seed, start, stop)
    context = multiprocessing.get_context("spawn")
    with job.environment_before_lease():
        others = [
            context.Process(target=_replica, args=(Share(rank, processes), folder, *task))
            for rank in range(1, processes)
        ]
        for other in others:
            other.start()
    try:
        _join_group(Share(0, processes), store, job.facts["device"])
        yield Share(0, processes)
        for other in others:
            other.join()
    except RuntimeError:
        # The connections of a process break a little before it has an exit code.
        ended = connection.wait([other.sentinel for other in others], SECONDS_TO_END)
        for other in others:
            if other.sentinel in ended:
                other.join(SECONDS_TO_END)
        gone = [
            f"process {rank} (exit code {other.exitcode})" for rank, other in enumerate(others, 1) if other.exitcode
        ]
        if not gone:
            raise
        raise UserError(f"{', '.join(gone)} of this training ended; look at the log above") from None
    finally:
        for other in others:
            # They do not listen to SIGTERM.
            other.kill()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        shutil.rmtree(folder, ignore_errors=True)


def _store(folder: str, processes: int) -> distributed.Store:
    store = distributed.FileStore(f"{folder}/store", processes)
    store.set_timeout(TIMEOUT)
    return store


def _join_group(share: Share, store: distributed.Store, device: str) -> None:
    # Where a machine has many interfaces, one process must not look for the others on a wrong one.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "gloo" if device == "cpu" else "nccl"
    distributed.init_process_group(backend, store=store, rank=share.rank, world_size=share.processes, timeout=TIMEOUT)


def _replica(
    share: Share,
    folder: str,
    inputs: Mapping[str, Path],
    settings: DeepPretrainSettings,
    machine: Machine,
    descent: Descent,
    description: Description,
    seed: int,
    start: int,
    stop: int,
) -> None:
    """What another process does; it ends with an error when the first one is gone."""
    # The first process decides when to stop, and saves.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leased = devices.acquire(machine.device)
    prepare_torch(leased, settings.threads, settings.deterministic)
    _join_group(share, _store(folder, share.processes), leased.kind)
    source = Task(settings, inputs)
    data, subset = source.tensors("data"), source.tensors("subset")
    images = images_of(data, subset, machine, leased.torch_device, "train", settings.augmentation)
    network = build(description["architecture"], description["classes"], data["mean"].tolist(), data["std"].tolist())
    try:
        Fit(network, description, descent, leased.torch_device, share=share).run(images, seed, start, stop)
    except UserError as error:
        sys.exit(f"process {share.rank}: {error}")
    distributed.destroy_process_group()
