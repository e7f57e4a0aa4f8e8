"""A `python` that has imported torch already: a run of fifty small jobs takes seconds, not minutes.

It hands its script to a process that waits with the libraries loaded,
which forks for each job; the rules and what Snakemake sees of a job are what they always are.
"""

import contextlib
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "little")], [1, 2])
    server.sendall(request)
    sys.exit(server.recv(1)[0])
"""


@contextlib.contextmanager
def warm_python(folder: Path) -> Iterator[str]:
    """Yields the PATH on which the warm `python` stands first. folder: a short path, for it and its socket."""
    address = folder / "socket"
    client = folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    source = str(Path(__file__).parents[2] / "src")
    server = subprocess.Popen([sys.executable, __file__, str(address)], env={**os.environ, "PYTHONPATH": source})
    try:
        while not address.exists():
            assert server.poll() is None
            time.sleep(0.02)
        yield f"{folder}{os.pathsep}{os.environ['PATH']}"
    finally:
        server.kill()
        server.wait()


def serve(address: str) -> None:
    import torch

    # Threads do not survive a fork.
    torch.set_num_threads(1)
    modules = ("pruning", "surgery", "tables", "plots.tables", "plots.canvas", "stages.deep.fitting", "analysis")
    for name in (*(f"goodsubnet.{module}" for module in modules), "sklearn.datasets"):
        importlib.import_module(name)
    from goodsubnet.stages.deep import evaluate

    # Seconds of each measurement of latencies; three rounds are made anyhow.
    evaluate.LATENCY_SECONDS = 0.0
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
    """Run the script that was asked for in a child of this process, and tell its exit code."""
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
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        code = 0
        try:
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
