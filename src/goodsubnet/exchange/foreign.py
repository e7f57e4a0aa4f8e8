"""Checkpoints that were trained elsewhere: read, compared with a network, and brought into the chain.

What enters the chain is a safetensors file of the network's tensors by their own names, with a sidecar; the stage
`adopt` turns it into a checkpoint of the chain. No pickle is run: torch reads its files with weights_only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.artifacts import Json
from goodsubnet.settings.networks import TwoLayerArchitecture

if TYPE_CHECKING:
    import torch
    from torch import nn

    from goodsubnet.networks.files import Description

Architecture: TypeAlias = TwoLayerArchitecture | Mapping[str, Json]
"""What a network is: for a two-layer one its model, for a deep one what `DeepNetworkSettings.as_architecture` gives."""

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Under which of these keys training scripts store a network's state beside other things."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before the names."""
SHOWN = 3


def checkpoint_tensors(
    path: str | Path,
    architecture: Architecture,
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    image: Sequence[int],
) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint as the chain keeps them: as `networks.files.encode` gives them, or {"a", "b"}.

    path: a state dict saved by torch, a safetensors file of one, or a checkpoint of the chain. architecture: of the
    network. mean, std: by which the images of a deep network are normalised, one per channel. image: (C, H, W).
    Raises UserError naming the file and the tensor that does not fit.
    """
    state, _ = read_state(path)
    if isinstance(architecture, TwoLayerArchitecture):
        return fitted_two_layer(path, state, architecture.width, int(np.prod(image)))
    from goodsubnet.networks import files
    from goodsubnet.networks.deep import build

    description: Description = {"architecture": dict(architecture), "classes": classes, "image": list(image)}
    if "description" in state:
        return _of_the_chain(path, description)
    network = build(architecture, classes, mean, std)
    load_state(path, state, network.network)
    return files.encode(network, description)


def check_imported(path: str | Path, content: bool = True) -> None:
    """Raises UserError where a file is missing, was not imported, or (`content`) is not as it was imported."""
    path, reason = Path(path), None
    if not path.exists():
        reason = f"{path} is missing"
    elif not artifacts.sidecar(path).exists():
        reason = f"{path} was not imported ({artifacts.sidecar(path).name} is missing)"
    elif content:
        try:
            artifacts.verify(path)
        except UserError as error:
            reason = str(error).rpartition(";")[0]
    if reason:
        raise UserError(f"{reason}; bring it in with `goodsubnet import`")


def load_state(path: str | Path, state: Mapping[str, np.ndarray], network: "nn.Module") -> None:
    """Give a network the weights of a state dict, in place. Raises UserError naming the tensor that does not fit."""
    import torch

    own = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    fitted = _fitted(path, state, {name: (array.shape, array.dtype) for name, array in own.items()})
    network.load_state_dict({name: torch.from_numpy(array) for name, array in fitted.items()})


def fitted_two_layer(
    path: str | Path, state: Mapping[str, np.ndarray], width: int, inputs: int | None
) -> dict[str, np.ndarray]:
    """The weights of a two-layer network, {"a": (N, d), "b": (N,)} float32. inputs: d, None where it is not known.

    The tensor `iteration` of a checkpoint of the chain is left out. Raises UserError as `load_state`.
    """
    state = {name: array for name, array in state.items() if name != "iteration"}
    if inputs is None:
        inputs = state["a"].shape[-1] if "a" in state and state["a"].ndim else 0
    single = np.dtype(np.float32)
    return _fitted(path, state, {"a": ((width, inputs), single), "b": ((width,), single)})


def read_state(path: str | Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tensors of a state dict, saved by torch or as safetensors, and what was done to them, in words.

    What wraps a state ({"state_dict": ...}, {"model": ...}) and the prefixes of DataParallel and torch.compile are
    stripped; other precisions become float32. Raises UserError where there is no such file, or more in it than tensors.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a checkpoint") from None
    # A header of safetensors is its length in eight bytes, and JSON.
    state, done = (_read_safetensors(path), []) if start[8:] == b"{" else _read_torch(path)
    # DistributedDataParallel around a compiled network, or the other way round.
    for prefix in PREFIXES * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            done.append(f"prefix {prefix} removed")
    arrays = {}
    for name, tensor in state.items():
        arrays[name], converted = _array(path, name, tensor)
        if converted and converted not in done:
            done.append(converted)
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise UserError(f"{path}: the tensor {name} has values that are not finite; that training diverged")
    return arrays, done


def _read_safetensors(path: Path) -> "dict[str, torch.Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from None


def _read_torch(path: Path) -> "tuple[dict[str, torch.Tensor], list[str]]":
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors, or is no file of torch, and nothing else is read; save the state alone: "
            "torch.save(network.state_dict(), path)"
        ) from None
    # A truncated or foreign file can make it raise many things.
    except Exception as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path} is not a readable file of torch ({reason}); save it again") from None
    done = ["read by torch with weights_only"]
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            done.append(f"taken from under {key}")
    if not isinstance(content, Mapping) or not content:
        raise UserError(
            f"{path} holds no state dict ({type(content).__name__}); save torch.save(network.state_dict(), path)"
        )
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            keys = ", ".join(WRAPPERS)
            raise UserError(
                f"{path}: {name} is {type(value).__name__}, not a tensor; save the state alone, or under one of {keys}"
            )
    return dict(content), done


def _array(path: Path, name: str, tensor: "torch.Tensor") -> tuple[np.ndarray, str | None]:
    """A tensor as an array, and what was done for that."""
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise UserError(f"{path}: the tensor {name} is sparse, quantised, complex or without values; save a plain one")
    converted = None
    if tensor.is_floating_point() and tensor.dtype != torch.float32:
        converted = f"{str(tensor.dtype).removeprefix('torch.')} made float32"
        tensor = tensor.float()
    return tensor.detach().contiguous().numpy(), converted


def _fitted(
    path: str | Path, state: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[tuple[int, ...], np.dtype]]
) -> dict[str, np.ndarray]:
    """The tensors in the order and the types of `wanted`, name -> (shape, dtype)."""
    missing, unexpected = ([*(one.keys() - other.keys())] for one, other in ((wanted, state), (state, wanted)))
    if missing or unexpected:
        parts = [f"lacks {_listed(missing)}"] if missing else []
        parts += [f"has {_listed(unexpected)}, which the network has not"] if unexpected else []
        raise UserError(f"{path} is not of this network: it {' and '.join(parts)}")
    for name, (shape, dtype) in wanted.items():
        # A file of this project keeps a single number as one of length 1.
        if state[name].shape != shape and not (shape == () and state[name].shape == (1,)):
            raise UserError(
                f"{path} is not of this network: the tensor {name} has the shape {state[name].shape}, and that of the "
                f"network is {shape}"
            )
        if state[name].dtype.kind != dtype.kind:
            raise UserError(f"{path} is not of this network: the tensor {name} is {state[name].dtype}, not {dtype}")
    return {name: np.asarray(state[name], dtype).reshape(shape) for name, (shape, dtype) in wanted.items()}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def _of_the_chain(path: str | Path, description: "Description") -> dict[str, np.ndarray]:
    """The network of a checkpoint of the chain, as it is kept there, if it is the one described."""
    from goodsubnet.networks import files

    network, found = files.load(path)
    if "pruning" in found:
        raise UserError(f"{path} is pruned already; give the checkpoint that it was made of")
    for key, value in description.items():
        if found.get(key) != value:
            raise UserError(f"{path} is of another network: its {key} is {found.get(key)}, not {value}")
    return files.encode(network, found)
