"""The same work timed with one worker, two workers ..., in turns."""

import hashlib
import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.devices import VARIABLE, Device, visible_devices
from goodsubnet.runtime.group import Alone, Traffic, Workers


def in_turns(
    workers: Workers | Alone,
    sizes: Sequence[int],
    repetitions: int,
    work: Callable[[Workers | Alone], np.ndarray | None],
) -> list[dict[str, Json]]:
    """Seconds of the work by the first 1, 2 ... of the workers; a first run of each does not count.

    workers: all of them, as many as the largest of `sizes`; each calls this. work: done by some workers together;
    returns the indices that they chose, in order, or None.
    Returns for each size and repetition {"workers", "repetition", "seconds", "communication" and "waiting": of a worker
    on average, in exchanges once all were there, and before, "messages", "bytes": received by all, "chosen": a digest
    of what the first worker chose, empty for None}. They must be on one machine, whose clock they share.
    """
    teams = {size: workers.first(size) for size in sizes}
    rows: list[dict[str, Json]] = []
    for repetition in range(repetitions + 1):
        for size, team in teams.items():
            began_and_ended: list[tuple[float, float]] = []
            traffic = Traffic(calls=began_and_ended)
            if team is not None:
                team.traffic = traffic
            workers.rest()
            chosen = None
            began = time.perf_counter()
            if team is not None:
                chosen = work(team)
            taken = time.perf_counter() - began
            workers.rest()
            numbers = (taken, traffic.messages, traffic.bytes, len(began_and_ended))
            seconds, messages, received, count = _of_all(workers, np.array(numbers, np.float64)).T
            # Each member of the team makes equally many calls; the others make none.
            calls = np.zeros((int(count.max()), 2))
            calls[: len(began_and_ended)] = np.array(began_and_ended).reshape(-1, 2)
            talking, waiting = _split(_of_all(workers, calls)[:size])
            if workers.rank == 0:
                print(f"{size} workers, repetition {repetition}: {seconds[:size].max():.3f} s", flush=True)
            if repetition > 0:
                rows.append(
                    {
                        **{"workers": size, "repetition": repetition, "seconds": float(seconds[:size].max())},
                        **{"communication": talking, "waiting": waiting},
                        **{"messages": int(messages.sum()), "bytes": int(received.sum())},
                        "chosen": _digest(chosen),
                    }
                )
    return rows


def _digest(chosen: np.ndarray | None) -> str:
    return "" if chosen is None else hashlib.sha256(np.asarray(chosen, "<i8").tobytes()).hexdigest()[:16]


def _of_all(workers: Workers | Alone, own: np.ndarray) -> np.ndarray:
    """The arrays of all workers, which are of one shape: (workers, *shape)."""
    every = np.zeros((workers.size, *own.shape))
    every[workers.rank] = own
    return workers.agree(every.ravel(), np.add).reshape(every.shape)


def _split(calls: np.ndarray) -> tuple[float, float]:
    """Seconds of a worker, on average, in exchanges once all were there, and before. calls: (workers, calls, 2)."""
    began, ended = calls[..., 0], calls[..., 1]
    waiting = np.clip(np.minimum(ended, began.max(0, initial=0)) - began, 0, None)
    return float((ended - began - waiting).sum(1).mean()), float(waiting.sum(1).mean())


def places(leased: Device, threads: int) -> int:
    """How many workers this machine can run at full speed: by its accelerators, or by its cores."""
    if leased.kind == "cuda":
        return len(visible_devices({key: value for key, value in os.environ.items() if key != VARIABLE}))
    return len(os.sched_getaffinity(0)) // threads
