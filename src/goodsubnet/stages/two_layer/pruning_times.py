"""How long the selection of neurons takes with one worker and with several."""

from typing import TYPE_CHECKING, cast

import numpy as np

from goodsubnet.data.randomness import random_generator
from goodsubnet.networks.two_layer import initial_weights
from goodsubnet.pruning.contract import neuron_method
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.group import Alone, Workers
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.runtime.workers.turns import in_turns, places
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings.methods import NeuronMethodSettings
from goodsubnet.settings.stages import NeuronTimesSettings
from goodsubnet.training.losses import targets_of

if TYPE_CHECKING:
    from torch import Tensor


def pruning_times(job: Task[NeuronTimesSettings], machine: Machine, seed: int) -> dict[str, Json]:
    """{"rows": as `in_turns` gives them, "places": workers that this machine runs at full speed}; without inputs.

    Each time a worker computes the outputs of its neurons and selects.
    """
    settings, method = job.settings, job.settings.method
    if not isinstance(method, NeuronMethodSettings):
        raise TypeError(f"{method.algorithm} does not choose neurons")
    leased = job.acquire(machine, settings.threads)
    generator = random_generator("pruning times", seed)
    weights = initial_weights(settings.width, settings.inputs, "scaled", generator)
    images: np.ndarray | Tensor = generator.random((settings.examples, settings.inputs)).astype("float32")
    targets: np.ndarray | Tensor = targets_of(generator.integers(0, 2, settings.examples), settings.loss)
    if leased.kind == "cuda":
        import torch

        on_device = [torch.from_numpy(array).to(leased.torch_device) for array in (images, targets)]
        images, targets = on_device[0], on_device[1]

    def select(workers: Workers | Alone) -> np.ndarray:
        candidates = Candidates(weights, images, targets, "relu", settings.loss, settings.threads, workers)
        return neuron_method(method).select(candidates, method, seed).neurons

    with limited_threads(settings.threads):
        rows = in_turns(job.workers, settings.workers, settings.repetitions, select)
    named = {"what": "two-layer network", "channels": settings.width}
    return {"rows": cast(Json, [{**named, **row} for row in rows]), "places": places(leased, settings.threads)}
