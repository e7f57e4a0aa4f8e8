"""Algorithm 2 with two workers and more against one worker, side by side in one run, one thread each.

    python benchmarks/distributed.py                     images of noise, a network at initialisation
    python benchmarks/distributed.py --mnist DATA_DIR    real MNIST, a network after so many iterations

5,000 examples, 20,000 neurons, 200 steps. The outputs of the neurons are computed before, each worker holds its share;
repetitions take turns, medians are reported. All numbers of workers must choose the same neurons.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from selection import data, train


def worker(rank, folder, arguments):
    """One of the processes; the first prints what came out."""
    import torch
    from torch import distributed

    from goodsubnet.runtime.group import Workers, patience
    from goodsubnet.runtime.workers.turns import in_turns
    from goodsubnet.selection.forward import greedy_forward_selection

    size = max(arguments.workers)
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), size)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=patience())
    outputs, labels = np.load(folder / "outputs.npy", mmap_mode="r"), np.load(folder / "labels.npy")
    for loss in arguments.losses:
        targets = labels.astype(np.float64) if loss == "logistic" else 2.0 * labels - 1
        shares, chosen = {}, {}

        def select(workers, loss=loss, targets=targets, shares=shares, chosen=chosen):
            neurons = np.arange(len(outputs))
            cuts = [len(outputs) * part // workers.size for part in (workers.rank, workers.rank + 1)]
            own = neurons[slice(*cuts)]
            if workers.size not in shares:
                shares[workers.size] = np.array(outputs[slice(*cuts)])
            together = {} if workers.size == 1 else {"workers": workers, "neurons": own}
            columns = shares[workers.size].T
            found = greedy_forward_selection(columns, targets, arguments.steps, loss, threads=1, **together)
            chosen[workers.size] = found.neurons.tolist()

        rows = in_turns(Workers(rank, size, arguments.graph), arguments.workers, arguments.repeat, select)
        assert all(neurons == chosen[max(chosen)] for neurons in chosen.values())
        if rank == 0:
            report(rows, loss, arguments)
    distributed.destroy_process_group()


def report(rows, loss, arguments):
    medians = {
        size: {
            name: np.median([row[name] for row in rows if row["workers"] == size])
            for name in ("seconds", "communication", "waiting", "messages", "bytes")
        }
        for size in arguments.workers
    }
    cores = len(os.sched_getaffinity(0))
    for size, each in medians.items():
        print(
            f"{loss:8} {size} workers{' (more than cores)' if size > cores else '':18} {each['seconds']:6.2f} s"
            f"  ratio {medians[1]['seconds'] / each['seconds']:5.2f}"
            f"  communication {each['communication'] / each['seconds']:6.1%}"
            f"  waiting {each['waiting'] / each['seconds']:6.1%}"
            f"  {int(each['messages']):,} messages, {each['bytes'] / 1e6:.2f} MB",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", help="a folder with MNIST in torchvision's layout")
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--neurons", type=int, default=20000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=0, help="of training before")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--graph", default="all", choices=("all", "ring", "tree"))
    parser.add_argument("--losses", nargs="+", default=["logistic", "squared"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--process", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.process:
        worker(int(arguments.process[0]), Path(arguments.process[1]), arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        inputs, labels = data(arguments)
        np.save(Path(folder, "outputs.npy"), train(inputs, labels, arguments.neurons, arguments.iterations))
        np.save(Path(folder, "labels.npy"), labels)
        environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen([sys.executable, *sys.argv, "--process", str(rank), folder], env=environment)
            for rank in range(max(arguments.workers))
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            sys.exit("a worker failed")


if __name__ == "__main__":
    main()
