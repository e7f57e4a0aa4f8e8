"""Train a network from one checkpoint to the next, and measure the dense network there."""

import os
import time

import numpy as np
from threadpoolctl import threadpool_limits

from goodsubnet import devices
from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.order import BatchOrder
from goodsubnet.jobs import Job, Progress, Signals, deferred_signals, parser, run
from goodsubnet.losses import accuracy, mean_loss, targets_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset to train on")
    arguments.add_argument("--previous", help="the checkpoint to begin from; without it, initial weights")
    arguments.add_argument("--seed", required=True, type=int)
    arguments.add_argument("--iteration", required=True, type=int, help="train up to here")
    arguments.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    arguments.add_argument("--save-seconds", type=float, default=60.0, help="save progress this often")
    arguments.add_argument("--save-iterations", type=int, default=0, help="and after so many iterations; 0: never")
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "previous": args.previous or None}
    wildcards = {"seed": args.seed, "iteration": args.iteration}
    with Job("pretrain", args.output, args.settings, inputs, **wildcards) as job:
        device = devices.acquire(args.device)
        weights, start = _starting_point(job, args.seed)
        weights, measured = _train(job, weights, start, device, args)
        job.save_json(measured, ".dense.json")
        job.save_tensors({**weights, "iteration": np.array([args.iteration])})


def _starting_point(job: Job, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Weights and the number of iterations they have had: what was saved last, the checkpoint before, or initial."""
    kept = job.load_progress()
    if kept is None and "previous" in job.inputs:
        kept = job.tensors("previous")
    if kept is not None:
        return {name: kept[name] for name in "ab"}, int(kept["iteration"][0])
    return _initial_weights(job, seed), 0


def _initial_weights(job: Job, seed: int) -> dict[str, np.ndarray]:
    from goodsubnet.networks.two_layer import initial_weights_of

    settings = job.settings
    length = int(np.prod(job.tensors("data")["train_images"].shape[1:]))
    return initial_weights_of(settings["architecture"], length, settings["experiment"], settings["network"], seed)


def _step(job: Job, seed: int, inputs: np.ndarray) -> float:
    """The step of gradient descent on the mean loss, with the factor N where it is scaled by it."""
    settings, architecture = job.settings, job.settings["architecture"]
    rate = settings["learning_rate"]
    if not isinstance(rate, dict):
        return rate * (architecture["width"] if settings["lr_scaling"] == "per_neuron" else 1)
    from goodsubnet.theory.tangent import largest_stable_step

    with threadpool_limits(settings["threads"]):
        stable = largest_stable_step(_initial_weights(job, seed), inputs, architecture["activation"], settings["loss"])
    # Six digits, so that the step does not hang on how the sums in it were split.
    return float(f"{rate['stable_fraction'] * stable:.6g}")


def _train(job: Job, weights: dict, start: int, device: devices.Device, args) -> tuple[dict, dict]:
    """Train to `args.iteration`; returns the weights, and accuracy and loss of the dense network."""
    settings, architecture = job.settings, job.settings["architecture"]
    if settings["deterministic"]:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # After the device was leased: torch looks at the devices when it is imported.
    import torch

    from goodsubnet.networks.two_layer import forward, forward_in_blocks
    from goodsubnet.training import train

    devices.require_torch(device)
    torch.set_num_threads(settings["threads"])
    torch.use_deterministic_algorithms(settings["deterministic"] and device.kind == "cuda")
    job.facts |= {"device": device.name, "threads": settings["threads"]}

    data, subset = job.tensors("data"), job.tensors("subset")["indices"]
    images = {"train": data["train_images"][subset], "test": data["test_images"]}
    labels = {"train": data["train_labels"][subset], "test": data["test_labels"]}
    pixel_max, activation = int(data["pixel_max"][0]), architecture["activation"]

    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, device=device.torch_device)

    rows = network_inputs(images["train"], pixel_max, settings["inputs"])
    step = _step(job, args.seed, rows)
    inputs = on_device(rows)
    targets = on_device(targets_of(labels["train"], settings["loss"]))
    parameters = {name: on_device(array).requires_grad_() for name, array in weights.items()}

    def as_arrays() -> dict[str, np.ndarray]:
        return {name: parameter.detach().cpu().numpy() for name, parameter in parameters.items()}

    progress = Progress("iteration", start, args.iteration)
    saved = time.monotonic()

    def after_iteration(iteration: int) -> None:
        nonlocal saved
        progress(iteration)
        due = time.monotonic() - saved >= args.save_seconds or (
            args.save_iterations and iteration % args.save_iterations == 0
        )
        if (due or Signals.received is not None) and iteration < args.iteration:
            job.save_progress({**as_arrays(), "iteration": np.array([iteration])})
            saved = time.monotonic()
        if Signals.received is not None:
            print(
                f"stopped by a signal at iteration {iteration:,}, and saved: the same command again goes on from there"
            )
            raise SystemExit(128 + Signals.received)

    print(f"training from iteration {start:,} to {args.iteration:,} on {device.name}", flush=True)
    with deferred_signals():
        train(
            list(parameters.values()),
            lambda batch: forward(parameters, batch, activation),
            settings["loss"],
            inputs,
            targets,
            BatchOrder(args.seed, len(inputs), settings["batch_size"]),
            step,
            start,
            args.iteration,
            after_iteration,
        )

    measured = {"learning_rate_per_neuron": step / architecture["width"]}
    with torch.no_grad():
        for part in ("train", "test"):
            if part == "test":
                inputs = on_device(network_inputs(images["test"], pixel_max, settings["inputs"]))
            outputs = forward_in_blocks(parameters, inputs, activation)
            measured[f"dense_{part}_accuracy"] = accuracy(outputs, targets_of(labels[part], settings["loss"]))
            measured[f"dense_{part}_loss"] = mean_loss(
                outputs, targets_of(labels[part], settings["loss"]), settings["loss"]
            )
    print(" ".join(f"{name} {value:.4g}" for name, value in measured.items()))
    return as_arrays(), measured


if __name__ == "__main__":
    run(main)
