"""The exact diameter of the neurons' outputs against one matrix product of that size.

    python benchmarks/diameter.py [--neurons 20000] [--examples 5000]

The product is that of all pairs of neurons in float32, in blocks that are not kept; it and the diameter alternate.
Three kinds of outputs: those of a network at initialisation; with a few strong neurons, as in trained networks; and
neurons that all lie equally far out, where no pair can be left out. Peak memory is that of the whole process.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from goodsubnet.networks.two_layer import initial_weights, neuron_outputs
from goodsubnet.theory.geometry import diameter, variance

BLOCK = 2000


def outputs_of(kind: str, examples: int, neurons: int) -> np.ndarray:
    """(examples, neurons) float32, laid out neuron by neuron as the networks give them."""
    generator = np.random.default_rng(0)
    if kind == "equally far":
        rows = generator.standard_normal((neurons, examples), np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows.T
    weights = initial_weights(neurons, 784, "scaled", generator)
    if kind == "few strong":
        weights["b"] *= np.exp(generator.standard_normal(neurons)).astype(np.float32)
    return neuron_outputs(weights, generator.random((examples, 784), np.float32), "relu")


def product(outputs: np.ndarray) -> None:
    rows = outputs.T
    for start in range(0, len(rows), BLOCK):
        rows[start : start + BLOCK] @ outputs


def seconds(call: Callable, *arguments: np.ndarray) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--neurons", type=int, default=20_000)
    arguments.add_argument("--examples", type=int, default=5_000)
    arguments.add_argument("--repetitions", type=int, default=1)
    args = arguments.parse_args()
    print("outputs        threads   product, s   diameter, s   ratio   variance, s")
    for kind in ("initialisation", "few strong", "equally far"):
        outputs = outputs_of(kind, args.examples, args.neurons)
        for threads in (1, 2):
            with threadpool_limits(threads):
                times = [
                    [seconds(call, outputs) for call in (product, diameter, variance)] for _ in range(args.repetitions)
                ]
            plain, ours, spread = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(b / a for a, b, _ in times)
            print(f"{kind:14} {threads:7} {plain:12.2f} {ours:13.2f} {ratio:7.2f} {spread:13.2f}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB, of which the outputs {outputs.nbytes / 2**30:.2f}")


if __name__ == "__main__":
    main()
