"""A stage computed by the job itself, or by several workers that do it together (Algorithm 2)."""

import json
from typing import Literal

import numpy as np
from pydantic import BaseModel
from safetensors.numpy import load

from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.workers.launch import workers_of
from goodsubnet.stages.choose import stage_of

WORKER = "goodsubnet.stages.worker"


def prune_together(job: Job[BaseModel], machine: Machine, kind: str, threads: int, seed: int) -> dict[str, np.ndarray]:
    """The tensors of a subnetwork. With one worker in this process. Errors as `workers_of`."""
    if machine.workers == 1:
        return stage_of(kind, "prune")(job, machine, seed)
    with workers_of(job, machine, threads, WORKER, {"stage": "prune", "kind": kind, "seed": seed}) as folder:
        return load((folder / "result.safetensors").read_bytes())


def compute_together(
    job: Job[BaseModel],
    machine: Machine,
    stage: Literal["calibrate", "pruning_times"],
    kind: str,
    threads: int,
    seed: int,
) -> dict[str, Json]:
    """What a stage keeps as JSON. With one worker in this process. Errors as `workers_of`."""
    if machine.workers == 1:
        return dict(stage_of(kind, stage)(job, machine, seed))
    with workers_of(job, machine, threads, WORKER, {"stage": stage, "kind": kind, "seed": seed}) as folder:
        found: dict[str, Json] = json.loads((folder / "result.json").read_bytes())
        return found
