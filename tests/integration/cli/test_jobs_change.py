"""`jobs cancel`, `retry`, `purge`, `priority` and `queue`: what is done, what is refused, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from database import execute, row_of
from operating import Operator
from standins.worker_process import worker_process

from worker.service.heartbeat import WorkerTimings

QUICK = WorkerTimings(heartbeat_s=0.5, check_s=0.2, rescue_s=5.0)
STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
NOBODY = "00000000-0000-4000-8000-000000000000"


def status_of(operator: Operator, job: str) -> str:
    return str(row_of(operator.dsn, job)["status"])


def test_each_job_is_done_or_refused_with_its_reason(operator: Operator) -> None:
    jobs = {status: operator.job(status, payload={"script": "x"}) for status in STATUSES}
    text = operator("jobs", "cancel", *jobs.values(), NOBODY, "--yes", status=1)
    assert f"{jobs['pending']} cancelled (was waiting)" in text
    assert f"{jobs['processing']} cancelled (was running)" in text
    assert f"{jobs['failed']} refused: it is failed already" in text
    assert f"there is no job {NOBODY}" in text
    assert "2 of 6 jobs cancelled" in text
    assert [status_of(operator, job) for job in jobs.values()] == ["cancelled"] * 2 + list(STATUSES[2:])

    text = operator("jobs", "retry", jobs["failed"], jobs["completed"], jobs["pending"], status=1)
    assert f"{jobs['completed']} refused: it is completed" in text
    assert "2 of 3 jobs waiting again" in text
    assert [status_of(operator, jobs[each]) for each in ("failed", "pending")] == ["pending"] * 2
    assert "only failed and cancelled jobs" in operator("jobs", "retry", jobs["failed"], status=1)

    assert f"{jobs['completed']} purged (was completed)" in operator("jobs", "purge", jobs["completed"][:18])
    assert "cancel it first" in operator("jobs", "purge", jobs["failed"], status=1)
    assert row_of(operator.dsn, jobs["completed"])[operator.column] == {}
    assert row_of(operator.dsn, jobs["failed"])[operator.column] == {"script": "x"}


def test_a_running_job_stops_and_can_be_done_again(operator_at: Callable[[str], Operator], tmp_path: Path) -> None:
    operator = operator_at("leased-postgres")
    job = operator.job(payload={"do": "sleep", "seconds": 600, "attempts": 9})
    with worker_process(tmp_path, {**operator.settings, "TMPDIR": str(tmp_path)}, timings=QUICK) as worker:
        worker.wait_for("started")
        until(lambda: row_of(operator.dsn, job)["stage"] == "Sleeping")
        assert "cancelled (was running)" in operator("jobs", "cancel", job)
        assert worker.wait_for("job")["outcome"] == "cancelled"
        execute(operator.dsn, f"UPDATE audio_job_queue SET {operator.column} = '{{}}' WHERE id = %s", job)
        operator("jobs", "retry", job)
        until(lambda: row_of(operator.dsn, job)["status"] == "completed")
    outcomes = [each["outcome"] for each in operator.json("jobs", "show", job)["attempts"]]
    assert outcomes == ["cancelled", "completed"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_all_failed_jobs_at_once(operator: Operator) -> None:
    failed = [operator.job("failed", payload={"n": n}) for n in range(3)]
    kept = operator.job("cancelled")
    assert "retry would be tried on 3 jobs" in operator("jobs", "retry", "--failed", "--dry-run")
    assert {status_of(operator, job) for job in failed} == {"failed"}
    assert "3 of 3 jobs waiting again" in operator("jobs", "retry", "--failed")
    assert {status_of(operator, job) for job in failed} == {"pending"}
    assert status_of(operator, kept) == "cancelled"
    assert "no job was found" in operator("jobs", "retry", "--failed")


def test_jobs_are_chosen_by_their_code(operator: Operator) -> None:
    if operator.mode == "plain":
        assert "run `mindscript-worker migrate`" in operator("jobs", "retry", "--code", "voice", status=1)
        return
    codes = ("voice.model", "voice", "voices.other", "media.empty")
    jobs = {code: operator.job("failed", error_code=code) for code in codes}
    assert "2 of 2 jobs waiting again" in operator("jobs", "retry", "--code", "voice")
    assert [status_of(operator, job) for job in jobs.values()] == ["pending", "pending", "failed", "failed"]
    assert f"{jobs['media.empty']} purged (was failed)" in operator("jobs", "purge", "--code", "media.empty")
    assert "its payload was purged" in operator("jobs", "retry", jobs["media.empty"], status=1)
    waiting = [operator.job("pending", error_code=code) for code in ("storage.bucket", "media.empty")]
    assert f"{waiting[0]} cancelled (was waiting)" in operator("jobs", "cancel", "--code", "storage.bucket")
    assert status_of(operator, waiting[1]) == "pending"


def test_old_jobs_are_purged_by_their_age(operator: Operator) -> None:
    now = datetime.now(UTC)
    jobs = []
    for days in (100, 91, 89):
        then = now - timedelta(days=days)
        jobs.append(operator.job("completed", payload={"n": 1}, created_at=then, completed_at=then, updated_at=then))
    old_but_waiting = operator.job(
        payload={"n": 1}, created_at=now - timedelta(days=100), updated_at=now - timedelta(days=100)
    )
    assert "would be purged: 2 jobs" in operator("jobs", "purge", "--older-than", "90d", "--dry-run")
    assert "2 jobs purged" in operator("jobs", "purge", "--older-than", "90d")
    found = [row_of(operator.dsn, job)[operator.column] for job in (*jobs, old_but_waiting)]
    assert found == [{}, {}, {"n": 1}, {"n": 1}]


def test_more_than_one_is_asked_for_at_a_terminal(
    operator_at: Callable[[str], Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = operator_at("leased-postgres")
    jobs = [operator.job() for _ in range(2)]
    answers: list[str] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return answers.pop(0)

    monkeypatch.setattr("sys.stdin", Terminal())
    answers[:] = ["\n"]
    text = operator("jobs", "cancel", *jobs, status=1)
    assert "cancel 2 jobs? [y/N]" in text
    assert "nothing was changed" in text
    assert status_of(operator, jobs[0]) == "pending"
    operator("jobs", "cancel", jobs[0])  # one alone was meant
    answers[:] = ["y\n"]
    operator("jobs", "retry", "--failed")
    execute(operator.dsn, "UPDATE audio_job_queue SET status = 'failed'")
    operator("jobs", "retry", "--failed")
    assert answers == []
    operator("jobs", "cancel", *jobs, "--yes")


def test_priority_and_pause_of_a_migrated_queue(operator: Operator) -> None:
    first, second = operator.job(), operator.job()
    if operator.mode == "plain":
        for arguments in (("jobs", "priority", first, "5"), ("queue", "pause"), ("queue", "resume")):
            assert "run `mindscript-worker migrate`" in operator(*arguments, status=1)
        assert "2 waiting" in operator("queue", "status")
        return
    assert f"{second} given its priority (was waiting)" in operator("jobs", "priority", second, "5")
    operator("queue", "pause", "--reason", "moving [/b] house\x1b")
    queue = operator.queue()
    assert queue.claim() is None
    text = operator("queue", "status")
    assert "paused for" in text
    assert "moving [/b] house\\x1b" in text
    assert operator.json("queue", "status")["paused"]["reason"] == "moving [/b] house\x1b"
    assert operator.json("jobs")["paused"] is not None
    assert "resumed" in operator("queue", "resume")
    assert "was not paused" in operator("queue", "resume")
    claims = [queue.claim(), queue.claim()]
    assert [claim.job_id for claim in claims if claim is not None] == [second, first]
    queue.close()


def test_a_job_that_a_trigger_refuses_keeps_no_other_back(operator: Operator) -> None:
    good, bad = operator.job(), operator.job(stage="stuck")
    execute(
        operator.dsn,
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
           CREATE TRIGGER refuse BEFORE UPDATE ON audio_job_queue FOR EACH ROW
           WHEN (OLD.stage = 'stuck') EXECUTE FUNCTION refuse()""",
    )
    text = operator("jobs", "cancel", bad, good, status=1)
    assert f"{bad} refused: the database refuses it (P0001); look at the app's triggers" in text
    assert status_of(operator, good) == "cancelled"


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "retry"),
        ("jobs", "retry", "a", "--failed"),
        ("jobs", "purge", "--failed", "--older-than", "9d"),
        ("jobs", "purge", "--older-than", "9"),
        ("jobs", "purge", "--older-than", "0d"),
        ("jobs", "cancel"),
        ("jobs", "priority", "a", "101"),
        ("canary", "--music", "a", "--no-music"),
        ("forget", "--user", "ann"),
        ("forget",),
    ],
    ids=" ".join,
)
def test_wrong_arguments_end_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.cli.main import run

    monkeypatch.delenv("DATABASE_URL", raising=False)
    try:
        status = run(arguments)
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    assert "error:" in capsys.readouterr().err


