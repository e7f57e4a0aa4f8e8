"""Snakemake's scheduler is woken by one timer at a time."""

import importlib.metadata
import threading
from types import SimpleNamespace

import pytest
from mending import SEEN, one_timer_at_a_time
from snakemake.scheduling.job_scheduler import JobScheduler

DELAY = 7.0


@pytest.fixture
def timers(monkeypatch) -> list[SimpleNamespace]:
    """The timers that were set; they go off when the test says so, not when a busy machine comes to it."""
    made = []

    class Timer(SimpleNamespace):
        def __init__(self, delay: float, wake) -> None:
            super().__init__(delay=delay, wake=wake, daemon=False, started=False)
            made.append(self)

        def start(self) -> None:
            self.started = True

    monkeypatch.setattr(threading, "Timer", Timer)
    return made


@pytest.fixture
def scheduler(monkeypatch, timers) -> SimpleNamespace:
    # Fails where another version of Snakemake calls it by another name: then see whether the mend is still needed.
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)
    one_timer_at_a_time()
    return SimpleNamespace(_open_jobs=threading.Semaphore(0))


def turns(scheduler: SimpleNamespace) -> int:
    """How often a waiting scheduler was told to take another turn."""
    count = 0
    while scheduler._open_jobs.acquire(blocking=False):
        count += 1
    return count


def test_many_requests_to_be_woken_are_one(scheduler: SimpleNamespace, timers: list) -> None:
    for _ in range(50):
        JobScheduler._schedule_reevalutation(scheduler, DELAY)
    assert turns(scheduler) == 0
    (timer,) = timers
    # A daemon: a run that has ended must not wait for it.
    assert (timer.delay, timer.started, timer.daemon) == (DELAY, True, True)
    timer.wake()
    assert turns(scheduler) == 1


def test_it_can_be_woken_again(scheduler: SimpleNamespace, timers: list) -> None:
    for count in (1, 2):
        JobScheduler._schedule_reevalutation(scheduler, DELAY)
        assert len(timers) == count
        timers[-1].wake()
        assert turns(scheduler) == 1


def test_another_version_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, timers: list) -> None:
    """Until somebody has looked whether the fault is still there."""
    before = JobScheduler._schedule_reevalutation
    said: list[str] = []
    monkeypatch.setattr("mending.logger.warning", said.append)
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "9.270.1")
    one_timer_at_a_time()
    assert JobScheduler._schedule_reevalutation is before
    (line,) = said
    assert line.startswith("snakemake 9.270.1 is another version than 9.27, for which this is done: Wake the scheduler")


def test_the_version_that_is_asked_for_is_one_that_is_mended() -> None:
    for package, seen in SEEN.items():
        assert importlib.metadata.version(package).startswith(tuple(f"{version}." for version in seen)), package
