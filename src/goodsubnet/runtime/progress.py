"""Lines of progress for a long job's log, and when its progress is saved."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from goodsubnet.runtime.artifacts import Tensors
from goodsubnet.runtime.signals import Signals


class Saves(Protocol):
    """What can keep unfinished work: a job."""

    def save_progress(self, tensors: Tensors) -> None: ...


class Progress:
    """Lines for a long job's log: how far, how fast, how much longer; at most one every `interval` seconds."""

    def __init__(self, what: str, first: int, last: int, interval: float = 10.0) -> None:
        self._what, self._first, self._last, self._interval = what, first, last, interval
        self._began = self._printed = time.monotonic()

    def __call__(self, now: int) -> None:
        moment = time.monotonic()
        if moment - self._printed < self._interval or now <= self._first:
            return
        self._printed = moment
        rate = (now - self._first) / (moment - self._began)
        left = (self._last - now) / rate
        print(f"{self._what} {now:,} of {self._last:,} | {rate:,.1f} a second | {left:,.0f} s left", flush=True)


@dataclass(frozen=True)
class Saving:
    """How often progress inside a training segment is saved: the first that is due.

    seconds: between saves. iterations: between saves; 0 for never.
    """

    seconds: float
    iterations: int

    @staticmethod
    def add_arguments(arguments: argparse.ArgumentParser) -> None:
        arguments.add_argument("--save-seconds", type=float, default=60.0, help="save progress this often")
        arguments.add_argument("--save-iterations", type=int, default=0, help="and after so many iterations; 0: never")

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Saving":
        return cls(args.save_seconds, args.save_iterations)

    def of(self, job: Saves, start: int, stop: int, state: Callable[[int], Tensors]) -> Callable[[int], None]:
        """To be called with the iterations done, from `start` on: reports, saves `state`, and ends on a signal."""
        report = Progress("iteration", start, stop)
        saved = time.monotonic()

        def after_iteration(done: int) -> None:
            nonlocal saved
            report(done)
            due = time.monotonic() - saved >= self.seconds or (self.iterations and done % self.iterations == 0)
            if (due or Signals.received is not None) and done < stop:
                job.save_progress(state(done))
                saved = time.monotonic()
            if Signals.received is not None:
                print(
                    f"stopped by a signal at iteration {done:,}, and saved: the same command again goes on from there"
                )
                raise SystemExit(128 + Signals.received)

        return after_iteration
