"""Take up a checkpoint of a two-layer network that was trained elsewhere, and measure it."""

import numpy as np

from goodsubnet.data.inputs import network_inputs
from goodsubnet.exchange.foreign import fitted_two_layer, read_state
from goodsubnet.networks.two_layer import forward_in_blocks
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.settings.stages import TwoLayerAdoptSettings
from goodsubnet.stages.contract import Arrays, Measured
from goodsubnet.training.losses import accuracy, mean_loss, targets_of


def adopt(job: Job[TwoLayerAdoptSettings], machine: Machine, iteration: int) -> tuple[Arrays, Measured]:
    """As `pretrain` returns them: the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and `foreign`. Two passes over the images: no accelerator is asked for.
    """
    settings, architecture, data = job.settings, job.settings.architecture, job.tensors("data")
    subset, pixel_max = job.tensors("subset")["indices"], int(data["pixel_max"][0])
    parts = {
        "train": (data["train_images"][subset], data["train_labels"][subset]),
        "test": (data["test_images"], data["test_labels"]),
    }
    state, _ = read_state(job.inputs["foreign"])
    length = int(np.prod(data["train_images"].shape[1:]))
    weights = fitted_two_layer(job.inputs["foreign"], state, architecture.width, length)
    job.facts["threads"] = settings.threads
    job.temporary = machine.temporary
    measured: Measured = {}
    with limited_threads(settings.threads):
        for part, (images, labels) in parts.items():
            rows = network_inputs(images, pixel_max, settings.inputs)
            outputs, targets = (
                forward_in_blocks(weights, rows, architecture.activation),
                targets_of(labels, settings.loss),
            )
            measured[f"dense_{part}_accuracy"] = accuracy(outputs, targets)
            measured[f"dense_{part}_loss"] = mean_loss(outputs, targets, settings.loss)
    return {**weights, "iteration": np.array([iteration])}, measured
