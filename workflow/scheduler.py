"""Snakemake's scheduler, mended in one place."""

import threading

from snakemake.scheduling.job_scheduler import JobScheduler


def one_timer_at_a_time() -> None:
    """Wake the scheduler once a second, not once a second for each job that has finished.

    Because of its limit of jobs a second (100 by default), Snakemake 9.27 ends every turn of its scheduler by setting a
    timer that begins another turn. So each finished job starts one more endless chain of turns, and the work grows with
    the square of the number of jobs. One timer that waits is enough for all.
    """
    waiting = threading.Lock()

    def set_timer(scheduler: JobScheduler, delay: float) -> None:
        if not waiting.acquire(blocking=False):
            return

        def wake() -> None:
            waiting.release()
            scheduler._open_jobs.release()

        timer = threading.Timer(delay, wake)
        timer.daemon = True
        timer.start()

    JobScheduler._schedule_reevalutation = set_timer
