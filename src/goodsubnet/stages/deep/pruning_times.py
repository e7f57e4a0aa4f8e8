"""How long the selection of a layer's channels takes with one worker and with several, in some blocks of a network."""

from functools import partial
from typing import cast

import numpy as np
import torch

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.group import Alone, Workers
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.workers.turns import in_turns, places
from goodsubnet.selection.layers import greedy_layer_selection
from goodsubnet.settings.stages import LayerTimesSettings

CLASSES = 10
IMAGES = 2048


def pruning_times(job: Task[LayerTimesSettings], machine: Machine, seed: int) -> dict[str, Json]:
    """As for a two-layer network, with "what", the layer, in each row; the images are noise.

    The given number of steps of a layer is timed, each with its check of the accuracy, in a network that was not
    trained: since every candidate is computed, the time does not depend on what the candidates are.
    """
    leased = job.acquire(machine, job.settings.threads)
    from goodsubnet.data.batches import ResidentImages
    from goodsubnet.networks.deep import initial_network
    from goodsubnet.networks.layers import PrunableLayer, prunable_layers
    from goodsubnet.pruning.layerwise import LayerAtHand
    from goodsubnet.training.loop import prepare_torch

    prepare_torch(leased, job.settings.threads, deterministic=False)
    settings = job.settings
    generator = random_generator("pruning times", seed)
    shape = (IMAGES, 3, settings.size, settings.size)
    pixels = generator.integers(0, 256, shape).astype("uint8")
    images = ResidentImages(pixels, generator.integers(0, CLASSES, IMAGES), 255, leased.torch_device)
    network = initial_network(settings.architecture, CLASSES, [0.5] * 3, [0.25] * 3, "pruning times", "", seed)
    network.to(leased.torch_device)
    with torch.no_grad():
        # So that the norms fit their inputs, as in any network that was trained.
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.train()(images.take(range(64))[0])
    network.eval()
    layers = prunable_layers(network)

    def prune(layer: PrunableLayer, workers: Workers | Alone) -> np.ndarray:
        place = layers.index(layer)
        context = LayerAtHand(network, layer, place, images, seed, settings.probe_size, None, None, workers)

        def checked(gains: np.ndarray, _accuracy: float) -> bool:
            context.masked_accuracy(gains)
            return False

        selection = greedy_layer_selection(
            context.split,
            lambda step: context.batch(step, settings.batch_size),
            checked,
            candidates=settings.candidates,
            max_steps=settings.steps,
            search="exact",
            workers=workers,
        )
        return selection.channels

    rows = []
    for block in settings.blocks:
        found = [layer for layer in layers if layer.name.startswith(f"network.{block}.")]
        if not found:
            names = ", ".join(layer.name.removeprefix("network.") for layer in layers)
            raise UserError(f"pruning_times.layers.blocks: {block} has no layer that can be pruned; there are {names}")
        if max(settings.workers) > found[0].channels:
            raise UserError(f"pruning_times.workers: {block} has only {found[0].channels} channels; set fewer workers")
        named = {"what": found[0].name.removeprefix("network."), "channels": found[0].channels}
        times = in_turns(job.workers, settings.workers, settings.repetitions, partial(prune, found[0]))
        rows += [{**named, **row} for row in times]
    return {"rows": cast(Json, rows), "places": places(leased, settings.threads)}
