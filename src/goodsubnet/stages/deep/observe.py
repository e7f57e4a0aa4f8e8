"""Observe a checkpoint of a deep network, as a stopping rule sees it."""

from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import DeepObserveSettings
from goodsubnet.stopping.observation import Observation, draw_probe


def observe(job: Task[DeepObserveSettings], machine: Machine, seed: int, iteration: int) -> Observation:
    """The job's inputs are `data`, `subset`, `checkpoint` and, for weights from elsewhere, their `first` checkpoint."""
    settings = job.settings
    leased = job.acquire(machine, settings.threads)
    # After the device was leased: torch looks at the devices when it is imported.
    from goodsubnet.networks import files
    from goodsubnet.networks.deep import initial_network
    from goodsubnet.stopping.deep import observe as observe_network
    from goodsubnet.stopping.deep import weights_of
    from goodsubnet.training.images import images_of
    from goodsubnet.training.loop import prepare_torch

    prepare_torch(leased, settings.threads, settings.deterministic)
    network, description = files.decode(job.tensors("checkpoint"))
    images = images_of(job.tensors("data"), job.tensors("subset"), machine, leased.torch_device, "train")
    pixels, labels = images.take(draw_probe(len(images), settings.probe, seed))
    if "first" in job.inputs:
        before, _ = files.decode(job.tensors("first"))
    else:
        mean, std = (values.flatten().tolist() for values in (network.mean, network.std))
        names = (settings.experiment, settings.network, seed)
        before = initial_network(settings.architecture, description["classes"], mean, std, *names)
    network.to(leased.torch_device)
    return observe_network(network, pixels, labels, weights_of(before), iteration, share=settings.share)
