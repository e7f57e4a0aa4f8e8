"""Devices, pretended: nothing here needs one."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from goodsubnet.errors import UserError
from goodsubnet.runtime import devices
from goodsubnet.runtime.devices import VARIABLE, Device, acquire, lease, resolve, visible_devices

SRC = Path(__file__).parents[3] / "src"
UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
MIG = "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/0"

# Waits for a line, takes a device, tells which, and keeps it until another line comes. Looking at a slot is
# made slow, so that jobs started together would meet if nothing kept them apart.
HOLDER = """
import sys, time
from goodsubnet.runtime import devices
is_locked = devices._is_locked
devices._is_locked = lambda slot: time.sleep(0.01) or is_locked(slot)
print("ready", flush=True)
sys.stdin.readline()
with devices.lease(sys.argv[2:], sys.argv[1]) as device:
    print(device, flush=True)
    sys.stdin.readline()
"""


class Jobs:
    """Processes that hold leases in one folder."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.processes = []

    def start(self, program, *arguments, environ=None):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": str(SRC), **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def hold_at_once(self, count, names):
        """Starts `count` holders, lets them go together, and returns them with their devices."""
        started = [self.start(HOLDER, self.folder, *names) for _ in range(count)]
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            self.tell(process)
        return [(process, process.stdout.readline().strip()) for process in started]

    def hold(self, names):
        return self.hold_at_once(1, names)[0]

    @staticmethod
    def tell(process):
        process.stdin.write("\n")
        process.stdin.flush()

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


@pytest.fixture
def jobs(tmp_path):
    started = Jobs(tmp_path / "leases")
    yield started
    started.end()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["0"]),
        ("3,1", ["3", "1"]),
        (" 2 , 0 ", ["2", "0"]),
        ("1,-1,0", ["1"]),
        ("1,,0", ["1"]),
        ("1,1,0", ["1", "0"]),
        (f"{UUID},{MIG}", [UUID, MIG]),
    ],
)
def test_outside_choice_is_respected(value, expected):
    assert visible_devices({VARIABLE: value}) == expected


def test_device_files(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path)
    assert visible_devices({}) == []
    for name in ("nvidia3", "nvidia10", "nvidiactl", "nvidia-uvm", "nvidia-caps", "null"):
        (tmp_path / name).touch()
    assert visible_devices({}) == ["0", "1"]
    assert visible_devices({VARIABLE: ""}) == []


