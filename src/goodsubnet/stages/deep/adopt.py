"""Take up a checkpoint of a deep network that was trained elsewhere, and measure it."""

import numpy as np

from goodsubnet.jobs import Job, Machine


def adopt(job: Job, machine: Machine, iteration: int) -> tuple[dict, dict]:
    """As `pretrain` returns them: the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and `foreign`. There is no momentum: nothing trains on from it here.
    """
    leased = job.acquire(machine)
    # After the device was leased: torch looks at the devices when it is imported.
    from goodsubnet.foreign import load_state, read_state
    from goodsubnet.networks import files
    from goodsubnet.networks.deep import build
    from goodsubnet.stages.deep.dense import check_dense, measured_dense
    from goodsubnet.stages.deep.images import images_of
    from goodsubnet.training import prepare_torch

    settings, data = job.settings, job.tensors("data")
    prepare_torch(leased, settings["threads"], settings["deterministic"])
    images = images_of(job, machine, leased.torch_device, "train")
    architecture, classes = settings["architecture"], int(data["train_labels"].max()) + 1
    mean, std = (settings[name] or data[name].tolist() for name in ("mean", "std"))
    network = build(architecture, classes, mean, std)
    check_dense(network, images.image_shape, classes)
    load_state(job.inputs["foreign"], read_state(job.inputs["foreign"])[0], network.network)
    description = {"architecture": architecture, "classes": classes, "image": list(images.image_shape)}
    checkpoint = {**files.encode(network, description), "iteration": np.array([iteration])}
    network.eval().to(leased.torch_device)
    return checkpoint, measured_dense(job, machine, network, images)
