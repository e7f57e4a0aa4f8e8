"""Greedy selection in a layer of a deep network against the plain procedure, side by side in one run.

    python benchmarks/layers.py            MobileNetV2 and ResNet34 (CIFAR form), an early, a middle and a late layer
    python benchmarks/layers.py --quick    16 x 16 images, mini-batches of 32, fewer steps
    python benchmarks/layers.py --agreement 60    how often `ranked` chooses what `exact` chooses, over so many steps

The plain procedure is that of the public code of Ye et al.: a whole forward pass for each candidate, with the mask
hooked to the consumer's input, float32. Near-ties of its losses are decided in float64, as in ours, untimed. All see
the same candidates and mini-batches; `exact` must choose what it chooses, or, where only some of many candidates were
timed, have the same losses there. What is timed are steps with `--at` channels chosen, a state that our selection
passed through. The networks are trained here for `--iterations` iterations on the digits of scikit-learn, coloured and
moved.
"""

import argparse
import time

import numpy as np
import torch
from torch.nn import functional

from goodsubnet.networks.deep import build
from goodsubnet.networks.layers import SplitNetwork, prunable_layers
from goodsubnet.selection.layers import FIRST_RANKED_STEP, SLACK, CandidateLosses, choose, draw_candidates

CLASSES = 10


