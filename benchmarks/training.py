"""Pre-training deep networks: ours beside the plain loop (float32, DataLoader, torchvision's transforms), in one run.

    python benchmarks/training.py                          MobileNetV2 of a quarter of the width, one thread, on a CPU
    python benchmarks/training.py --network resnet34 --device cuda --iterations 200

Images are random bytes of CIFAR-10's size: how fast they train does not depend on what they show.
"""

import argparse
import itertools
import statistics
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from goodsubnet.data.batches import ResidentImages
from goodsubnet.data.randomness import random_generator
from goodsubnet.networks.deep import initial_network
from goodsubnet.runtime.devices import Device
from goodsubnet.training.fitting import Fit
from goodsubnet.training.loop import prepare_torch

BATCH = 128
MEAN, STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]
NETWORKS = {
    "mobilenet_v2_thin": {"architecture": "mobilenet_v2", "form": "cifar", "width_multiplier": 0.25},
    "mobilenet_v2": {"architecture": "mobilenet_v2", "form": "cifar", "width_multiplier": 1.0},
    "resnet34": {"architecture": "resnet34", "form": "cifar", "width_multiplier": 1.0},
    "resnet20": {"architecture": "resnet20", "form": "cifar", "width_multiplier": 1.0},
}


class Pictures(Dataset):
    """As torchvision.datasets.CIFAR10: an image, transformed, and its class."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        steps = [transforms.ToPILImage(), transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose([*steps, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), int(self.labels[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="mobilenet_v2_thin")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="of the plain loop's DataLoader")
    parser.add_argument("--iterations", type=int, default=8, help="of each repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    prepare_torch(Device(args.device, args.device, args.device), args.threads, deterministic=False)
    generator = random_generator("benchmark", "training")
    images = generator.integers(0, 256, (50_000, 32, 32, 3), np.uint8)
    labels = generator.integers(0, 10, 50_000)
    loops = {"plain": plain_loop(args, images, labels), "ours": our_loop(args, images, labels)}
    for loop in loops.values():
        next(loop)
    seconds = {name: [] for name in loops}
    for _ in range(args.repetitions):
        for name, loop in loops.items():
            began = time.perf_counter()
            next(loop)
            seconds[name].append(time.perf_counter() - began)
    speed = {name: args.iterations * BATCH / statistics.median(taken) for name, taken in seconds.items()}
    print(f"{args.network}, {args.device}, {args.threads} threads, batch {BATCH}, torch {torch.__version__}")
    print("predicted: ours at least as fast on a CPU, 3 times as fast on an accelerator")
    for name, rate in speed.items():
        print(f"{name:5} {rate:10,.0f} images a second")
    print(f"ratio {speed['ours'] / speed['plain']:.2f}")


def plain_loop(args, images, labels):
    """Each `next` trains for so many iterations."""
    network = initial_network(NETWORKS[args.network], 10, MEAN, STD, "benchmark", "plain", 0).to(args.device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    data = DataLoader(Pictures(images, labels), BATCH, shuffle=True, num_workers=args.workers, drop_last=True)
    batches = itertools.chain.from_iterable(itertools.repeat(data))
    while True:
        for pictures, classes in itertools.islice(batches, args.iterations):
            loss = torch.nn.functional.cross_entropy(network(pictures.to(args.device)), classes.to(args.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield loss.item()


def our_loop(args, images, labels):
    """The same through the package, as the stage pretrain trains."""
    network = initial_network(NETWORKS[args.network], 10, MEAN, STD, "benchmark", "ours", 0)
    resident = ResidentImages(images.transpose(0, 3, 1, 2), labels, 255, args.device, {"padding": 4, "flip": True})
    settings = {"batch_size": BATCH, "learning_rate": 0.1, "schedule": "constant", "precision": "auto"}
    fit = Fit(network, {}, {**settings, "momentum": 0.9, "weight_decay": 5e-4}, args.device)
    for start in itertools.count(0, args.iterations):
        fit.run(resident, 0, start, start + args.iterations)
        yield None


if __name__ == "__main__":
    main()
