"""What a network costs: multiply-adds, parameters, seconds."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from goodsubnet.data.randomness import random_generator
from goodsubnet.networks.deep import evaluating, zero_images


def complexity(network: nn.Module, image: Sequence[int]) -> dict[str, int]:
    """Multiply-adds of one image and number of parameters: {"multiply_adds": ..., "parameters": ...}.

    image: (C, H, W). Convolutions and matrix products are counted, as the field does; norms, activations and pooling
    are not.
    """
    with evaluating(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(zero_images(network, image))
    # torch counts a multiplication and an addition as two.
    return {
        "multiply_adds": counter.get_total_flops() // 2,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def latency(
    networks: Mapping[str, nn.Module],
    image: Sequence[int],
    batch_size: int,
    device: torch.device | str,
    repeats: int = 10,
    seconds: float = 5.0,
) -> dict[str, float]:
    """Median seconds that each network takes for a batch, in evaluation mode; the networks are moved to `device`.

    image: (C, H, W). The networks take turns, and each round begins with another one, so that whatever else the machine
    does affects all of them alike. Measures at least `repeats` rounds, and more until `seconds` have passed, after an
    unmeasured round.
    """
    device = torch.device(device)
    pixels = random_generator("latency").random((batch_size, *image), dtype=np.float32)
    images = torch.from_numpy(pixels).to(device)
    turns = list(networks)
    taken: dict[str, list[float]] = {name: [] for name in networks}

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def measure(name: str) -> float:
        wait()
        began = time.perf_counter()
        networks[name](images)
        wait()
        return time.perf_counter() - began

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        for network in networks.values():
            stack.enter_context(evaluating(network.to(device)))
        for name in turns:
            measure(name)
        began, rounds = time.perf_counter(), 0
        while rounds < repeats or time.perf_counter() - began < seconds:
            for name in turns:
                taken[name].append(measure(name))
            turns.append(turns.pop(0))
            rounds += 1
    return {name: float(np.median(values)) for name, values in taken.items()}
