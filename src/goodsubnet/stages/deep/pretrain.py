"""Train a deep network from one checkpoint to the next, and measure it there."""

from goodsubnet.jobs import Job, Machine, Saving, deferred_signals


def pretrain(job: Job, machine: Machine, seed: int, iteration: int, saving: Saving) -> tuple[dict, dict]:
    """Train to `iteration`; returns the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and, but for the first checkpoint, `previous`.
    """
    leased = job.acquire(machine)
    # After the device was leased: torch looks at the devices when it is imported.
    from goodsubnet.networks import files
    from goodsubnet.stages.deep.dense import measured_dense
    from goodsubnet.stages.deep.fitting import Fit
    from goodsubnet.stages.deep.images import images_of
    from goodsubnet.stages.deep.replicas import replicas
    from goodsubnet.training import prepare_torch

    settings = job.settings
    prepare_torch(leased, settings["threads"], settings["deterministic"])
    images = images_of(job, machine, leased.torch_device, "train", settings["augmentation"])
    kept = job.starting_point()
    start = 0 if kept is None else int(kept["iteration"][0])
    network, description = _initial_network(job, images.image_shape, seed) if kept is None else files.decode(kept)
    print(f"training from iteration {start:,} to {iteration:,} on {leased.name}", flush=True)
    with deferred_signals(), replicas(job, machine, description, seed, start, iteration) as share:
        fit = Fit(network, description, settings, leased.torch_device, kept, share)
        fit.run(images, seed, start, iteration, saving.of(job, start, iteration, fit.state))
    return fit.state(iteration), measured_dense(job, machine, fit.network, images)


def _initial_network(job: Job, image: tuple[int, int, int], seed: int):
    """The network before training, and its description. Raises UserError where it could not be pruned."""
    from goodsubnet.networks.deep import initial_network
    from goodsubnet.stages.deep.dense import check_dense

    settings, data = job.settings, job.tensors("data")
    architecture = settings["architecture"]
    classes = int(data["train_labels"].max()) + 1
    network = initial_network(
        architecture, classes, data["mean"], data["std"], settings["experiment"], settings["network"], seed
    )
    check_dense(network, image, classes)
    return network, {"architecture": architecture, "classes": classes, "image": list(image)}
