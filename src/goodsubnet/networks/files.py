"""Deep networks as tensors of a file, shrunk or not: what is needed to rebuild one is in the file itself.

"weights.<name>" are the tensors of the network's state, "description" is a `Description`, JSON as bytes. Tensors of
other names (an optimiser's, a selection's) are left alone.
"""

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import numpy as np
import torch
from torch import Tensor, nn

from goodsubnet.errors import UserError
from goodsubnet.networks.deep import ImageClassifier, build
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.artifacts import Json

_WEIGHTS = "weights."


class LayerDescription(TypedDict):
    """What pruning did to a layer: as `pruning.layerwise.LayerRecord`, arrays as lists."""

    name: str
    channels: int
    kept: list[int]
    gains: list[float]
    steps: int
    losses: list[float]
    accuracy_before: float
    accuracy_after: float
    evaluations: int
    considered: int
    complete: bool


class PruningDescription(TypedDict):
    tolerance: float | None
    layers: list[LayerDescription]


class Description(TypedDict):
    """What rebuilds a network: architecture, as `networks.deep.build` takes it; image: [C, H, W]."""

    architecture: Mapping[str, Json]
    classes: int
    image: list[int]
    pruning: NotRequired[PruningDescription]


def encode(network: ImageClassifier, description: Description) -> dict[str, np.ndarray]:
    """The tensors of a network, copied to the CPU; `decode` reads them."""
    tensors = {_WEIGHTS + name: tensor.cpu().numpy().copy() for name, tensor in network.state_dict().items()}
    text = json.dumps(description, sort_keys=True)
    return {**tensors, "description": np.frombuffer(text.encode(), np.uint8)}


def decode(tensors: Mapping[str, np.ndarray]) -> tuple[ImageClassifier, Description]:
    """The network, in evaluation mode on the CPU, and its description.

    Every convolution, batch norm and linear layer takes the shape of its stored weights.
    Raises UserError if the tensors are not those of one network.
    """
    if "description" not in tensors:
        raise UserError("no deep network in this file; give a checkpoint or a subnetwork of a deep network")
    weights = {
        # A copy: tensors may be mapped from a file, read-only.
        name.removeprefix(_WEIGHTS): torch.tensor(tensor)
        for name, tensor in tensors.items()
        if name.startswith(_WEIGHTS)
    }
    try:
        description = cast(Description, json.loads(np.asarray(tensors["description"], np.uint8).tobytes()))
        mean, std = weights["mean"].flatten().tolist(), weights["std"].flatten().tolist()
        with torch.random.fork_rng(devices=[]):
            network = build(description["architecture"], description["classes"], mean, std)
        state = network.state_dict()
        if different := sorted(state.keys() ^ weights.keys()):
            raise ValueError(f"its architecture or the file lacks the tensor {different[0]}")
        _fit(network, weights)
        # Into the network's own dictionary, which records the version of some modules.
        state.update(weights)
        network.load_state_dict(state, assign=True)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the network in this file cannot be rebuilt ({reason}); make the file again") from None
    return network.eval(), description


def load_network(path: str | Path) -> ImageClassifier:
    """The network in a file, in evaluation mode on the CPU. Errors as `load`."""
    return load(path)[0]


def load(path: str | Path) -> tuple[ImageClassifier, Description]:
    """The network in a file, and its description. The file's hash is not compared with its sidecar.

    Raises UserError if there is no such file, or no deep network in it.
    """
    try:
        tensors = artifacts.map_tensors(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; give a checkpoint or a subnetwork of a deep network") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from None
    try:
        return decode(tensors)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _fit(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give tensors and sizes of the layers the shapes of the stored weights."""
    for prefix, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            continue
        for name, tensor in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False)):
            stored = weights[f"{prefix}.{name}"]
            if stored.shape != tensor.shape and tensor.ndim > 0:
                shaped = torch.empty_like(stored)
                setattr(module, name, nn.Parameter(shaped) if isinstance(tensor, nn.Parameter) else shaped)
        if isinstance(module, nn.Conv2d):
            outputs, inputs_of_a_group = module.weight.shape[:2]
            if module.groups == module.in_channels > 1:
                # Depthwise: as many groups as channels.
                module.groups = outputs * module.in_channels // module.out_channels
            module.in_channels, module.out_channels = inputs_of_a_group * module.groups, outputs
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = len(cast(Tensor, module.running_mean))
        else:
            module.out_features, module.in_features = module.weight.shape
