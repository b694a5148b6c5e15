"""`jobs`: what runs, has failed, waits and is done, whatever the newest rows are and whatever customers write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from database import execute
from operating import Operator

NASTY = "[/b] [local] \x1b[31m\x9b31m \u202e\u2028 'é'"
NOW = datetime.now(UTC)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def test_a_closed_standard_output_hinders_no_command(operator_at: Callable[[str], Operator]) -> None:
    """As with `>&-`: the database's connection must not get the number 1."""
    environment = {**os.environ, **operator_at("leased-postgres").settings}
    for closed in (">&-", "<&- >&-"):
        command = f'exec "$0" -m worker jobs {closed}'
        done = subprocess.run(
            ["/bin/sh", "-c", command, sys.executable], env=environment, capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_running_and_failed_jobs_show_among_many_newer_ones(operator: Operator) -> None:
    running = operator.job(
        "processing", created_at=ago(900), started_at=ago(3), stage="Mixing audio layers", progress=40
    )
    failed = operator.job("failed", created_at=ago(800), error="no such voice", completed_at=ago(2))
    waiting = [operator.job(created_at=ago(700 - n), payload={"durationMin": 8}) for n in range(12)]
    result = {
        "duration": 605,
        "url": "audio-renders/tracks/t/j.mp3",
        "speech": {"characters_asked": 321, "cents": 1.25},
    }
    for n in range(40):
        operator.job("completed", created_at=ago(60 - n), completed_at=ago(50 - n), result=json.dumps(result))
    text = operator("jobs")
    assert text.splitlines()[0] == "1 running  1 failed  12 waiting  40 done"
    for words in (running[:8], "Mixing audio layers", failed[:8], "no such voice", waiting[0][:8], "waiting, 10 of 12"):
        assert words in text
    assert waiting[11][:8] not in text  # the oldest come first
    assert "done, 10 of 40" in text
    assert all(words in text for words in ("10:05", "321", "1.2 ¢", "8:00", "audio-renders/tracks/t/j.mp3"))

    listed = operator.json("jobs", "--limit", "3")
    assert listed["counts"] == {"running": 1, "failed": 1, "waiting": 12, "parked": 0, "done": 40, "cancelled": 0}
    assert [job["status"] for job in listed["jobs"]] == ["running", "failed", *["waiting"] * 3, *["done"] * 3]
    assert [job["id"] for job in listed["jobs"]][:5] == [running, failed, *waiting[:3]]
    done = listed["jobs"][-1]
    assert (done["length_s"], done["characters"], done["cents"]) == (605, 321, 1.25)
    assert {job["id"] for job in operator.json("jobs", "--status", "failed")["jobs"]} == {failed}
    assert operator.json("jobs", "--status", "cancelled")["jobs"] == []

    with closing(operator.queue()) as queue:
        named = queue.listed_by_id([failed, done["id"], str(uuid.uuid4())])
    assert {job_id: (job.group, job.path) for job_id, job in named.items()} == {
        failed: ("failed", None),
        done["id"]: ("done", result["url"]),
    }


@pytest.mark.parametrize("way", ["leased-postgres", "plain-supabase"])
def test_what_customers_write_is_neither_markup_nor_control(operator_at: Callable[[str], Operator], way: str) -> None:
    operator = operator_at(way)
    track = operator.track(NASTY)
    for status in ("pending", "processing", "completed", "failed", "cancelled"):
        result = json.dumps({"url": NASTY, "speech": {"characters_asked": NASTY}, "notes": [NASTY]})
        operator.job(status, track_id=track, stage=NASTY, error=NASTY, result=result, payload={"durationMin": NASTY})
    for arguments in (("jobs",), ("jobs", "--json"), ("queue", "status")):
        text = operator(*arguments)
        assert not [each for each in text if each != "\n" and unicodedata.category(each)[0] in "CZ" and each != " "]
    assert operator("jobs").count("[/b] [local] ") >= 5
    assert "[/b] [local] \\x1b[31m" in operator("jobs", "show", operator.json("jobs")["jobs"][0]["id"])


def test_a_row_of_megabytes_hides_no_other(operator_at: Callable[[str], Operator]) -> None:
    """Over HTTP an answer is bounded, and customers can write any column of their own rows."""
    operator = operator_at("leased-supabase")
    large = "x" * 3_000_000
    small = operator.job("processing", stage="Mixing audio layers", track_id=operator.track("Calm"))
    ids = [operator.job("processing", stage=large, error=large), operator.job("processing", error=large)]
    titled = operator.job("processing", track_id=operator.track(large[:2_500_000]))
    paid = operator.job("processing", track_id=operator.track(large[:2_500_000]), payload={"metadata": {"x": large}})
    jobs = {job["id"]: job for job in operator.json("jobs", "--status", "running")["jobs"]}
    assert jobs.keys() == {small, titled, paid, *ids}
    assert (jobs[small]["stage"], jobs[small]["title"]) == ("Mixing audio layers", "Calm")
    assert jobs[ids[0]]["error"] == "(its row is too large to be read)"
    assert ids[0] in operator("jobs", "show", ids[0])


def test_parked_jobs_have_a_group_and_their_cause(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("leased-supabase")
    execute(
        operator.dsn, "INSERT INTO worker_causes VALUES ('openai/tts-1/voice.model', now(), 'it has ended', now(), 0)"
    )
    for _ in range(2):
        operator.job(parked_cause="openai/tts-1/voice.model", parked_since=ago(5))
    operator.job(run_after=datetime.now(UTC) + timedelta(minutes=10), error_code="service.unavailable", attempt=1)
    text = operator("jobs")
    assert text.splitlines()[0] == "1 waiting  2 parked"
    assert text.count("openai/tts-1/voice.model") == 2
    assert "its next attempt in 10 min service.unavailable" in text
    state = operator("queue", "status")
    assert "openai/tts-1/voice.model" in state
    assert "it has ended" in state
    cause = operator.json("queue", "status")["causes"][0]
    assert (cause["cause"], cause["jobs"], cause["message"]) == ("openai/tts-1/voice.model", 2, "it has ended")


def test_watching_with_json_is_a_line_at_a_time(
    operator_at: Callable[[str], Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = operator_at("plain-postgres")
    operator.job()
    looks = iter((None, None))
    monkeypatch.setattr("worker.cli.jobs_list.time.sleep", lambda _s: next(looks))  # then Ctrl-C, in effect
    lines = [line for line in operator("jobs", "--watch", "--json", status=1).splitlines() if line.startswith("{")]
    assert [json.loads(line)["counts"]["waiting"] for line in lines] == [1, 1, 1]


@pytest.mark.parametrize(
    "arguments", [("--limit", "0"), ("--limit", "x"), ("--status", "pending"), ("--watch", "show", "1")], ids=" ".join
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from worker.cli.main import run

    with pytest.raises(SystemExit, match="2"):
        run(["jobs", *arguments])
    assert "error:" in capsys.readouterr().err
