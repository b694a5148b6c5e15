"""SIGTERM and cancelling, with production's timings."""

from __future__ import annotations

import random
import signal
import time

import psutil
import pytest
from database import execute
from field import Field, eventually
from standins.proxy import Proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_sigterm_to_the_group_mid_render_three_times_over(either_field: Field) -> None:
    """As with three deploys in a row: the attempt is counted once, at the end."""
    field = either_field
    job = field.enqueue(do="sleep", seconds=40)[0]
    slowest, back = 0.0, 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        worker = field.worker()
        eventually(lambda: field.stage(job) == "Sleeping")
        told_at = time.monotonic()
        worker.signal_everybody(number)
        time.sleep(0.2)
        worker.signal_everybody(signal.SIGTERM)  # a second one changes nothing
        assert worker.process.wait(30) == 0
        slowest = max(slowest, time.monotonic() - told_at)
        back += field.status(job) == "pending" and _attempts(field) == 0
    execute(field.dsn, 'UPDATE audio_job_queue SET payload = \'{"do": "sleep", "seconds": 1}\'')
    worker = field.worker(drain=True)
    assert worker.process.wait(60) == 0
    attempts = [event["attempt"] for event in worker.events() if event.get("event") == "job"]
    field.count(
        say=f"SIGTERM to every process mid-render, three times over ({field.mode} mode)",
        must="exits 0 within 25 s; the job is back with its attempt not counted",
        slowest_exit_s=round(slowest, 2),
        put_back=back,
        attempt_that_completed=attempts[-1],
    )
    assert back == 3
    assert (field.status(job), attempts) == ("completed", [1])
    assert slowest < 25


def _attempts(field: Field) -> int:
    """What the one row says; plain mode notes it in the result."""
    row = execute(field.dsn, "SELECT * FROM audio_job_queue")[0]
    if field.mode == "leased":
        return int(row["attempt"] + row["crash_count"])
    return int(row["result"]["worker"]["attempt"] + row["result"]["worker"]["crashes"])


def test_sigterm_when_the_rest_is_short_lets_the_job_finish(field: Field) -> None:
    job = field.enqueue(do="sleep", seconds=12)[0]  # far below 18 s, also by the estimate of a busy machine
    worker = field.worker()
    eventually(lambda: any(event.get("event") == "started" for event in worker.events()))
    eventually(lambda: field.stage(job) == "Sleeping")
    time.sleep(4)
    told_at = time.monotonic()
    worker.signal_everybody(signal.SIGTERM)
    assert worker.process.wait(30) == 0
    took = time.monotonic() - told_at
    field.count(
        say="SIGTERM with less than 18 s to go",
        must="the job finishes, then the worker exits 0 within 25 s",
        exit_s=round(took, 2),
    )
    assert field.status(job) == "completed"
    assert took < 25


@pytest.mark.parametrize("how", ["half-open", "refusing"])
def test_sigterm_with_the_database_gone(field: Field, how: str) -> None:
    """The job cannot be released: its lease runs out, and another worker makes it."""
    job = field.enqueue(do="sleep", seconds=30, attempts=1)[0]
    with Proxy(field.dsn) as proxy:
        worker = field.worker(dsn=proxy.dsn, lease_s=20.0)
        eventually(lambda: field.stage(job) == "Sleeping")
        if how == "half-open":
            proxy.stall()
        else:
            proxy.refuse()
        told_at = time.monotonic()
        worker.signal_everybody(signal.SIGTERM)
        assert worker.process.wait(40) == 0
        took = time.monotonic() - told_at
    heir = field.worker(poll_interval_ms=1000)
    field.wait_until_all_ended(90)
    assert heir.stop() == 0
    field.count(
        say=f"SIGTERM with the database gone ({how})",
        must="exits 0 within 25 s; the job is made by another worker",
        exit_s=round(took, 2),
    )
    assert field.status(job) == "completed"
    assert took < 25


def test_cancelling_stops_the_render_within_five_seconds(either_field: Field) -> None:
    """In plain mode there is no notification: the worker checks the row. Nothing is published afterwards."""
    field = either_field
    jitter = random.Random(3)
    ledger = field.folder / "ledger"
    count = 8
    jobs = field.enqueue(count, do="sleep", seconds=25, ledger=str(ledger))
    worker = field.worker(worker_concurrency=count, max_jobs_per_cycle=count)
    worker.wait_for("started")
    eventually(lambda: all(field.stage(job) == "Sleeping" for job in jobs))
    sessions = {process.pid for process in worker.family() if _is_job(process)}
    assert len(sessions) == count
    slowest = 0.0
    for job in jobs:
        time.sleep(jitter.uniform(0.0, 0.7))
        before = {pid for pid in sessions if psutil.pid_exists(pid)}
        at = time.monotonic()
        execute(field.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        eventually(lambda before=before: any(not psutil.pid_exists(pid) for pid in before), every_s=0.01)  # type: ignore[misc]
        slowest = max(slowest, time.monotonic() - at)
    time.sleep(1)
    assert worker.stop() == 0
    field.count(
        say=f"cancelling a render ({field.mode} mode, {count} of them)",
        must="the render stops within 5 s; nothing is published afterwards",
        slowest_s=round(slowest, 2),
        published=len(ledger.read_text().splitlines()) if ledger.exists() else 0,
    )
    assert slowest < 5
    assert not ledger.exists()


def _is_job(process: psutil.Process) -> bool:
    try:
        return (
            "worker.job.fork_server" in " ".join(process.cmdline())
            and process.parent() is not None
            and (
                "worker.job.fork_server" in " ".join(process.parent().cmdline())  # type: ignore[union-attr]
            )
        )
    except psutil.Error:
        return False
