"""Choose a subnetwork of a trained two-layer network."""

from typing import TYPE_CHECKING

import numpy as np

from goodsubnet.data.inputs import network_inputs
from goodsubnet.pruning.contract import neuron_method
from goodsubnet.runtime.devices import require_torch
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings.stages import NeuronPruneSettings
from goodsubnet.training.losses import targets_of

if TYPE_CHECKING:
    from torch import Tensor


def prune(job: Task[NeuronPruneSettings], machine: Machine, seed: int) -> dict[str, np.ndarray]:
    """The chosen neurons in order, the trace of the selection, and the shares and weights of the distinct ones.

    A distinct neuron is one with a share in the output. The trace is `losses`, `sizes` and `passes`, each with one
    number per step (`selection.trace`), and `gaps` where the method certifies its shares. The job's inputs are `data`,
    `subset` and `checkpoint`.
    """
    settings, method = job.settings, job.settings.chosen
    leased = job.acquire(machine, settings.threads)
    checkpoint, data = job.tensors("checkpoint"), job.tensors("data")
    weights = {name: checkpoint[name] for name in "ab"}
    subset = job.tensors("subset")["indices"]
    images: np.ndarray | Tensor = network_inputs(
        data["train_images"][subset], int(data["pixel_max"][0]), settings.inputs
    )
    targets: np.ndarray | Tensor = targets_of(data["train_labels"][subset], settings.loss)
    if leased.kind == "cuda":
        import torch

        require_torch(leased)
        on_device = [torch.from_numpy(array).to(leased.torch_device) for array in (images, targets)]
        images, targets = on_device[0], on_device[1]
    candidates = Candidates(weights, images, targets, settings.activation, settings.loss, settings.threads, job.workers)
    with limited_threads(settings.threads):
        selection = neuron_method(method).select(candidates, method, seed)
    kept, share = selection.shares()
    changed = selection.weights or {name: array[kept] for name, array in weights.items()}
    steps = len(selection.neurons)
    print(f"{steps} steps, {len(kept)} distinct neurons, mean loss {float(selection.losses[-1]):.6f}")
    certificate = {} if selection.gaps is None else {"gaps": selection.gaps}
    return {
        "neurons": np.asarray(selection.neurons),
        "losses": np.asarray(selection.losses),
        "sizes": selection.sizes,
        "passes": selection.passes,
        **certificate,
        "distinct_neurons": kept,
        "share": share.astype(np.float32),
        **changed,
    }
