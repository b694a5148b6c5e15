"""A database that drops connections, freezes, restarts, or whose answer is lost."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time

import pytest
from database import TERMINATE_CLIENTS, database_name, execute
from field import Field, eventually
from standins.proxy import HalfOpen, Proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
_QUICK = {"poll_interval_ms": 1000, "max_jobs_per_cycle": 100}


def test_pg_terminate_backend_every_second_for_a_minute(field: Field) -> None:
    workers = [field.worker(**_QUICK) for _ in range(4)]
    field.started(*workers)
    until = time.monotonic() + 60
    terminated = 0
    while time.monotonic() < until:
        if field.left() < 20:
            field.enqueue(40, do="sleep", seconds=0.5)
        ended = execute(field.dsn, TERMINATE_CLIENTS, database_name(field.dsn))
        terminated += len(ended)
        time.sleep(1)
    field.wait_until_all_ended(100)
    assert all(worker.stop() == 0 for worker in workers)
    again = execute(field.dsn, "SELECT count(*) n FROM audio_job_queue WHERE attempt > 1")[0]["n"]
    field.count(
        say="pg_terminate_backend on every connection, every second for a minute, 4 workers",
        must="no job lost, none done twice",
        connections_ended=terminated,
        jobs_with_a_second_attempt=again,
    )


def test_a_restart_in_immediate_mode_while_jobs_finish(field: Field) -> None:
    """What `pg_ctl restart -m immediate` does: SIGQUIT, no checkpoint; the server recovers from its log."""
    workers = [field.worker(**_QUICK) for _ in range(4)]
    field.started(*workers)
    restarts, resumed = 8, []
    field.enqueue(600, do="sleep", seconds=0.05)
    for _ in range(restarts):
        time.sleep(1.5)
        pid = field.server.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        at = time.monotonic()
        eventually(lambda pid=pid: field.server.pid not in (None, pid))  # type: ignore[misc]
        eventually(lambda: _answers(field))
        done = _done(field)
        field.enqueue(30, do="sleep", seconds=0.05)
        eventually(lambda done=done: _done(field) > done)  # type: ignore[misc]
        resumed.append(time.monotonic() - at)
    field.wait_until_all_ended(120)
    assert all(worker.stop() == 0 for worker in workers)
    field.count(
        say=f"restart -m immediate while jobs finish, {restarts} times, 4 workers",
        must="no job lost, none done twice; pickup resumes within 15 s",
        slowest_resume_s=round(max(resumed), 1),
    )
    assert max(resumed) < 15


def _answers(field: Field) -> bool:
    import psycopg

    try:
        field.left()
    except psycopg.Error:
        return False
    return True


def _done(field: Field) -> int:
    return int(execute(field.dsn, "SELECT count(*) n FROM audio_job_queue WHERE status = 'completed'")[0]["n"])


def test_half_open_connections_of_the_listener_and_the_queue(field: Field) -> None:
    """Every connection goes silent; a job inserted then is claimed within 15 s."""
    with HalfOpen(field.dsn) as proxy:
        jitter = random.Random(1)
        worker = field.worker(dsn=proxy.dsn)  # production's 10 s between polls
        worker.wait_for("started")
        eventually(lambda: "listener: up" in worker.text())
        waits = []
        for _ in range(4):
            (job,) = field.enqueue()
            eventually(lambda job=job: field.status(job) == "completed", 15)  # type: ignore[misc]
            time.sleep(jitter.uniform(0.2, 8.0))
            proxy.freeze()
            (job,) = field.enqueue()
            at = time.monotonic()
            eventually(lambda job=job: field.status(job) == "completed", 60)  # type: ignore[misc]
            waits.append(time.monotonic() - at)
            ups = worker.text().count("listener: up")
            eventually(lambda ups=ups: worker.text().count("listener: up") > ups or ups > len(waits), 60)  # type: ignore[misc]
        assert worker.stop() == 0
    field.count(
        say="all connections half-open, the listener's too (4 times)",
        must="pickup resumes within 15 s, and the listener comes back",
        slowest_pickup_s=round(max(waits), 1),
        median_s=round(statistics.median(waits), 1),
    )
    assert max(waits) < 15


def test_the_claims_answer_is_dropped_after_commit(field: Field) -> None:
    """The worker does not know that it holds the row; the next claim, with the same token, returns it."""
    rounds = 20
    with Proxy(field.dsn) as proxy:
        worker = field.worker(dsn=proxy.dsn)
        worker.wait_for("started")
        eventually(lambda: "listener: up" in worker.text())
        waits = []
        for _ in range(rounds):
            proxy.swallow_next_answer()
            at = time.monotonic()
            (job,) = field.enqueue()
            eventually(lambda job=job: field.status(job) == "completed", 60)  # type: ignore[misc]
            waits.append(time.monotonic() - at)
        assert worker.stop() == 0
        dropped = worker.text().count('"claim.failed"')
    attempts = execute(field.dsn, "SELECT max(attempt) n FROM audio_job_queue")[0]["n"]
    field.count(
        say=f"the claim's answer dropped after COMMIT ({rounds} times)",
        must="the worker finds its row again, long before the lease runs out",
        answers_dropped=dropped,
        slowest_s=round(max(waits), 1),
        most_attempts=attempts,
    )
    assert dropped >= rounds // 2
    assert attempts == 1
    assert max(waits) < 15
