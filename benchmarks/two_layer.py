"""Two-layer networks on the processor: ours against the loop by torch's autograd that accelerators use, in turns.

    python benchmarks/two_layer.py --mnist DATA_DIR      real MNIST, digit < 5 against the rest (torchvision's layout)
    python benchmarks/two_layer.py --mnist DATA_DIR --densities    from which share of zeros on it pays to skip them

Training: CPU seconds of an iteration with batches of 128 and one thread, on inputs in [0, 1] and of
unit length with tanh, and on noise, which has no zeros. Outputs: of all neurons, and of the dense network,
against the product of matrices. Each repetition runs all ways one after the other; medians are reported.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.order import BatchOrder
from goodsubnet.networks import passes
from goodsubnet.networks.two_layer import forward, initial_weights
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.training.blocks import InBlocks
from goodsubnet.training.two_layer import Trained, descend

BATCH = 128


def mnist(folder: str, count: int, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (count, 784) and labels 0 or 1."""
    raw = Path(folder, "MNIST/raw")
    images = np.fromfile(raw / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 1, 28, 28)[:count]
    labels = np.fromfile(raw / "train-labels-idx1-ubyte", np.uint8)[8:][:count]
    return network_inputs(images, 255, scaling), (labels < 5).astype(np.float32)


def by_torch(weights: dict[str, np.ndarray], rows: np.ndarray, targets: np.ndarray, activation: str, stop: int) -> None:
    import torch

    from goodsubnet.training.loop import LOSSES, GradientDescent, tensor_batches, train

    parameters = {name: torch.tensor(array).requires_grad_() for name, array in weights.items()}
    order = BatchOrder(0, len(rows), BATCH)
    train(
        GradientDescent(parameters.values(), 0.1 * len(weights["b"])),
        lambda x, y: LOSSES["logistic"](forward(parameters, x, activation), y),
        tensor_batches(torch.from_numpy(rows), torch.from_numpy(targets), order, 0, stop),
        0,
        stop,
        lambda done: None,
    )


def ours(network: Trained, width: int, targets: np.ndarray, stop: int) -> None:
    order = BatchOrder(0, len(targets), BATCH)
    descend(network, targets, "logistic", 0.1 * width, order, 0, stop, lambda done: None)


def in_turns(ways: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median CPU seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            if repetition:  # the first one warms up
                seconds[name].append(time.process_time() - began)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def training(folder: str, widths: Iterable[int], iterations: int, repetitions: int) -> None:
    print("| inputs | width | torch, ms per iteration | ours | ratio |\n|---|---|---|---|---|")
    for scaling, activation in (("unit_range", "relu"), ("unit_length", "tanh"), ("noise", "relu"), ("noise", "tanh")):
        rows, targets = mnist(folder, 5000, "unit_range" if scaling == "noise" else scaling)
        if scaling == "noise":
            rows = np.random.default_rng(0).random(rows.shape, np.float32)
        for width in widths:
            weights = initial_weights(width, rows.shape[1], "scaled", np.random.default_rng(0))
            network = InBlocks(weights, passes.Inputs(rows), activation)
            ways = {
                "torch": partial(by_torch, weights, rows, targets, activation, iterations),
                "ours": partial(ours, network, width, targets, iterations),
            }
            seconds = {name: 1e3 * value / iterations for name, value in in_turns(ways, repetitions).items()}
            ratio = seconds["torch"] / seconds["ours"]
            print(
                f"| {scaling}, {activation} | {width:,} | {seconds['torch']:.1f} | {seconds['ours']:.2f} "
                f"| {ratio:.2f} |"
            )


def products(weights: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return np.maximum(weights["a"] @ rows.T, 0) * weights["b"][:, None]


def of_neurons(weights: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return passes.neuron_outputs(weights, passes.Inputs(rows))


def of_network(weights: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return passes.forward(weights, passes.Inputs(rows))


def outputs(folder: str, widths: Iterable[int], repetitions: int) -> None:
    print("\n| what | width | product, ns per neuron and example | ours | ratio |\n|---|---|---|---|---|")
    rows, _ = mnist(folder, 5000, "unit_range")
    for width in widths:
        weights = initial_weights(width, rows.shape[1], "scaled", np.random.default_rng(0))

        ways = {
            "neurons": (partial(products, weights, rows), partial(of_neurons, weights, rows)),
            "dense network": (partial(forward, weights, rows, "relu"), partial(of_network, weights, rows)),
        }
        for what, (product, own) in ways.items():
            seconds = in_turns({"product": product, "ours": own}, repetitions)
            each = {name: 1e9 * value / width / len(rows) for name, value in seconds.items()}
            ratio = each["product"] / each["ours"]
            print(f"| {what} | {width:,} | {each['product']:.1f} | {each['ours']:.1f} | {ratio:.2f} |")


def densities(iterations: int, repetitions: int) -> None:
    print("\n| non-zero inputs | in fours, ms per iteration | in pairs, without zeros | ratio |\n|---|---|---|---|")
    generator, width = np.random.default_rng(0), 5000
    targets = (generator.random(2000) < 0.5).astype(np.float32)
    weights = initial_weights(width, 784, "scaled", generator)
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        rows = (generator.random((2000, 784)) * (generator.random((2000, 784)) < share)).astype(np.float32)
        dense, few = (InBlocks(weights, passes.Inputs(rows, sparse), "relu") for sparse in (False, True))
        ways = {
            "dense": partial(ours, dense, width, targets, iterations),
            "sparse": partial(ours, few, width, targets, iterations),
        }
        seconds = {name: 1e3 * value / iterations for name, value in in_turns(ways, repetitions).items()}
        ratio = seconds["dense"] / seconds["sparse"]
        print(f"| {share:.0%} | {seconds['dense']:.1f} | {seconds['sparse']:.2f} | {ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", metavar="DATA_DIR", required=True, help="folder of torchvision's MNIST")
    parser.add_argument("--widths", type=int, nargs="+", default=[2000, 5000, 10000, 20000])
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--densities", action="store_true")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with limited_threads(1):
        if arguments.densities:
            densities(arguments.iterations, arguments.repetitions)
            return
        training(arguments.mnist, arguments.widths, arguments.iterations, arguments.repetitions)
        outputs(arguments.mnist, arguments.widths, arguments.repetitions)


if __name__ == "__main__":
    main()
