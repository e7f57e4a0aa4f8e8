"""The dense network: whether the chain can use it, and how well it does."""

from collections.abc import Sequence

from torch import nn

from goodsubnet.jobs import Job, Machine
from goodsubnet.networks.deep import ImageClassifier, check_image
from goodsubnet.networks.layers import prunable_layers
from goodsubnet.stages.deep.fitting import measure
from goodsubnet.stages.deep.images import Images, images_of, measured_parts


def check_dense(network: nn.Module, image: Sequence[int], classes: int) -> None:
    """Raises UserError where a network could not be pruned, or does not tell the classes of such images apart."""
    prunable_layers(network)
    check_image(network, image, classes)


def measured_dense(job: Job, machine: Machine, network: ImageClassifier, images: Images) -> dict[str, float]:
    """Accuracy and loss on each part of the data. images: those of the sub-dataset, on the network's device."""
    measured = {}
    for part in measured_parts(job):
        device = str(next(network.parameters()).device)
        source = images if part == "train" else images_of(job, machine, device, part)
        measured |= {f"dense_{part}_{name}": value for name, value in measure(network, source).items()}
    return measured
