"""Take up a checkpoint of a deep network that was trained elsewhere, and measure it."""

import numpy as np

from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import DeepAdoptSettings
from goodsubnet.stages.contract import Arrays, Measured


def adopt(job: Job[DeepAdoptSettings], machine: Machine, iteration: int) -> tuple[Arrays, Measured]:
    """As `pretrain` returns them: the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and `foreign`. There is no momentum: no training continues from it here.
    """
    settings = job.settings
    leased = job.acquire(machine, settings.threads)
    # After the device was leased: torch looks at the devices when it is imported.
    from goodsubnet.exchange.foreign import load_state, read_state
    from goodsubnet.networks import files
    from goodsubnet.networks.deep import build
    from goodsubnet.networks.layers import check_prunable
    from goodsubnet.stages.deep.dense import measured_dense
    from goodsubnet.training.images import images_of
    from goodsubnet.training.loop import prepare_torch

    data = job.tensors("data")
    prepare_torch(leased, settings.threads, settings.deterministic)
    images = images_of(data, job.tensors("subset"), machine, leased.torch_device, "train")
    architecture, classes = settings.architecture, int(data["train_labels"].max()) + 1
    mean, std = settings.mean or data["mean"].tolist(), settings.std or data["std"].tolist()
    network = build(architecture, classes, mean, std)
    check_prunable(network, images.image_shape, classes)
    load_state(job.inputs["foreign"], read_state(job.inputs["foreign"])[0], network.network)
    description: files.Description = {
        "architecture": architecture,
        "classes": classes,
        "image": list(images.image_shape),
    }
    checkpoint = {**files.encode(network, description), "iteration": np.array([iteration])}
    network.eval().to(leased.torch_device)
    return checkpoint, measured_dense(job, machine, network, images)
