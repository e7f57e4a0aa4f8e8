"""Every byte written to or read from disk: atomic, with a sidecar of provenance, and checked on reading.

Tensors are safetensors, numbers are JSON or CSV. The same content gives the same bytes: what differs between two
runs (times, versions, commits) stands in the sidecar `<stem>.provenance.json`, never in the artifact.
"""

import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypeAlias, TypedDict, cast

import numpy as np

from goodsubnet.errors import UserError

if TYPE_CHECKING:
    import torch
    from pydantic import JsonValue

Json: TypeAlias = "JsonValue"
Tensors: TypeAlias = "Mapping[str, np.ndarray | torch.Tensor]"
"""Name -> array; of torch on the CPU."""


class Recorded(TypedDict):
    """A file as it was written."""

    sha256: str
    bytes: int


class Source(TypedDict):
    """An input as it was read."""

    path: str
    sha256: str


class Facts(TypedDict):
    """How a job went. Two runs that make the same artifact may differ in all of it.

    latency_seconds: size of batch -> network -> seconds. workers: who computed together, and what passed between them.
    source: of what was imported, the file's name and hash and what was done to it. sources: code that others loaded.
    """

    device: str
    threads: int
    latency_seconds: NotRequired[dict[str, dict[str, float]]]
    workers: NotRequired[dict[str, Json]]
    source: NotRequired[dict[str, Json]]
    sources: NotRequired[dict[str, str]]


class Provenance(Facts):
    """What a sidecar says."""

    stage: str
    output: str
    format: int
    settings: dict[str, Json]
    wildcards: Mapping[str, str | int]
    key: str
    inputs: dict[str, Source]
    gathered: dict[str, str]
    outputs: dict[str, Recorded]
    temporary: list[str]
    commit: str | None
    versions: dict[str, str]
    machine: dict[str, str]
    seconds: float
    peak_memory_bytes: int
    finished: str


FORMAT = 1
"""Raised by hand when the content or the meaning of artifacts changes; part of every fingerprint."""

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def write(path: str | Path, content: bytes) -> None:
    """Write `content` under a temporary name in the same folder, flush it to disk, rename it to `path`.

    Raises UserError if the disk is full or the folder cannot be written; nothing half-written stays.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        raise


def _flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode_tensors(tensors: Tensors) -> bytes:
    """Tensors (numpy, or torch on the CPU) as the bytes of a safetensors file; no metadata, so always the same."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(np.asarray(value)) for name, value in tensors.items()})


def encode_json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def encode_provenance(provenance: Provenance) -> bytes:
    """The bytes of a sidecar: JSON with a `seal`, the SHA-256 of the sidecar without the line that it stands on."""
    rest = encode_json(provenance)
    return encode_json({**provenance, "seal": hashlib.sha256(rest).hexdigest()})


def seal_holds(content: bytes, seal: str) -> bool:
    """Whether a sidecar is as it was written. content: its bytes, as `encode_provenance` gave them, with this seal."""
    rest = content.replace(f' "seal": "{seal}",\n'.encode(), b"", 1)
    return hashlib.sha256(rest).hexdigest() == seal


def sidecar(path: str | Path) -> Path:
    """Where the provenance of an artifact stands: beside it, one for all files of the same stem."""
    path = Path(path)
    return path.with_name(stem(path) + ".provenance.json")


def stem(path: str | Path) -> str:
    """The name up to its first dot: of `iteration-100.safetensors` and of `iteration-100.dense.json` alike."""
    return Path(path).name.split(".")[0]


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_provenance(path: str | Path) -> Provenance:
    """The provenance of the artifact at `path`. Raises UserError if it is missing or not readable."""
    try:
        provenance = cast(Provenance, json.loads(sidecar(path).read_bytes()))
        provenance["outputs"][Path(path).name]["sha256"]
    except FileNotFoundError:
        raise UserError(f"{sidecar(path)} is missing; delete {path} and run again") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{sidecar(path)} is damaged; delete it and {path} and run again") from None
    return provenance


def verify(path: str | Path) -> str:
    """Compare the file with the SHA-256 that was recorded when it was made, and return it.

    Raises UserError naming the file if it is missing, truncated or altered.
    """
    path = Path(path)
    recorded = read_provenance(path)["outputs"][path.name]
    try:
        size = path.stat().st_size
        digest = sha256(path) if size == recorded["bytes"] else None
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run again to make it") from None
    if digest is None:
        raise UserError(
            f"{path} is damaged: it has {size} bytes, and {recorded['bytes']} were written; delete it and run again"
        )
    if digest != recorded["sha256"]:
        raise UserError(f"{path} is damaged: its content is not what was written (SHA-256); delete it and run again")
    return digest


def map_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file, read-only and mapped into memory: pages are read when they are touched."""
    with open(path, "rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        header_bytes = int.from_bytes(view[:8], "little")
        header = json.loads(view[8 : 8 + header_bytes])
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            dtype = np.dtype(_DTYPES[entry["dtype"]])
            flat = np.frombuffer(view, dtype, (end - start) // dtype.itemsize, 8 + header_bytes + start)
            tensors[name] = flat.reshape(entry["shape"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from None
    return tensors
