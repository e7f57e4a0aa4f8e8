"""SIGTERM and Ctrl-C: put off until a job has saved what it has."""

import contextlib
from collections.abc import Iterator
from types import FrameType


class Signals:
    """Whether a signal to stop has come; while `deferred`, it waits until the job has saved what it has."""

    deferred = False
    received: int | None = None


def stop(number: int, _frame: FrameType | None) -> None:
    """What a script does on a signal: see `commands.run`."""
    if Signals.received is not None:
        # A cluster sends it more than once; the first one is being obeyed.
        return
    Signals.received = number
    if not Signals.deferred:
        print("stopped by a signal: the same command again makes this anew")
        raise SystemExit(128 + number)


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Within this block SIGTERM and Ctrl-C only set `Signals.received`; at its end they take effect."""
    Signals.deferred = True
    try:
        yield
    finally:
        Signals.deferred = False
    if Signals.received is not None:
        raise SystemExit(128 + Signals.received)