def test_a_commands_json_is_one_document(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("plain-postgres")
    operator.job()
    for arguments in (("jobs", "--json"), ("queue", "status", "--json"), ("--debug", "jobs", "--json")):
        assert isinstance(json.loads(operator(*arguments)), dict)


def test_json_says_what_became_of_each_job(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("leased-postgres")
    waiting, done = operator.job(), operator.job("completed")
    tried = operator.json("jobs", "cancel", waiting, "--dry-run")
    assert tried["dry_run"]
    assert status_of(operator, waiting) == "pending"
    changed = operator.json("jobs", "cancel", waiting, done, NOBODY, "--yes", status=1)
    assert {each["id"]: (each["done"], each["was"]) for each in changed["jobs"]} == {
        NOBODY: (False, None),
        waiting: (True, "waiting"),
        done: (False, "completed"),
    }
    assert {each["id"]: each["reason"] for each in changed["jobs"]} == {
        NOBODY: f"there is no job {NOBODY}",
        waiting: None,
        done: "it is completed already",
    }
    older = operator.json("jobs", "purge", "--older-than", "1h")
    assert older == {"dry_run": False, "due": 0, "is_all": True, "purged": 0}
    assert operator.json("queue", "pause", "--reason", "rest")["paused"]["reason"] == "rest"
    assert operator.json("queue", "resume") == {"paused": None}
    assert operator.json("migrate")["ran"]
    forgotten = operator.json("forget", "--user", NOBODY, "--yes")
    assert (forgotten["jobs"], forgotten["failures"]) == (0, [])
