"""Snakemake's scheduler is woken by one timer at a time."""

import threading
import time
from types import SimpleNamespace

import pytest
from scheduler import one_timer_at_a_time
from snakemake.scheduling.job_scheduler import JobScheduler

DELAY = 0.2


def turns(scheduler: SimpleNamespace) -> int:
    """How often a waiting scheduler was told to take another turn."""
    count = 0
    while scheduler._open_jobs.acquire(blocking=False):
        count += 1
    return count


@pytest.fixture
def scheduler(monkeypatch) -> SimpleNamespace:
    # Fails where another version of Snakemake calls it by another name: then look whether the mend is needed still.
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)
    one_timer_at_a_time()
    return SimpleNamespace(_open_jobs=threading.Semaphore(0))


def test_many_requests_to_be_woken_are_one(scheduler: SimpleNamespace) -> None:
    for _ in range(50):
        JobScheduler._schedule_reevalutation(scheduler, DELAY)
    assert turns(scheduler) == 0
    time.sleep(3 * DELAY)
    assert turns(scheduler) == 1


def test_it_can_be_woken_again(scheduler: SimpleNamespace) -> None:
    for _ in range(2):
        JobScheduler._schedule_reevalutation(scheduler, DELAY)
        assert scheduler._open_jobs.acquire(timeout=10)
    assert turns(scheduler) == 0
