"""What becomes of jobs that fail, crash, hang, or cannot be read; in real processes, on a real queue."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from database import execute
from works import HURRY, Works, attempts, eventually


def test_a_permanent_error_fails_at_once_with_the_customers_message(works: Works) -> None:
    job = works.enqueue(do="fail", error="JobError", message=["bpm:", "900", "is", "too", "long"])
    works.drain()
    row = works.row(job)
    assert (row["status"], row["error"], row["error_code"]) == ("failed", "bpm: 900 is too long", "test.asked")


def test_a_bug_is_retried_and_its_text_is_not_logged(works: Works) -> None:
    job = works.enqueue(do="bug", script="I sleep well")
    works.drain()
    row = works.row(job)
    assert (row["status"], row["attempt"]) == ("failed", 2)
    assert "I sleep well" not in f"{row['error']} {row['error_code']}" + "".join(
        str(ended.error) for ended in works.observer.all
    )


@pytest.mark.parametrize("do", ["kill self", "exit", "segfault"])
def test_the_third_crash_is_poison_and_other_jobs_finish(works: Works, do: str) -> None:
    bad = works.enqueue(do=do)
    good = [works.enqueue() for _ in range(3)]
    works.drain()
    row = works.row(bad)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("failed", "poison", 3)
    assert all(works.row(job)["status"] == "completed" for job in good)


@pytest.mark.parametrize("do", ["allocate", "allocate apart"])
def test_out_of_memory_is_retried_once(works: Works, do: str) -> None:
    """In one process RLIMIT_DATA ends it, in several the worker's check."""
    works.set(memory_limit_mb=160)
    bad, good = works.enqueue(do=do), works.enqueue()
    works.drain()
    assert works.outcomes().count("retried") == 1
    row = works.row(bad)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "resource.memory", 2)
    assert works.row(good)["status"] == "completed"


def test_a_job_that_hangs_is_stopped_and_tried_again(works: Works) -> None:
    works.timings = replace(HURRY, silent_s=4.0)
    job = works.enqueue(do="silent", seconds=600, attempts=1)
    works.drain()
    assert works.outcomes() == ["retried", "completed"]
    assert [getattr(ended.error, "code", None) for ended in works.observer.all] == ["job.silent", None]
    assert works.row(job)["crash_count"] == 0


def test_a_job_over_its_deadline_is_stopped_with_all_it_started(works: Works) -> None:
    """It tells of progress all the time, so nothing else would stop it."""
    works.set(job_deadline_min=0.02)
    note = works.folder / "note"
    job = works.enqueue(do="family", seconds=600, note=str(note))
    works.drain()
    row = works.row(job)
    assert works.outcomes() == ["retried", "failed"]
    assert (row["status"], row["error_code"], row["attempt"], row["crash_count"]) == ("failed", "job.deadline", 2, 0)
    assert row["error"] == "Your track took too long to be made. Please contact support."
    assert "JOB_DEADLINE_MIN" in str(works.observer.all[-1].error)
    assert not any(Path(f"/proc/{pid}").exists() for pid in note.read_text().split())


def test_a_job_that_a_worker_died_beside_runs_alone(works: Works) -> None:
    """It waits for the one before it, with its lease kept; the one behind it is not claimed meanwhile."""
    works.set(worker_concurrency=3)
    gate = works.folder / "gate"
    first, suspect = works.enqueue(do="wait", until=str(gate)), works.enqueue()
    execute(works.dsn, "UPDATE audio_job_queue SET error_code = 'crash.shared' WHERE id = %s", suspect)
    behind = works.enqueue()
    leases: set[object] = set()
    with works.working():
        while len(leases) < 4:  # heartbeats
            row = works.row(suspect)
            assert (row["status"], row["stage"]) in (("pending", None), ("processing", None))
            leases |= {row["lease_expires_at"]}
            time.sleep(0.01)
        assert works.row(behind)["status"] == "pending"
        gate.touch()
        eventually(lambda: len(works.outcomes()) == 3)
    assert attempts(works) == [(first, "completed"), (suspect, "completed"), (behind, "completed")]


def test_a_longer_track_may_work_for_longer(works: Works) -> None:
    """2 s at most for a track of no length; one of 60 s may take 122 s."""
    works.set(job_deadline_min=2 / 60)
    works.enqueue(do="sleep", seconds=4, length=60)
    works.drain()
    assert works.outcomes() == ["completed"]


def test_the_fork_server_is_replaced_when_a_job_kills_it(works: Works) -> None:
    job, neighbour = works.enqueue(do="kill parent"), works.enqueue()
    works.drain()
    assert [works.row(name)["status"] for name in (job, neighbour)] == ["completed", "completed"]


def test_payloads_that_python_cannot_load_fail_alone(works: Works) -> None:
    """Valid jsonb; each is parsed in its own job process, so no other job waits and no crash is counted."""
    hostile = {
        "nested": "'{\"x\":' || repeat('[', 2000) || repeat(']', 2000) || '}'",
        "digits": "'{\"x\":' || repeat('9', 5000) || '}'",
        "a list": "'[1, 2]'",
        "a word": "'\"x\"'",
    }
    good = [works.enqueue() for _ in range(2)]
    for text in hostile.values():
        execute(works.dsn, f"INSERT INTO audio_job_queue (payload) VALUES (({text})::jsonb)")
    good.append(works.enqueue())
    works.drain()
    assert works.statuses() == ["completed"] * 2 + ["failed"] * len(hostile) + ["completed"]
    rows = execute(works.dsn, "SELECT error_code, crash_count, attempt FROM audio_job_queue WHERE status = 'failed'")
    assert [tuple(row.values()) for row in rows] == [("job.invalid", 0, 1)] * len(hostile)


def test_a_payload_that_is_too_large_fails_before_a_process_starts(works: Works) -> None:
    execute(works.dsn, "INSERT INTO audio_job_queue (payload) VALUES (jsonb_build_object('x', repeat('y', 50000000)))")
    works.enqueue()
    works.drain()
    assert works.statuses() == ["failed", "completed"]
    row = execute(works.dsn, "SELECT error, error_code FROM audio_job_queue WHERE status = 'failed'")[0]
    assert row["error_code"] == "job.too_large"
    assert "too large" in row["error"]
    assert works.observer.all[0].claim.payload_text is None


def test_a_row_that_is_reset_too_often_fails(works: Works) -> None:
    job = works.enqueue()
    execute(works.dsn, "UPDATE audio_job_queue SET attempt = 5 WHERE id = %s", job)
    works.drain()
    assert (works.row(job)["status"], works.row(job)["error_code"]) == ("failed", "attempts")
