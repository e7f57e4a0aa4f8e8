"""Train a two-layer network from one checkpoint to the next, and measure it there."""

import numpy as np
from threadpoolctl import threadpool_limits

from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.order import BatchOrder
from goodsubnet.networks.two_layer import initial_weights_of
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.runtime.signals import deferred_signals
from goodsubnet.settings.stages import TwoLayerPretrainSettings
from goodsubnet.settings.training import StableFraction
from goodsubnet.stages.contract import Arrays, Measured
from goodsubnet.training.losses import accuracy, mean_loss, targets_of


def pretrain(
    job: Job[TwoLayerPretrainSettings], machine: Machine, seed: int, iteration: int, saving: Saving
) -> tuple[Arrays, Measured]:
    """Train to `iteration`; returns the tensors of the checkpoint, and accuracy and loss of the dense network.

    The job's inputs are `data`, `subset` and, but for the first checkpoint, `previous`.
    """
    settings, architecture = job.settings, job.settings.architecture
    leased = job.acquire(machine, settings.threads)
    # After the device was leased: torch looks at the devices when it is imported.
    import torch

    from goodsubnet.networks.two_layer import forward, forward_in_blocks
    from goodsubnet.training.loop import LOSSES, GradientDescent, prepare_torch, tensor_batches, train

    prepare_torch(leased, settings.threads, settings.deterministic)
    weights, start = _starting_point(job, seed)
    data, subset = job.tensors("data"), job.tensors("subset")["indices"]
    images = {"train": data["train_images"][subset], "test": data["test_images"]}
    labels = {"train": data["train_labels"][subset], "test": data["test_labels"]}
    pixel_max, activation = int(data["pixel_max"][0]), architecture.activation

    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, device=leased.torch_device)

    rows = network_inputs(images["train"], pixel_max, settings.inputs)
    step = _step(job, seed, rows)
    inputs = on_device(rows)
    targets = on_device(targets_of(labels["train"], settings.loss))
    parameters = {name: on_device(array).requires_grad_() for name, array in weights.items()}
    order = BatchOrder(seed, len(inputs), settings.batch_size)

    def checkpoint(done: int) -> dict[str, np.ndarray]:
        arrays = {name: parameter.detach().cpu().numpy() for name, parameter in parameters.items()}
        return {**arrays, "iteration": np.array([done])}

    print(f"training from iteration {start:,} to {iteration:,} on {leased.name}", flush=True)
    with deferred_signals():
        train(
            GradientDescent(parameters.values(), step),
            lambda x, y: LOSSES[settings.loss](forward(parameters, x, activation), y),
            tensor_batches(inputs, targets, order, start, iteration),
            start,
            iteration,
            saving.of(job, start, iteration, checkpoint),
        )

    measured: Measured = {"learning_rate_per_neuron": step / architecture.width}
    with torch.no_grad():
        for part in ("train", "test"):
            if part == "test":
                inputs = on_device(network_inputs(images["test"], pixel_max, settings.inputs))
            outputs = forward_in_blocks(parameters, inputs, activation)
            goal = targets_of(labels[part], settings.loss)
            measured[f"dense_{part}_accuracy"] = accuracy(outputs, goal)
            measured[f"dense_{part}_loss"] = mean_loss(outputs, goal, settings.loss)
    return checkpoint(iteration), measured


def _starting_point(job: Job[TwoLayerPretrainSettings], seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Weights and the number of iterations they have had: what was saved last, the checkpoint before, or initial."""
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

    with threadpool_limits(settings.threads):
        stable = largest_stable_step(_initial_weights(job, seed), inputs, architecture.activation, settings.loss)
    # Six digits, so that the step does not depend on how the sums in it were split.
    return float(f"{rate.stable_fraction * stable:.6g}")
