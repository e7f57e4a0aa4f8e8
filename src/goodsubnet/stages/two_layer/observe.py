"""Observe a checkpoint of a two-layer network, as a stopping rule sees it."""

from goodsubnet.data.inputs import network_inputs
from goodsubnet.networks.two_layer import initial_weights_of
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.settings.stages import TwoLayerObserveSettings
from goodsubnet.stopping.observation import Observation, draw_probe
from goodsubnet.stopping.two_layer import observe as observe_weights
from goodsubnet.training.losses import targets_of


def observe(job: Task[TwoLayerObserveSettings], _machine: Machine, seed: int, iteration: int) -> Observation:
    """The job's inputs are `data`, `subset`, `checkpoint` and, for weights from elsewhere, their `first` checkpoint.

    No accelerator is asked for: a probe is small.
    """
    settings, data, checkpoint = job.settings, job.tensors("data"), job.tensors("checkpoint")
    subset = job.tensors("subset")["indices"]
    rows = subset[draw_probe(len(subset), settings.probe, seed)]
    inputs = network_inputs(data["train_images"][rows], int(data["pixel_max"][0]), settings.inputs)
    names = (settings.experiment, settings.network, seed)
    initial = (
        job.tensors("first")
        if "first" in job.inputs
        else initial_weights_of(settings.architecture, inputs.shape[1], *names)
    )
    job.facts["threads"] = settings.threads
    with limited_threads(settings.threads):
        return observe_weights(
            {name: checkpoint[name] for name in "ab"},
            inputs,
            targets_of(data["train_labels"][rows], settings.loss),
            {name: initial[name] for name in "ab"},
            iteration,
            activation=settings.architecture.activation,
            loss=settings.loss,
            selection=settings.selection,
            threads=settings.threads,
        )
