"""Train a two-layer network from one checkpoint to the next, and measure it there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.order import BatchOrder
from goodsubnet.networks.two_layer import forward, forward_in_blocks, initial_weights_of
from goodsubnet.runtime.devices import Device
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.runtime.signals import deferred_signals
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.settings.stages import TwoLayerPretrainSettings
from goodsubnet.settings.training import StableFraction
from goodsubnet.stages.contract import Arrays, Measured
from goodsubnet.training.losses import accuracy, mean_loss, targets_of
from goodsubnet.training.two_layer import descend, trained_on


def pretrain(
    job: Job[TwoLayerPretrainSettings], machine: Machine, seed: int, iteration: int, saving: Saving
) -> tuple[Arrays, Measured]:
    """Train to `iteration`; returns the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and, but for the first checkpoint, `previous`.
    """
    settings = job.settings
    leased = job.acquire(machine, settings.threads)
    weights, start = _starting_point(job, seed)
    data, subset = job.tensors("data"), job.tensors("subset")["indices"]
    pixel_max = int(data["pixel_max"][0])
    rows = network_inputs(data["train_images"][subset], pixel_max, settings.inputs)
    labels = {"train": data["train_labels"][subset], "test": data["test_labels"]}
    step = _step(job, seed, rows)
    order = BatchOrder(seed, len(rows), settings.batch_size)

    def after_iteration(weights_now: Callable[[], Arrays]) -> Callable[[int], None]:
        return saving.of(job, start, iteration, lambda done: {**weights_now(), "iteration": np.array([done])})

    print(f"training from iteration {start:,} to {iteration:,} on {leased.name}", flush=True)
    targets = targets_of(labels["train"], settings.loss)
    segment = _Segment(settings, rows, targets, step, order, start, iteration, after_iteration)
    weights = segment.on_processor(weights) if leased.kind == "cpu" else segment.on_accelerator(weights, leased)

    measured: Measured = {"learning_rate_per_neuron": step / settings.architecture.width}
    with limited_threads(settings.threads):
        for part in ("train", "test"):
            if part == "test":
                rows = network_inputs(data["test_images"], pixel_max, settings.inputs)
            outputs = forward_in_blocks(weights, rows, settings.architecture.activation)
            goal = targets_of(labels[part], settings.loss)
            measured[f"dense_{part}_accuracy"] = accuracy(outputs, goal)
            measured[f"dense_{part}_loss"] = mean_loss(outputs, goal, settings.loss)
    return {**weights, "iteration": np.array([iteration])}, measured


@dataclass(frozen=True)
class _Segment:
    """A training from iteration `start` to `stop`. after_iteration: what to call, given what tells the weights."""

    settings: TwoLayerPretrainSettings
    rows: np.ndarray
    targets: np.ndarray
    step: float
    order: BatchOrder
    start: int
    stop: int
    after_iteration: Callable[[Callable[[], Arrays]], Callable[[int], None]]

    def on_processor(self, weights: Arrays) -> Arrays:
        """The weights afterwards."""
        settings = self.settings
        with limited_threads(settings.threads), deferred_signals():
            network = trained_on(weights, self.rows, settings.architecture.activation, self.order.batch_size)
            descend(
                network,
                self.targets,
                settings.loss,
                self.step,
                self.order,
                self.start,
                self.stop,
                self.after_iteration(network.weights),
            )
            return network.weights()

    def on_accelerator(self, weights: Arrays, leased: Device) -> Arrays:
        """The same, by torch."""
        # After the device was leased: torch looks at the devices when it is imported.
        import torch

        from goodsubnet.training.loop import LOSSES, GradientDescent, prepare_torch, tensor_batches, train

        settings = self.settings
        prepare_torch(leased, settings.threads, settings.deterministic)

        def on_device(array: np.ndarray) -> torch.Tensor:
            return torch.tensor(array, device=leased.torch_device)

        parameters = {name: on_device(array).requires_grad_() for name, array in weights.items()}

        def weights_now() -> Arrays:
            return {name: parameter.detach().cpu().numpy() for name, parameter in parameters.items()}

        with deferred_signals():
            train(
                GradientDescent(parameters.values(), self.step),
                lambda x, y: LOSSES[settings.loss](forward(parameters, x, settings.architecture.activation), y),
                tensor_batches(on_device(self.rows), on_device(self.targets), self.order, self.start, self.stop),
                self.start,
                self.stop,
                self.after_iteration(weights_now),
            )
        return weights_now()


def _starting_point(job: Job[TwoLayerPretrainSettings], seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Weights and how long they were trained: what was saved last, the checkpoint before, or initial ones."""
    kept = job.starting_point()
    if kept is not None:
        return {name: kept[name] for name in "ab"}, int(kept["iteration"][0])
    return _initial_weights(job, seed), 0


def _initial_weights(job: Job[TwoLayerPretrainSettings], seed: int) -> dict[str, np.ndarray]:
    settings = job.settings
    length = int(np.prod(job.tensors("data")["train_images"].shape[1:]))
    return initial_weights_of(settings.architecture, length, settings.experiment, settings.network, seed)


def _step(job: Job[TwoLayerPretrainSettings], seed: int, inputs: np.ndarray) -> float:
    """The step of gradient descent on the mean loss, with the factor N where it is scaled by it."""
    settings, architecture = job.settings, job.settings.architecture
    rate = settings.learning_rate
    if not isinstance(rate, StableFraction):
        return rate * (architecture.width if settings.lr_scaling == "per_neuron" else 1)
    from goodsubnet.theory.tangent import largest_stable_step

    with limited_threads(settings.threads):
        stable = largest_stable_step(_initial_weights(job, seed), inputs, architecture.activation, settings.loss)
    # Six digits, so that the step does not depend on how the sums in it were split.
    return float(f"{rate.stable_fraction * stable:.6g}")
