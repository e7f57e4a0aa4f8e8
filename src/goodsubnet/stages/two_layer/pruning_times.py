"""How long the selection of neurons takes with one worker and with several."""

import numpy as np
from threadpoolctl import threadpool_limits

from goodsubnet.data.randomness import random_generator
from goodsubnet.distributed.turns import in_turns, places
from goodsubnet.distributed.workers import Alone, Workers
from goodsubnet.jobs import Machine, Task
from goodsubnet.losses import targets_of
from goodsubnet.methods import load_method
from goodsubnet.networks.two_layer import initial_weights
from goodsubnet.selection.candidates import Candidates


def pruning_times(job: Task, machine: Machine, seed: int) -> dict:
    """{"rows": as `in_turns` gives them, "places": workers that this machine runs at full speed}; without inputs.

    Each time a worker computes the outputs of its neurons and selects.
    """
    leased = job.acquire(machine)
    settings, method = job.settings, job.settings["method"]
    generator = random_generator("pruning times", seed)
    weights = initial_weights(settings["width"], settings["inputs"], "scaled", generator)
    images = generator.random((settings["examples"], settings["inputs"])).astype("float32")
    targets = targets_of(generator.integers(0, 2, settings["examples"]), settings["loss"])
    if leased.kind == "cuda":
        import torch

        images, targets = (torch.from_numpy(array).to(leased.torch_device) for array in (images, targets))

    def select(workers: Workers | Alone) -> np.ndarray:
        candidates = Candidates(weights, images, targets, "relu", settings["loss"], settings["threads"], workers)
        return load_method(method["algorithm"]).select(candidates, method, seed).neurons

    with threadpool_limits(settings["threads"]):
        rows = in_turns(job.workers, settings["workers"], settings["repetitions"], select)
    named = {"what": "two-layer network", "channels": settings["width"]}
    return {"rows": [{**named, **row} for row in rows], "places": places(leased, settings["threads"])}
