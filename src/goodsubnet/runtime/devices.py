"""Which accelerator a job may use.

Jobs that run at the same time on one machine know nothing of each other. They share the accelerators through
lock files: a job holds a kernel lock (flock) on one slot file of its device for as long as it lives. The
kernel drops the lock when the process ends, however it ends, so a killed job gives its device back and
nothing needs cleaning up.

Nothing here imports torch, because CUDA_VISIBLE_DEVICES must be set before torch looks at the devices.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from goodsubnet.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"
DEVICE_FILES = Path("/dev")

# Descriptors of the leases that this process holds.
_held: set[int] = set()


@dataclass(frozen=True)
class Device:
    """What a job computes on: "cpu" or "cuda", its name, and what torch calls it in this process."""

    kind: str
    name: str
    torch_device: str


def visible_devices(environ: Mapping[str, str]) -> list[str]:
    """The accelerators that this process may use: indices, UUIDs or MIG names, as CUDA takes them.

    CUDA_VISIBLE_DEVICES, where it is set, decides alone. As in CUDA (programming guide, "Environment
    Variables") its order counts and the list ends at the first entry that names no device: so "" and "-1"
    mean none. Otherwise there are as many as device files /dev/nvidia<n>, numbered from 0: in a container n
    may be another number than CUDA's.
    """
    if VARIABLE not in environ:
        found = [name for name in os.listdir(DEVICE_FILES) if re.fullmatch(r"nvidia\d+", name)]
        return [str(index) for index in range(len(found))]
    devices = []
    for entry in environ[VARIABLE].split(","):
        name = entry.strip()
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", name):
            break
        devices.append(name)
    return list(dict.fromkeys(devices))


def resolve(device: str, environ: Mapping[str, str]) -> str:
    """What the key `device` ("auto", "cpu" or "cuda") means on this machine: "cpu" or "cuda".

    "auto" is "cuda" where there is any. Raises UserError for "cuda" where there is none, and for other words.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device: {device!r} is not known; choose auto, cpu or cuda.")
    if device == "cpu":
        return "cpu"
    if visible_devices(environ):
        return "cuda"
    if device == "cuda":
        seen = f"{VARIABLE}={environ[VARIABLE]!r}" if VARIABLE in environ else "no NVIDIA device files"
        raise UserError(f"device: cuda asked, but there is no GPU here ({seen}); use device: auto or cpu.")
    return "cpu"


@contextmanager
def lease(devices: Sequence[str], folder: str | os.PathLike | None = None) -> Iterator[str]:
    """Holds one of `devices` and gives its name: the first free one, else the first with fewest holders.

    Never waits for a device: where there are more jobs than devices they share them, and at the time of each
    lease the numbers of holders differ by at most one if they did before. (When jobs end, those that run stay
    where they are.) folder: where the lock files lie; jobs that use the same folder share fairly. Default: a
    folder of this user under the system's folder for temporary files. It must be on a file system of this
    machine.
    """
    device, descriptor = _take(devices, folder)
    try:
        yield device
    finally:
        if descriptor in _held:  # It is not in a child that was forked meanwhile: see _close_in_child.
            _held.remove(descriptor)
            os.close(descriptor)


def acquire(device: str, environ: MutableMapping[str, str] = os.environ, folder: str | None = None) -> Device:
    """Gets this process its device for the rest of its life. To be called once, before torch is imported.

    For an accelerator CUDA_VISIBLE_DEVICES in `environ` becomes the one that was leased, which torch then
    calls "cuda:0". Raises UserError as `resolve` does.
    """
    if resolve(device, environ) == "cpu":
        return Device("cpu", "cpu", "cpu")
    name, _ = _take(visible_devices(environ), folder)
    environ[VARIABLE] = name
    return Device("cuda", name, "cuda:0")


def require_torch(device: Device) -> None:
    """Raises UserError where an accelerator was leased that torch, once imported, cannot use."""
    import torch

    if device.kind == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"device: there is a GPU ({device.name}), but this PyTorch ({torch.__version__}) cannot use it;"
            " install a build with CUDA and a matching driver, or set device: cpu."
        )


def _take(devices: Sequence[str], folder: str | os.PathLike | None) -> tuple[str, int]:
    """Chooses a device and locks one of its slots: (name, descriptor that holds the lock while open)."""
    if not devices:
        raise ValueError("there is no device to lease")
    if folder is None:
        folder = _private_folder()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    choosing = _open(folder / "choosing.lock")
    try:
        # One job at a time: otherwise two could count the same holders and choose the same device, and
        # counting, which tries the locks, could be taken for holding.
        fcntl.flock(choosing, fcntl.LOCK_EX)
        device = min(devices, key=lambda name: sum(map(_is_locked, _slots(folder, name))))
        for slot in _slots(folder, device, beyond=True):
            descriptor = _open(slot)
            if _try_lock(descriptor):
                _held.add(descriptor)
                return device, descriptor
            os.close(descriptor)
    finally:
        os.close(choosing)
    raise AssertionError("the slot beyond the last is nobody's")


def _slots(folder: Path, device: str, beyond: bool = False) -> list[Path]:
    """The slot files of a device, in order; `beyond` adds the next one, which does not exist yet.

    Slots are never removed: a job could hold the lock of a removed file while another locks its successor.
    """
    # UUIDs are safe as they are; older names of MIG instances have slashes in them.
    stem = quote(device, safe="")
    count = 0
    while (folder / f"{stem}.slot-{count}").exists():
        count += 1
    return [folder / f"{stem}.slot-{index}" for index in range(count + beyond)]


def _is_locked(slot: Path) -> bool:
    descriptor = _open(slot)
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    # Python opens with O_CLOEXEC, so that programs started by the job do not keep the lock.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _close_in_child() -> None:
    """With a forked child's copy closed, the parent alone holds the lock, and its death frees the device."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _private_folder() -> Path:
    """The lock folder of this user alone. Raises UserError where somebody else could write to it."""
    folder = Path(tempfile.gettempdir(), f"goodsubnet-devices-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(
            f"{folder} must be a folder that belongs to this user alone (mode 0700); remove it,"
            " or let TMPDIR name another place."
        )
    return folder
