"""A `python` that has imported the large libraries already: a run of fifty small jobs takes seconds, not minutes.

It hands its script, or the module after `-m`, to a process that waits with the libraries loaded, which forks for each;
the rules and what Snakemake sees of a job are what they always are. Of this project nothing is loaded before the fork,
so that each finds the code that its own PYTHONPATH names.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What the jobs and Snakemake spend their first seconds on.
LIBRARIES = (
    *("torch", "torchvision", "torch_pruning", "numba", "pandas", "matplotlib.figure", "sklearn.datasets"),
    *("safetensors.torch", "threadpoolctl", "pydantic", "yaml", "PIL.Image", "scipy.optimize", "scipy.stats"),
    *("snakemake.cli", "snakemake.scheduling.job_scheduler", "snakemake.workflow", "torchvision.transforms.v2"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "matplotlib.style", "torch.fx"),
)
CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "little")], [1, 2])
    server.sendall(request)
    sys.exit(server.recv(1)[0])
"""


@functools.cache
def warm_folder() -> Path:
    """The folder of the warm `python`, which lives as long as this process."""
    # A short path: sockets have no long names.
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    address, client = folder / "socket", folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, str(address)])

    @atexit.register
    def end() -> None:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)

    while not address.exists():
        assert server.poll() is None
        time.sleep(0.02)
    return folder


def warm_path() -> str:
    """The PATH on which the warm `python` stands first."""
    return f"{warm_folder()}{os.pathsep}{os.environ['PATH']}"


def serve(address: str) -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    import torch

    # Threads do not survive a fork.
    torch.set_num_threads(1)
    with socket.socket(socket.AF_UNIX) as listening:
        # Bound under another name first: who finds the socket can connect to it.
        listening.bind(f"{address}.new")
        listening.listen()
        os.rename(f"{address}.new", address)
        while True:
            asked, _ = listening.accept()
            if os.fork() == 0:
                # A child of a child has nobody who must wait for it but this one.
                _answer(asked)
            asked.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(asked: socket.socket) -> None:
    """Run what was asked for in a child of this process, and tell its exit code."""
    header, streams, _, _ = socket.recv_fds(asked, 8, 2)
    request = b""
    while len(request) < int.from_bytes(header, "little"):
        request += asked.recv(1 << 20)
    arguments, folder, environment = json.loads(request)
    job = os.fork()
    if job == 0:
        for descriptor, stream in enumerate(streams, start=1):
            os.dup2(stream, descriptor)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        module = arguments[1] if arguments[0] == "-m" else None
        sys.argv = arguments[1:] if module else arguments
        paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:0] = [folder if module else str(Path(arguments[0]).parent), *paths]
        code = 0
        try:
            if module:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            code = 1
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    asked.send(bytes([os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]) % 256]))
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
