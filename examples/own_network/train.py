"""A training loop of one's own: plain torch, which saves the state of the network now and then.

It trains on the same images as the chain: the sub-datasets that `snakemake subset_all` has drawn. That is not for the
chain's sake, which takes any checkpoint that fits; it keeps the test images unseen, and the comparison fair.
"""

import argparse
from pathlib import Path

import torch
from network import build
from safetensors.torch import load_file
from torch.nn import functional

CHECKPOINTS = [0, 20, 60, 200]

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--results", type=Path, default=Path("results"), help="results_dir of own.yaml")
arguments.add_argument("--output", type=Path, default=Path("results/own_loop"), help="where the checkpoints go")
arguments.add_argument("--checkpoints", type=int, nargs="+", default=CHECKPOINTS, help="iterations")
args = arguments.parse_args()

torch.set_num_threads(1)
data = load_file(args.results / "data/digits/images.safetensors")
for path in sorted(args.results.glob("own_here/subset/examples-*/seed-*.safetensors")):
    examples, seed = (int(part.split("-")[1].split(".")[0]) for part in path.parts[-2:])
    indices = load_file(path)["indices"]
    # Pixels in [0, 1], and then this loop's own normalisation: `mean: [0.5]`, `std: [0.5]` in own.yaml.
    images = (data["train_images"][indices] / data["pixel_max"] - 0.5) / 0.5
    labels = data["train_labels"][indices]

    torch.manual_seed(seed)
    network = build(classes=10, channels=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    folder = args.output / f"examples-{examples}/seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for iteration in range(max(args.checkpoints) + 1):
        if iteration in args.checkpoints:
            torch.save(network.state_dict(), folder / f"iteration-{iteration}.pt")
        batch = torch.randint(len(labels), (64,))
        optimizer.zero_grad()
        functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()
    print(f"{folder}: {args.checkpoints}")
