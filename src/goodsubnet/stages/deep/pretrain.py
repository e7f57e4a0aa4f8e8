"""Train a deep network from one checkpoint to the next, and measure it there."""

from typing import TYPE_CHECKING

from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.runtime.signals import deferred_signals
from goodsubnet.settings.stages import DeepPretrainSettings
from goodsubnet.stages.contract import Arrays, Measured

if TYPE_CHECKING:
    from goodsubnet.networks.deep import ImageClassifier
    from goodsubnet.networks.files import Description


def pretrain(
    job: Job[DeepPretrainSettings], machine: Machine, seed: int, iteration: int, saving: Saving
) -> tuple[Arrays, Measured]:
    """Train to `iteration`; returns the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and, but for the first checkpoint, `previous`.
    """
    settings = job.settings
    leased = job.acquire(machine, settings.threads)
    # After the device was leased: torch looks at the devices when it is imported.
    from goodsubnet.networks import files
    from goodsubnet.stages.deep.dense import measured_dense
    from goodsubnet.training.fitting import Descent, Fit
    from goodsubnet.training.images import images_of
    from goodsubnet.training.loop import prepare_torch
    from goodsubnet.training.replicas import replicas

    prepare_torch(leased, settings.threads, settings.deterministic)
    images = images_of(
        job.tensors("data"), job.tensors("subset"), machine, leased.torch_device, "train", settings.augmentation
    )
    kept = job.starting_point()
    start = 0 if kept is None else int(kept["iteration"][0])
    network, description = _initial_network(job, images.image_shape, seed) if kept is None else files.decode(kept)
    descent = Descent.of(settings, settings.precision, settings.schedule_iterations, settings.processes)
    print(f"training from iteration {start:,} to {iteration:,} on {leased.name}", flush=True)
    with deferred_signals(), replicas(job, machine, descent, description, seed, start, iteration) as share:
        fit = Fit(network, description, descent, leased.torch_device, kept, share)
        fit.run(images, seed, start, iteration, saving.of(job, start, iteration, fit.state))
    return fit.state(iteration), measured_dense(job, machine, fit.network, images)


def _initial_network(
    job: Job[DeepPretrainSettings], image: tuple[int, int, int], seed: int
) -> "tuple[ImageClassifier, Description]":
    """The network before training, and its description. Raises UserError where it could not be pruned."""
    from goodsubnet.networks.deep import initial_network
    from goodsubnet.networks.layers import check_prunable

    settings, data = job.settings, job.tensors("data")
    architecture = settings.architecture
    classes = int(data["train_labels"].max()) + 1
    network = initial_network(
        architecture, classes, data["mean"], data["std"], settings.experiment, settings.network, seed
    )
    check_prunable(network, image, classes)
    return network, {"architecture": architecture, "classes": classes, "image": list(image)}
