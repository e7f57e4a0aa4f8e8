"""Prune a trained deep network, layer by layer."""

import copy
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np

from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import LayerPruneSettings

if TYPE_CHECKING:
    from torch import nn

    from goodsubnet.networks.deep import ImageClassifier
    from goodsubnet.networks.files import LayerDescription


def prune(job: Task[LayerPruneSettings], machine: Machine, seed: int) -> dict[str, np.ndarray]:
    """The tensors of the pruned network, with what was chosen in each layer in its description.

    The job's inputs are `data`, `subset`, `checkpoint` and, where the method asks for them, `tolerance`, as the stage
    calibrate found it, and `widths`, the subnetwork whose numbers of channels are taken.
    """
    pruner = Pruner(job, machine, seed)
    from goodsubnet.networks import files
    from goodsubnet.networks.complexity import complexity

    found = json.loads(job.content("tolerance"))["tolerance"] if "tolerance" in job.inputs else None
    tolerance = job.settings.chosen.given_tolerance if found is None else float(found)
    widths = None
    if "widths" in job.inputs:
        _, described = files.decode(job.tensors("widths"))
        widths = {layer["name"]: len(layer["kept"]) for layer in described["pruning"]["layers"]}
    # A calibrated tolerance may be extreme for a checkpoint that it was not found on: that is a result.
    network, records = pruner.pruned(tolerance, widths, refuse_extremes="tolerance" not in job.inputs)
    dense, small = (complexity(each, pruner.description["image"]) for each in (pruner.network, network))
    for name, amount in small.items():
        print(f"{name}: {amount:,} of {dense[name]:,} ({amount / dense[name]:.1%})")
    return files.encode(network, {**pruner.description, "pruning": {"tolerance": tolerance, "layers": records}})


class Pruner:
    """A checkpoint and the examples it is pruned on; `pruned` makes one subnetwork of it, and leaves it as it is."""

    def __init__(self, job: Task[LayerPruneSettings], machine: Machine, seed: int) -> None:
        leased = job.acquire(machine, job.settings.threads)
        from goodsubnet.networks import files
        from goodsubnet.training.images import images_of
        from goodsubnet.training.loop import prepare_torch

        prepare_torch(leased, job.settings.threads, job.settings.deterministic)
        self.settings, self.seed, self.device = job.settings, seed, leased.torch_device
        self.workers = job.workers
        self.images = images_of(
            job.tensors("data"), job.tensors("subset"), machine, self.device, "train", job.settings.augmentation
        )
        self.network, self.description = files.decode(job.tensors("checkpoint"))
        self.network.to(self.device)

    def pruned(
        self, tolerance: float | None, widths: dict[str, int] | None = None, refuse_extremes: bool = True
    ) -> "tuple[ImageClassifier, list[LayerDescription]]":
        """A pruned copy of the network, and a record of each layer; arguments as `pruning.prune_network` takes them."""
        from goodsubnet.pruning.layerwise import prune_network

        network = copy.deepcopy(self.network)
        records = prune_network(
            network,
            self.settings.chosen,
            self.images,
            self.seed,
            tolerance=tolerance,
            widths=widths,
            finetune=self._finetune,
            refuse_extremes=refuse_extremes,
            workers=self.workers,
        )
        return network, [cast("LayerDescription", _as_lists(asdict(record))) for record in records]

    def _finetune(self, network: "nn.Module", layer: int) -> None:
        """Train for the few iterations that follow a layer."""
        from goodsubnet.training.fitting import Descent, Fit, training_seed

        method = self.settings.chosen
        descent = Descent(
            batch_size=method.images_at_once,
            learning_rate=method.finetune_learning_rate,
            momentum=0.0,
            weight_decay=0.0,
            precision=self.settings.precision,
        )
        fit = Fit(cast("ImageClassifier", network), self.description, descent, self.device)
        fit.run(self.images, training_seed("fine-tuning of a layer", self.seed, layer), 0, method.finetune_iterations)


def _as_lists(record: dict[str, object]) -> dict[str, object]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in record.items()}
