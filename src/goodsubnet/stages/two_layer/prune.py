"""Choose a subnetwork of a trained two-layer network."""

import numpy as np
from threadpoolctl import threadpool_limits

from goodsubnet.data.inputs import network_inputs
from goodsubnet.devices import require_torch
from goodsubnet.jobs import Machine, Task
from goodsubnet.losses import targets_of
from goodsubnet.methods import load_method
from goodsubnet.selection.candidates import Candidates


def prune(job: Task, machine: Machine, seed: int) -> dict[str, np.ndarray]:
    """The chosen neurons in order, the trace of the selection, and the shares and weights of the distinct ones.

    A distinct neuron is one with a share in the output. The trace is `losses`, `sizes` and `passes`, a number each for
    every step (`selection.trace`), and `gaps` where the method certifies its shares. The job's inputs are `data`,
    `subset` and `checkpoint`.
    """
    leased = job.acquire(machine)
    settings, method = job.settings, job.settings["method"]
    checkpoint, data = job.tensors("checkpoint"), job.tensors("data")
    weights = {name: checkpoint[name] for name in "ab"}
    subset = job.tensors("subset")["indices"]
    images = network_inputs(data["train_images"][subset], int(data["pixel_max"][0]), settings["inputs"])
    targets = targets_of(data["train_labels"][subset], settings["loss"])
    if leased.kind == "cuda":
        import torch

        require_torch(leased)
        images, targets = (torch.from_numpy(x).to(leased.torch_device) for x in (images, targets))
    names = ("activation", "loss", "threads")
    candidates = Candidates(weights, images, targets, **{name: settings[name] for name in names}, workers=job.workers)
    with threadpool_limits(settings["threads"]):
        selection = load_method(method["algorithm"]).select(candidates, method, seed)
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
