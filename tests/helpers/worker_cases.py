"""What each of four processes computes for test_distributed.py: selections by one to four of them, over every graph."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from layer_networks import batches_of, never, small_network
from torch import distributed

from goodsubnet.networks.layers import SplitNetwork, prunable_layers
from goodsubnet.runtime.group import Workers, patience
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.selection.layers import greedy_layer_selection

PROCESSES = 4
GRAPHS = ("all", "ring", "tree")
LOSSES = ("squared", "logistic")
STEPS = 8


def problem(kind: str, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets. `ties`: integers, with copies of neurons far apart; `close`: columns that almost agree."""
    rng = np.random.default_rng([len(kind), len(loss)])
    examples, neurons = 60, 37
    if kind == "ties":
        outputs = rng.integers(-1, 2, (examples, 9)).astype(np.float32)[:, rng.integers(0, 9, neurons)]
    else:
        outputs = np.maximum(rng.normal(size=(examples, 6)) @ rng.normal(size=(6, neurons)), 0) * rng.normal(
            size=neurons
        )
        if kind == "close":
            outputs[:, 20:] = outputs[:, :17] * (1 + 1e-7 * rng.normal(size=17))
    outputs = np.asfortranarray(outputs, np.float64 if kind == "double" else np.float32)
    y = rng.integers(0, 2, examples).astype(float)
    return outputs, y if loss == "logistic" else 2 * y - 1


KINDS = ("plain", "double", "ties", "close")


def splits(neurons: int, size: int) -> dict[str, list[list[int]]]:
    """Ways to split the neurons over workers."""
    order = np.random.default_rng(size).permutation(neurons).tolist()
    return {
        "contiguous": [list(range(neurons * rank // size, neurons * (rank + 1) // size)) for rank in range(size)],
        "every": [list(range(rank, neurons, size)) for rank in range(size)],
        "drawn": [sorted(order[neurons * rank // size : neurons * (rank + 1) // size]) for rank in range(size)],
        "uneven": [[rank] for rank in range(1, size)] + [[0, *range(size, neurons)]],
    }


def select(rank: int, workers: list[Workers | None]) -> dict[str, object]:
    """The neurons of every case that this process takes part in, and what it received in a step of them."""
    found: dict[str, object] = {}
    for size, graph, loss, kind in ((s, g, lo, k) for s in range(1, 5) for g in GRAPHS for lo in LOSSES for k in KINDS):
        worker = workers[(size - 1) * len(GRAPHS) + GRAPHS.index(graph)]
        if worker is None:
            continue
        outputs, targets = problem(kind, loss)
        for name, split in splits(outputs.shape[1], size).items():
            own = np.array(split[rank])
            before = (worker.traffic.messages, worker.traffic.bytes)
            selection = greedy_forward_selection(
                np.asfortranarray(outputs[:, own]), targets, STEPS, loss, threads=1, workers=worker, neurons=own
            )
            found[f"{size} {graph} {loss} {kind} {name}"] = {
                "neurons": selection.neurons.tolist(),
                "losses": selection.losses.tolist(),
                "messages": worker.traffic.messages - before[0],
                "bytes": worker.traffic.bytes - before[1],
            }
    return found


def select_channels(rank: int, workers: list[Workers | None]) -> dict[str, object]:
    """The same for the channels of a layer."""
    found: dict[str, object] = {}
    network = small_network()
    for worker in filter(None, workers):
        for index, layer in enumerate(prunable_layers(network)):
            for search in ("exact", "ranked"):
                before = worker.traffic.bytes
                split = SplitNetwork(network, layer)
                chosen = greedy_layer_selection(split, batches_of(), never, search=search, max_steps=11, workers=worker)
                found[f"{worker.size} {worker.graph} {index} {search}"] = {
                    "channels": chosen.channels.tolist(),
                    "losses": chosen.losses.tolist(),
                    "counts": [chosen.evaluations, chosen.considered],
                    "bytes": worker.traffic.bytes - before,
                }
    return found


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), PROCESSES)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES, timeout=patience())
    workers = []
    for size in range(1, PROCESSES + 1):
        for graph in GRAPHS:
            group = distributed.new_group(list(range(size)))
            workers.append(Workers(rank, size, graph, group=group) if rank < size else None)
    found = {"neurons": select(rank, workers), "channels": select_channels(rank, workers)}
    (folder / f"found-{rank}.json").write_text(json.dumps(found))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
