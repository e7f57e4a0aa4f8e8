"""How well the dense network does."""

from goodsubnet.networks.deep import ImageClassifier
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import DeepAdoptSettings, DeepPretrainSettings
from goodsubnet.stages.contract import Measured
from goodsubnet.training.fitting import measure
from goodsubnet.training.images import Images, images_of, measured_parts


def measured_dense(
    job: Job[DeepPretrainSettings] | Job[DeepAdoptSettings],
    machine: Machine,
    network: ImageClassifier,
    images: Images,
) -> Measured:
    """Accuracy and loss on each part of the data. images: those of the sub-dataset, on the network's device."""
    measured: Measured = {}
    data, subset = job.tensors("data"), job.tensors("subset")
    device = str(next(network.parameters()).device)
    for part in measured_parts(subset):
        source = images if part == "train" else images_of(data, subset, machine, device, part)
        measured |= {f"dense_{part}_{name}": value for name, value in measure(network, source).items()}
    return measured
