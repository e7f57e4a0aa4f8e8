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
    """The chosen neurons in order, the losses along the selection, and the weights and shares of the distinct ones.

    The job's inputs are `data`, `subset` and `checkpoint`.
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
    chosen, counts = np.unique(np.asarray(selection.neurons), return_counts=True)
    steps = len(selection.neurons)
    print(f"{steps} steps, {len(chosen)} distinct neurons, mean loss {float(selection.losses[-1]):.6f}")
    return {
        "neurons": np.asarray(selection.neurons),
        "losses": np.asarray(selection.losses),
        "distinct_neurons": chosen,
        "share": (counts / steps).astype(np.float32),
        **{name: array[chosen] for name, array in weights.items()},
    }
