"""Search the learning rate of the paper's sweep on held-out images, and write a table of it.

Held out are 5,000 images of MNIST's training part that are in none of the sub-datasets used here; the test set is not
touched. A rate is judged by the subnetwork, not by the dense network: with a large rate the dense network still learns
while its neurons become so large and correlated that no 200 of them stand for all.

    python studies/learning_rate.py --data-dir data --output docs/learning_rate.csv
"""

import argparse

import numpy as np
import pandas
import torch

from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.labels import group_labels
from goodsubnet.data.loading import load_source
from goodsubnet.data.order import BatchOrder
from goodsubnet.data.randomness import random_generator
from goodsubnet.data.subsets import draw_subset
from goodsubnet.networks.two_layer import (
    forward,
    forward_in_blocks,
    initial_weights,
    neuron_outputs,
    subnetwork_forward,
)
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.training.loop import LOSSES, tensor_batches, train
from goodsubnet.training.losses import accuracy, mean_loss, targets_of

GROUPS = [["0", "1", "2", "3", "4"], ["5", "6", "7", "8", "9"]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data-dir", default="data")
    arguments.add_argument("--output", default="docs/learning_rate.csv")
    arguments.add_argument("--rates", type=float, nargs="+", default=[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    arguments.add_argument("--examples", type=int, nargs="+", default=[5000, 20000])
    arguments.add_argument("--width", type=int, default=1000)
    arguments.add_argument("--iterations", type=int, nargs="+", default=[1000, 4000, 8000])
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--threads", type=int, default=2)
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)

    source = load_source({"source": "mnist"}, args.data_dir)
    classes, names = source["train_labels"], source["class_names"]
    images = network_inputs(source["train_images"], source["pixel_max"], "unit_range")
    targets = targets_of(group_labels(classes, GROUPS, names), "logistic")
    held_out = draw_subset(classes, 5000, args.seed, name="held out for the learning rate")
    rest = np.setdiff1d(np.arange(len(classes)), held_out)

    rows = []
    for examples in args.examples:
        subset = rest[draw_subset(classes[rest], examples, args.seed, name="learning rate")]
        for rate in args.rates:
            for row in trial(images, targets, subset, held_out, rate, args):
                rows.append({"width": args.width, "examples": examples, "learning_rate": rate, **row})
                print(rows[-1], flush=True)
                pandas.DataFrame(rows).to_csv(args.output, index=False, float_format="%.4f")


def trial(images, targets, subset, held_out, rate: float, args):
    """Train with one rate; at each checkpoint prune to 200 steps and measure both networks on the held-out images."""
    weights = initial_weights(args.width, images.shape[1], "scaled", random_generator("learning rate", args.seed))
    parameters = {name: torch.tensor(array).requires_grad_() for name, array in weights.items()}
    inputs, wanted = torch.from_numpy(images[subset]), torch.from_numpy(targets[subset])
    order, start = BatchOrder(args.seed, len(subset), 128), 0
    for stop in args.iterations:
        train(
            torch.optim.SGD(parameters.values(), lr=rate * args.width),
            lambda x, y: LOSSES["logistic"](forward(parameters, x, "relu"), y),
            tensor_batches(inputs, wanted, order, start, stop),
            start,
            stop,
            lambda iteration: None,
        )
        start = stop
        trained = {name: parameter.detach().numpy() for name, parameter in parameters.items()}
        outputs = neuron_outputs(trained, images[subset], "relu")
        selection = greedy_forward_selection(outputs, targets[subset], 200, "logistic", threads=args.threads)
        chosen, counts = np.unique(selection.neurons, return_counts=True)
        small = {name: array[chosen] for name, array in trained.items()}
        pruned = subnetwork_forward(small, (counts / 200).astype(np.float32), images[held_out], "relu")
        dense = forward_in_blocks(trained, images[held_out], "relu")
        yield {
            "iteration": stop,
            "distinct": len(chosen),
            "pruned_train_loss": float(selection.losses[-1]),
            "pruned_held_out_loss": mean_loss(pruned, targets[held_out], "logistic"),
            "pruned_held_out_accuracy": accuracy(pruned, targets[held_out]),
            "dense_held_out_loss": mean_loss(dense, targets[held_out], "logistic"),
            "dense_held_out_accuracy": accuracy(dense, targets[held_out]),
        }


if __name__ == "__main__":
    main()