def test_resolve():
    some, none = {VARIABLE: "0"}, {VARIABLE: ""}
    assert [resolve(device, some) for device in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    assert [resolve(device, none) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UserError, match=r"device: cuda asked, but there is no GPU here \(CUDA_VISIBLE_DEVICES=''\)"):
        resolve("cuda", none)
    with pytest.raises(UserError, match=r"'gpu'.*auto, cpu or cuda"):
        resolve("gpu", some)


def test_resolve_without_device_files(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path)
    assert resolve("auto", {}) == "cpu"
    with pytest.raises(UserError, match="no NVIDIA device files"):
        resolve("cuda", {})


def test_a_device_for_itself_in_the_order_given(tmp_path):
    with lease(["1", "0"], tmp_path) as first, lease(["1", "0"], tmp_path) as second:
        assert (first, second) == ("1", "0")
    with lease(["1", "0"], tmp_path) as device:
        assert device == "1"


def test_a_freed_device_is_taken_before_any_is_shared(tmp_path):
    names = ["0", "1", "2"]
    with lease(names, tmp_path), lease(names, tmp_path) as middle, lease(names, tmp_path):
        assert middle == "1"
    with lease(names, tmp_path):
        with lease(names, tmp_path):
            pass
        with lease(names, tmp_path) as device:
            assert device == "1"


def test_no_devices(tmp_path):
    with pytest.raises(ValueError, match="no device"), lease([], tmp_path):
        pass


def test_names_are_safe_in_file_names(tmp_path):
    names = [UUID, MIG, "../x", "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6%2F1/0"]
    with lease(names, tmp_path) as a, lease(names, tmp_path) as b, lease(names, tmp_path) as c:
        with lease(names, tmp_path) as d:
            assert [a, b, c, d] == names
        assert len(list(tmp_path.iterdir())) == 5
    assert list(tmp_path.parent.glob("x*")) == []


def test_processes_have_devices_to_themselves(jobs):
    names = [UUID, MIG, "2"]
    assert [jobs.hold(names)[1] for _ in names] == names


@pytest.mark.parametrize(("count", "expected"), [(4, [2, 2]), (5, [2, 3])])
def test_more_jobs_than_devices(jobs, count, expected):
    held = [jobs.hold(["0", "1"])[1] for _ in range(count)]
    assert sorted(Counter(held).values()) == expected


@pytest.mark.parametrize("devices_there", [3, 8])
def test_eight_jobs_at_once(jobs, devices_there):
    names = [str(index) for index in range(devices_there)]
    counts = Counter(device for _, device in jobs.hold_at_once(8, names))
    assert sum(counts.values()) == 8
    assert len(counts) == devices_there
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_job_that_ends_gives_its_device_back(jobs):
    names = ["0", "1"]
    process, device = jobs.hold(names)
    jobs.hold(names)
    jobs.tell(process)
    process.wait()
    assert jobs.hold(["1", "0"])[1] == device == "0"


def test_a_job_killed_gives_its_device_back(jobs):
    names = ["0", "1"]
    jobs.hold(names)
    process, device = jobs.hold(names)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert jobs.hold(names)[1] == device == "1"
    slots = sorted(path.name for path in Path(jobs.folder).iterdir())
    assert slots == ["0.slot-0", "1.slot-0", "choosing.lock"]


CHILD_OUTLIVES = {
    "a program it started": "child = subprocess.Popen(['sleep', '60'], close_fds=False).pid",
    "a fork": "child = os.fork() or time.sleep(60)",
    "a fork of multiprocessing": (
        "process = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,));"
        "process.start(); child = process.pid"
    ),
}


@pytest.mark.parametrize("how", CHILD_OUTLIVES)
def test_children_do_not_keep_the_device(jobs, tmp_path, how):
    program = (
        "import multiprocessing, os, subprocess, sys, time\n"
        "from goodsubnet.runtime.devices import lease\n"
        f"with lease(['0', '1'], {jobs.folder!r}) as device:\n"
        f"    {CHILD_OUTLIVES[how]}\n"
        "    print(device, child, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    process = jobs.start(program)
    device, child = process.stdout.readline().split()
    try:
        assert device == "0"
        assert jobs.hold(["0", "1"])[1] == "1"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        os.kill(int(child), 0)
        assert jobs.hold(["1", "0"])[1] == "0"
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_forked_child_that_leaves_the_lease_closes_nothing_else(tmp_path):
    """In the child the number of the lock's descriptor may belong to another file by then."""
    context = lease(["0"], tmp_path)
    context.__enter__()
    (descriptor,) = devices._held
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor)
            context.__exit__(None, None, None)
            os.fstat(descriptor)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with lease(["0", "1"], tmp_path) as device:
        assert device == "1"
    context.__exit__(None, None, None)


ACQUIRE = """
import os, sys
from goodsubnet.runtime.devices import acquire
device = acquire(sys.argv[1])
print(device.kind, device.name, device.torch_device, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
assert "torch" not in sys.modules
sys.stdin.readline()
"""


def test_acquire_holds_until_the_process_ends(jobs, tmp_path):
    environ = {VARIABLE: "5,3", "TMPDIR": str(tmp_path)}
    first = jobs.start(ACQUIRE, "auto", environ=environ)
    assert first.stdout.readline().split() == ["cuda", "5", "cuda:0", "5"]
    second = jobs.start(ACQUIRE, "cuda", environ=environ)
    assert second.stdout.readline().split() == ["cuda", "3", "cuda:0", "3"]
    first.kill()
    first.wait()
    third = jobs.start(ACQUIRE, "cuda", environ={**environ, VARIABLE: "3,5"})
    assert third.stdout.readline().split() == ["cuda", "5", "cuda:0", "5"]


def test_acquire_cpu(tmp_path):
    environ = {VARIABLE: ""}
    assert acquire("auto", environ, tmp_path) == Device("cpu", "cpu", "cpu")
    environ = {VARIABLE: "0"}
    assert acquire("cpu", environ, tmp_path) == Device("cpu", "cpu", "cpu")
    assert environ == {VARIABLE: "0"}
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="no GPU"):
        acquire("cuda", {VARIABLE: "-1"}, tmp_path)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_default_folder_belongs_to_the_user(temporary):
    with lease(["0"]):
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert str(os.getuid()) in folder.name
    with lease(["0"]) as device:
        assert device == "0"


@pytest.mark.parametrize("intrusion", ["wide", "link", "dangling link", "file", "owner"])
def test_default_folder_of_somebody_else_is_refused(temporary, monkeypatch, intrusion):
    with lease(["0"]):
        (folder,) = temporary.iterdir()
    if intrusion == "wide":
        folder.chmod(0o770)
    elif intrusion == "owner":
        uid = os.getuid()
        folder.rename(folder.with_name(folder.name.replace(str(uid), str(uid + 1))))
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    else:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        if intrusion == "file":
            folder.touch(mode=0o600)
        else:
            target = temporary / "elsewhere"
            if intrusion == "link":
                target.mkdir(mode=0o700)
            folder.symlink_to(target)
    with pytest.raises(UserError, match="must be a folder that belongs to this user alone"), lease(["0"]):
        pass


def test_import_is_light():
    program = "import sys, goodsubnet.runtime.devices; print(*{'torch', 'numpy'} & set(sys.modules))"
    started = time.perf_counter()
    environ = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert time.perf_counter() - started < 5


def test_a_gpu_that_torch_cannot_use_is_an_error():
    import torch

    devices.require_torch(devices.Device("cpu", "cpu", "cpu"))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"there is a GPU \(0\), but this PyTorch .* cannot use it"):
            devices.require_torch(devices.Device("cuda", "0", "cuda:0"))
