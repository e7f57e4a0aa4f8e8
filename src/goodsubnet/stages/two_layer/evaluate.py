"""Measure a subnetwork of a two-layer network on its sub-dataset and on the test set."""

from threadpoolctl import threadpool_limits

from goodsubnet.data.inputs import network_inputs
from goodsubnet.networks.two_layer import subnetwork_forward
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import TwoLayerEvaluateSettings
from goodsubnet.stages.contract import Measured
from goodsubnet.training.losses import accuracy, mean_loss, targets_of


def evaluate(job: Job[TwoLayerEvaluateSettings], _machine: Machine) -> Measured:
    """Accuracy and loss, steps of the selection and distinct neurons. Inputs: `data`, `subset` and `subnetwork`.

    A subnetwork is small, so no accelerator is asked for.
    """
    settings, data, chosen = job.settings, job.tensors("data"), job.tensors("subnetwork")
    subset = job.tensors("subset")["indices"]
    parts = {
        "train": (data["train_images"][subset], data["train_labels"][subset]),
        "test": (data["test_images"], data["test_labels"]),
    }
    weights = {name: chosen[name] for name in "ab"}
    row: Measured = {"steps": len(chosen["neurons"]), "distinct": len(chosen["distinct_neurons"])}
    for part, (images, labels) in parts.items():
        rows = network_inputs(images, int(data["pixel_max"][0]), settings.inputs)
        with threadpool_limits(1):
            outputs = subnetwork_forward(weights, chosen["share"], rows, settings.activation)
        targets = targets_of(labels, settings.loss)
        row[f"{part}_accuracy"] = accuracy(outputs, targets)
        row[f"{part}_loss"] = mean_loss(outputs, targets, settings.loss)
    return row
