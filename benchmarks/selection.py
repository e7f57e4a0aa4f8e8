"""Greedy selection against Algorithm 1 as written, side by side in one run.

    python benchmarks/selection.py                     synthetic two-layer network
    python benchmarks/selection.py --mnist DATA_DIR    real MNIST (torchvision's layout), digit < 5 against the rest
    python benchmarks/selection.py --memory            50,000 x 20,000 float32 within 6 GB

Algorithm 1 as written is a Python loop over the candidates, each one torch loss (float32). It is timed on a few of the
steps (`--plain-steps`, spread over the run, at the states our selection passed through) and scaled to all of them; at
these steps both must choose the same neuron, but where float32 itself cannot tell two candidates apart: such steps are
counted. Repetitions alternate between the two; medians are reported.
"""

import argparse
import resource
import time

import numpy as np


def train(inputs, labels, neurons, iterations, rate=0.02, seed=0):
    """Neuron outputs (neurons, examples) float32 of a two-layer ReLU network after SGD, batch 128, rate per neuron."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels).float()
    features = x.shape[1]
    first = torch.randn(neurons, features, generator=generator) / features**0.5
    last = torch.randn(neurons, generator=generator)
    done = 0
    while done < iterations:
        for batch in torch.randperm(len(x), generator=generator).split(128)[: iterations - done]:
            hidden = torch.relu(x[batch] @ first.T)
            miss = (torch.sigmoid(hidden @ last / neurons) - y[batch]) / len(batch)
            back = (hidden > 0) * (miss[:, None] * last)
            first, last = first - rate * (back.T @ x[batch]), last - rate * (hidden.T @ miss)
            done += 1
    return (torch.relu(x @ first.T) * last).T.contiguous().numpy()


def data(arguments):
    """Inputs (examples, features) float32 in [0, 1] and labels 0 or 1."""
    count = arguments.examples
    if arguments.mnist:
        from torchvision.datasets import MNIST

        mnist = MNIST(arguments.mnist, train=True)
        of_digit = [np.flatnonzero(mnist.targets.numpy() == digit)[: -(-count // 10)] for digit in range(10)]
        chosen = np.concatenate(of_digit)[:count]
        images = mnist.data.numpy()[chosen].reshape(len(chosen), -1).astype(np.float32) / 255
        return images, (mnist.targets.numpy()[chosen] < 5).astype(np.int64)
    rng = np.random.default_rng(0)
    centres = rng.random((10, 64))
    kind = rng.integers(0, 10, count)
    inputs = np.clip(centres[kind] + 0.35 * rng.normal(size=(count, 64)), 0, 1).astype(np.float32)
    return inputs, (kind < 5).astype(np.int64)


def plain_step(rows, total, y, step, loss):
    """One step of Algorithm 1 as written: the mean loss of every candidate."""
    import torch.nn.functional as F

    if loss == "squared":
        return [F.mse_loss((total + phi) / step, y).item() / 2 for phi in rows]
    return [F.binary_cross_entropy_with_logits((total + phi) / step, y).item() for phi in rows]


def compare(outputs, labels, loss, arguments, threads):
    import torch

    from goodsubnet.selection.forward import greedy_forward_selection, search_for
    from goodsubnet.selection.losses import mean_loss

    torch.set_num_threads(threads)
    targets = labels.astype(np.float64) if loss == "logistic" else 2.0 * labels - 1
    rows, y = torch.from_numpy(outputs), torch.from_numpy(targets).float()
    neurons, examples = outputs.shape
    chosen = greedy_forward_selection(outputs.T, targets, arguments.steps, loss, threads=threads).neurons
    totals = np.cumsum(outputs[chosen].astype(np.float64), axis=0)
    checked = np.unique(np.linspace(1, arguments.steps - 1, arguments.plain_steps).astype(int))

    ours, plain, unsure = [], [], 0
    for repetition in range(arguments.repetitions):
        start = time.perf_counter()
        greedy_forward_selection(outputs.T, targets, arguments.steps, loss, threads=threads)
        ours.append(time.perf_counter() - start)
        spent = 0.0
        for step in checked:
            total = torch.from_numpy(totals[step - 1]).float()
            start = time.perf_counter()
            losses = plain_step(rows, total, y, step + 1, loss)
            best = int(np.argmin(losses))
            spent += time.perf_counter() - start
            if best != chosen[step] and repetition == 0:
                exact = [
                    mean_loss((totals[step - 1] + outputs[n]) / (step + 1), targets, loss) for n in (best, chosen[step])
                ]
                assert 0 <= exact[0] - exact[1] <= 1e-6 * exact[1], (loss, step, best, chosen[step], exact)
                unsure += 1
        plain.append(spent * arguments.steps / len(checked))
    ours_s, plain_s = np.median(ours), np.median(plain)
    work = neurons * examples * arguments.steps / 1e9
    print(
        f"{loss:9} threads {threads}  plain {plain_s:7.2f} s ({plain_s / work:5.2f} ns)  ours {ours_s:6.3f} s"
        f" ({ours_s / work:6.4f} ns a candidate-example)  ratio {plain_s / ours_s:6.1f}"
        f"  distinct {len(set(chosen.tolist()))}, float32 undecided {unsure} of {len(checked)}",
        flush=True,
    )
    if loss == "logistic" and threads == 1:
        search = search_for(outputs.T, targets, loss)
        for _ in range(arguments.steps):
            search.add(search.best())
        shares = {name: count / (neurons * arguments.steps) for name, count in search.counts.items()}
        print("          evaluated, of all candidates: " + ", ".join(f"{n} {s:.3%}" for n, s in shares.items()))


def memory(arguments):
    """50,000 x 20,000 float32 outputs made in place, a few steps of both losses, and the peak of this process."""
    from goodsubnet.selection.forward import greedy_forward_selection

    examples, neurons = 50_000, 20_000
    rng = np.random.default_rng(0)
    outputs = np.empty((neurons, examples), np.float32)
    signal = rng.normal(size=examples).astype(np.float32)
    for row in outputs:
        rng.standard_normal(dtype=np.float32, out=row)
        row += rng.normal() * signal
        np.maximum(row, 0, out=row)
        row *= 5 * rng.normal()
    labels = (signal > 0).astype(np.float64)
    for loss, targets in (("squared", 2 * labels - 1), ("logistic", labels)):
        start = time.perf_counter()
        found = greedy_forward_selection(outputs.T, targets, arguments.memory_steps, loss)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{loss:9} {len(found.neurons)} steps {seconds:.1f} s, peak {peak:.2f} GiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="DATA_DIR", help="folder of torchvision's MNIST")
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 1000, 4000])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--plain-steps", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--memory", action="store_true", help="measure peak memory instead")
    parser.add_argument("--memory-steps", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments)
        return
    inputs, labels = data(arguments)
    for iterations in arguments.iterations:
        outputs = train(inputs, labels, arguments.neurons, iterations)
        print(f"after {iterations} iterations: {len(inputs)} x {arguments.neurons}, {arguments.steps} steps")
        for loss in ("squared", "logistic"):
            for threads in arguments.threads:
                compare(outputs, labels, loss, arguments, threads)


if __name__ == "__main__":
    main()