def digits(size, seed=0):
    """5,391 images (3, size, size) in [0, 1] and their labels."""
    from sklearn.datasets import load_digits

    source, rng = load_digits(), np.random.default_rng(seed)
    pick = rng.integers(0, len(source.images), 3 * len(source.images))
    small = torch.from_numpy(source.images[pick]).float()[:, None] / 16
    small = functional.interpolate(small, size=3 * size // 4, mode="bilinear").numpy()
    images = 0.1 * rng.normal(size=(len(pick), 3, size, size)) + 0.4 * rng.random((len(pick), 3, 1, 1))
    colours = 0.4 + 0.6 * rng.random((len(pick), 3, 1, 1))
    for image, digit, colour in zip(images, small, colours, strict=True):
        top, left = rng.integers(0, size // 4 + 1, 2)
        image[:, top : top + digit.shape[1], left : left + digit.shape[2]] += colour * digit
    return torch.from_numpy(images.clip(0, 1).astype(np.float32)), torch.from_numpy(source.target[pick])


def trained(name, images, labels, iterations, seed=0):
    torch.manual_seed(seed)
    architecture = {"architecture": name, "form": "cifar", "width_multiplier": 1.0}
    network = build(architecture, CLASSES, [0.5] * 3, [0.3] * 3).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=iterations)
    rng = np.random.default_rng(seed)
    for _ in range(iterations):
        batch = rng.integers(0, len(images), 64)
        loss = functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        accuracy = (network(images[:256]).argmax(1) == labels[:256]).float().mean().item()
    print(f"{name}: {iterations} iterations, accuracy {accuracy:.2f}", flush=True)
    return network


def plain_losses(network, layer, images, labels, counts, candidates):
    """Loss and accuracy with each candidate added: a whole forward pass each."""
    values, accuracies = [], []
    for channel in candidates.tolist():
        gains = counts.astype(float)
        gains[channel] += 1
        factors = torch.from_numpy(gains * len(gains) / gains.sum()).float().view(-1, 1, 1)
        consumer = network.get_submodule(layer.consumer)
        hook = consumer.register_forward_pre_hook(lambda _, inputs, by=factors: (inputs[0] * by,))
        logits = network(images)
        hook.remove()
        values.append(functional.cross_entropy(logits.double(), labels).item())
        accuracies.append((logits.argmax(1) == labels).double().mean().item())
    return np.array(values), np.array(accuracies)


def batch_of(images, labels, size, step):
    indices = np.random.default_rng([7, step]).choice(len(images), size, replace=False)
    return images[indices], labels[indices]


def state_at(losses, images, labels, channels, size, steps):
    """How often each channel was chosen after so many steps of 16 candidates each, and their predicted positions."""
    counts, positions = np.zeros(channels, np.int64), []
    for step in range(1, steps + 1):
        losses.start(*batch_of(images, labels, min(size, 64), step), counts)
        found = choose(losses, draw_candidates(counts, 16, True, ("state",), step), "ranked", step, positions)
        counts[found.channel] += 1
        positions.append(found.position)
    return counts, positions


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def compare(network, layer, images, labels, arguments):
    losses = CandidateLosses(SplitNetwork(network, layer))
    counts, positions = state_at(losses, images, labels, layer.channels, arguments.batch_size, arguments.at)
    for candidates in arguments.candidates:
        count = candidates or layer.channels
        seconds = {"plain": [], "exact": [], "ranked": []}
        evaluations = []
        for step in range(arguments.at + 1, arguments.at + 1 + arguments.steps):
            drawn = draw_candidates(counts, candidates, True, ("benchmark",), step)
            batch = batch_of(images, labels, arguments.batch_size, step)
            # Its time does not depend on which candidates they are: of many, some are timed.
            some = drawn if len(drawn) <= arguments.plain else drawn[:: -(-len(drawn) // arguments.plain)]
            values, spent = timed(plain_losses, network, layer, *batch, counts, some)
            seconds["plain"].append(spent * len(drawn) / len(some))
            chosen = {}
            for search in ("exact", "ranked"):

                def one_step(search=search, step=step, drawn=drawn, batch=batch):
                    losses.start(*batch, counts)
                    return choose(losses, drawn, search, step, positions)

                chosen[search], spent = timed(one_step)
                seconds[search].append(spent)
            evaluations.append(chosen["ranked"].evaluations)
            if len(some) == len(drawn):
                near = drawn[values <= values.min() * (1 + SLACK)]
                best = near[np.argmin(losses.in_double(near)[0])]
                assert best == chosen["exact"].channel, (layer, step)
            else:
                ours, _ = losses.of(some)
                np.testing.assert_allclose(ours, values, rtol=1e-5)
            if chosen["ranked"].channel != chosen["exact"].channel:
                print(f"  ranked chose another channel at step {step}: {chosen}")
        medians = {name: np.median(values) for name, values in seconds.items()}
        print(
            f"  {layer.name:24} {layer.channels:4} channels, {count:4} candidates | seconds per step: plain"
            f" {medians['plain']:7.2f}  exact {medians['exact']:6.2f}  ranked {medians['ranked']:6.2f}"
            f" ({np.mean(evaluations):.1f} evaluated) | ratio exact {medians['plain'] / medians['exact']:5.1f}"
            f"  ranked {medians['plain'] / medians['ranked']:5.1f}",
            flush=True,
        )


def agreement(network, layer, images, labels, arguments):
    """`ranked` and `exact` from the same states, from the first step that is ranked."""
    losses = CandidateLosses(SplitNetwork(network, layer))
    first = FIRST_RANKED_STEP
    counts, positions = state_at(losses, images, labels, layer.channels, arguments.batch_size, first - 1)
    agreed = evaluated = considered = steps = 0
    excess, began = [], time.perf_counter()
    for step in range(first, first + arguments.agreement):
        drawn = draw_candidates(counts, 50, True, ("agreement",), step)
        losses.start(*batch_of(images, labels, arguments.batch_size, step), counts)
        exact, ranked = (choose(losses, drawn, s, step, positions) for s in ("exact", "ranked"))
        agreed += exact.channel == ranked.channel
        excess.append(ranked.loss / exact.loss - 1)
        evaluated, considered, steps = evaluated + ranked.evaluations, considered + len(drawn), steps + 1
        counts[exact.channel] += 1
        positions.append(ranked.position)
        if time.perf_counter() - began > arguments.seconds:
            break
    print(
        f"  {layer.name:24} {layer.channels:4} channels: agreed in {agreed} of {steps} steps, evaluated"
        f" {evaluated / considered:.0%}; largest excess of a loss {max(excess):.2%}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["mobilenet_v2", "resnet34"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--at", type=int, default=40, help="channels chosen before the steps that are timed")
    parser.add_argument("--steps", type=int, default=3, help="steps timed; medians are reported")
    parser.add_argument("--plain", type=int, default=50, help="of the candidates, timed at most")
    parser.add_argument("--candidates", type=int, nargs="+", default=[50, 0], help="in a step; 0: all")
    parser.add_argument("--agreement", type=int, default=0, help="compare the choices over so many steps instead")
    parser.add_argument("--seconds", type=float, default=20, help="at most, for a layer's agreement")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.batch_size, arguments.size, arguments.iterations = 32, 16, 120
        arguments.at, arguments.steps, arguments.plain = 20, 2, 6
    arguments.candidates = [count or None for count in arguments.candidates]
    torch.set_num_threads(1)
    print(
        "predicted ratio of ranked, all candidates: early 8, middle 20, late over 100; 50 candidates: early 6, "
        "middle 12, late 50"
    )
    images, labels = digits(arguments.size)
    for name in arguments.networks:
        network = trained(name, images, labels, arguments.iterations)
        layers = prunable_layers(network)
        with torch.no_grad():
            for layer in (layers[1], layers[len(layers) // 2], layers[-2]):
                (agreement if arguments.agreement else compare)(network, layer, images, labels, arguments)


if __name__ == "__main__":
    main()
