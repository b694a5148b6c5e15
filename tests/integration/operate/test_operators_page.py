"""The queue's page beside the command line: the same figures, the same deeds, in every way to the database."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from database import execute, row_of
from operating import Operator
from operators_page import ServedPage, served_page

from worker.errors import ConfigurationError, MediaError
from worker.operate import app
from worker.operate.feed import FeedTimings
from worker.queue.claims import AttemptReport
from worker.queue.listener import Listener


def told(client: httpx.Client, until: Callable[[dict[str, Any]], bool] = lambda queue: True) -> dict[str, Any]:
    """The first event that is so."""
    deadline = time.monotonic() + 60
    with client.stream("GET", "/studio/api/events") as events:
        for line in events.iter_lines():
            assert time.monotonic() < deadline, "it was not told"
            if line.startswith("data: ") and until(queue := json.loads(line.removeprefix("data: "))):
                found: dict[str, Any] = queue
                return found
    raise AssertionError("the stream has ended")


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def failed(operator: Operator, code: str, *, message: str = "no sound in it", error: str = "Sorry.") -> str:
    job = operator.job()
    with closing(operator.queue()) as queue:
        claim = queue.claim()
        assert claim is not None
        assert claim.job_id == job
        failure = MediaError(message, code=code, customer_message=error)
        queue.resolve_failure(claim, failure, report=AttemptReport(message, {"fetch": 1.5}))
    return job


def test_the_figures_are_those_of_the_command_line(operator: Operator, served: ServedPage) -> None:
    operator.job(created_at=ago(hours=3))
    operator.job("failed", error="Sorry.", completed_at=ago(minutes=5))
    operator.job("completed", completed_at=ago(minutes=30))
    operator.job("completed", completed_at=ago(hours=5))
    operator.job("completed", completed_at=ago(days=3))
    running = operator.job("processing", started_at=ago(seconds=100), progress=50, stage="encode")
    queue = told(served.client())
    printed = operator.json("jobs", "--limit", "25")
    assert queue["counts"] == printed["counts"]
    assert queue["oldest_waiting_at"] == printed["oldest_waiting_at"]
    assert queue["completed"] == {"hour": 1, "day": 2}
    listed = [job for jobs in queue["jobs"].values() for job in jobs]
    assert [{key: value for key, value in job.items() if key != "left_s"} for job in listed] == printed["jobs"]
    (shown,) = queue["jobs"]["running"]
    assert (shown["id"], shown["stage"], shown["progress"]) == (running, "encode", 50)
    assert shown["left_s"] == pytest.approx(100, rel=0.5)
    assert queue["mode"] == operator.mode


def test_what_failed_is_grouped_by_its_cause(operator: Operator, served: ServedPage) -> None:
    for code, error in (("media.empty", "A"), ("storage.bucket", "B"), ("media.empty", "A")):
        newest = failed(operator, code, error=error)
    groups = told(served.client())["failures"]["groups"]
    assert [(group["jobs"], group["error"]) for group in groups] == [(2, "A"), (1, "B")]
    assert groups[0]["newest"] == newest
    if operator.mode == "leased":
        assert [group["code"] for group in groups] == ["media.empty", "storage.bucket"]
        assert groups[0]["command"] == "jobs retry --code media.empty"
    else:
        assert [(group["code"], group["command"]) for group in groups] == [(None, None)] * 2


def test_workers_are_those_that_the_rows_name_and_this_one(operator: Operator, served: ServedPage) -> None:
    with closing(operator.queue()) as queue:  # a worker named w
        queue.enqueue({})
        claim = queue.claim()
        assert claim is not None
        workers = told(served.client())["workers"]
        assert (workers[0]["worker"], workers[0]["here"]) == ("w1", True)
        if operator.mode == "plain":
            assert workers[1:] == []
            assert "does not say which worker" in str(told(served.client())["unknown"])
            return
        assert [(each["worker"], each["running"]) for each in workers[1:]] == [("w", 1)]
        seen_at = workers[1]["seen_at"]
        assert abs(datetime.fromisoformat(seen_at) - datetime.now(UTC)) < timedelta(minutes=5)
        queue.resolve_failure(claim, MediaError("x", code="media.empty"))
        later = told(served.client(), lambda queue: queue["workers"][1:][0]["running"] == 0)
        assert later["workers"][1]["seen_at"] >= seen_at


def test_what_waits_for_the_operator_has_its_cause(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("leased-postgres")
    parked = operator.job()
    with closing(operator.queue()) as queue:
        claim = queue.claim()
        assert claim is not None
        queue.resolve_failure(claim, ConfigurationError("the model has ended", code="voice.model", about=("tts-1",)))
    with served_page(operator.config) as served:
        served.state.own.meet(ConfigurationError("FFmpeg is missing", code="configuration.ffmpeg"))
        client = served.client()
        seen = told(client)
        (cause,), (own,) = seen["causes"], seen["own_causes"]
        assert (cause["message"], cause["jobs"], own["message"]) == ("the model has ended", 1, "FFmpeg is missing")
        assert [job["id"] for job in seen["jobs"]["parked"]] == [parked]
        assert client.get(f"/studio/api/jobs/{parked}").json()["cause"]["message"] == "the model has ended"


def test_a_job_tells_its_story(operator: Operator, served: ServedPage) -> None:
    job = failed(operator, "media.empty", message="rain.mp3 holds no sound")
    story = served.client().get(f"/studio/api/jobs/{job[:13]}").json()
    assert {key: story[key] for key in ("id", "status", "error")} == {"id": job, "status": "failed", "error": "Sorry."}
    if operator.mode == "leased":
        (attempt,) = story["attempts"]
        assert (attempt["error"], attempt["stages"]) == ("rain.mp3 holds no sound", {"fetch": 1.5})
    else:
        assert story["attempts"] is None
    assert [(each["verb"], each["command"]) for each in story["actions"]] == [
        ("retry", f"jobs retry {job}"),
        ("purge", f"jobs purge {job}"),
    ]
    printed = operator.json("jobs", "show", job)
    assert {key: story[key] for key in printed} == printed
    assert served.client().get(f"/studio/api/jobs/{'0' * 32}").status_code == 404


def test_what_was_delivered_is_played_from_the_storage(operator: Operator, served: ServedPage) -> None:
    job = operator.job()
    path = f"audio-renders/tracks/{job}/{job}-abc.mp3"
    result = {"url": path, "quality": {"integrated_lufs": -16.02, "target_lufs": -16.0}}
    execute(
        operator.dsn,
        "UPDATE audio_job_queue SET status = 'completed', result = %s WHERE id = %s",
        json.dumps(result),
        job,
    )
    if operator.project is not None:
        operator.project.storage.put("audio-renders", path.removeprefix("audio-renders/"), b"sound", "audio/mpeg")
    else:
        file = operator.config.storage_dir / path
        file.parent.mkdir(parents=True)
        file.write_bytes(b"sound")
    client = served.client()
    story = client.get(f"/studio/api/jobs/{job}").json()
    assert story["receipt"] == [{"name": "Loudness", "promised": "−16.0 LUFS ± 0.1", "measured": "−16.02 LUFS"}]
    if operator.project is None:
        track = client.get(f"/studio/{story['link']}")
        assert (track.content, track.headers["content-type"]) == (b"sound", "audio/mpeg")
        part = client.get(f"/studio/{story['link']}", headers={"Range": "bytes=1-3"})
        assert (part.status_code, part.content) == (206, b"oun")
        assert served.client(logged_in=False).get(f"/studio/{story['link']}").status_code == 401
        file.unlink()
        file.symlink_to("/etc/passwd")
        assert client.get(f"/studio/{story['link']}").status_code == 404
        return
    assert httpx.get(story["link"]).content == b"sound"
    policy = client.get("/studio/").headers["content-security-policy"]
    assert f"media-src 'self' {operator.project.url}" in policy


@pytest.mark.parametrize(
    ("verb", "status", "after"),
    [("retry", "failed", "pending"), ("retry", "cancelled", "pending"), ("cancel", "pending", "cancelled")],
)
def test_a_deed_does_what_its_command_line_does(
    operator: Operator, served: ServedPage, verb: str, status: str, after: str
) -> None:
    here, there = operator.job(status), operator.job(status)
    client = served.client()
    answer = client.post("/studio/api/jobs", json={"verb": verb, "job": here}).json()
    printed = operator.json(*shlex.split(answer["command"].replace(here, there)))
    assert answer["jobs"] == [{**printed["jobs"][0], "id": here}]
    assert [str(row_of(operator.dsn, job)["status"]) for job in (here, there)] == [after, after]
    again = client.post("/studio/api/jobs", json={"verb": verb, "job": here}).json()
    assert again["jobs"] == [{**operator.json("jobs", verb, there, status=1)["jobs"][0], "id": here}]
    assert again["jobs"][0]["reason"]


def test_a_purged_job_has_no_payload_and_no_deeds(operator: Operator, served: ServedPage) -> None:
    job = operator.job("failed", payload={"script": "words"})
    client = served.client()
    assert client.post("/studio/api/jobs", json={"verb": "purge", "job": job}).json()["jobs"][0]["done"] is True
    assert row_of(operator.dsn, job)[operator.column] == {}
    if operator.mode == "leased":
        assert client.get(f"/studio/api/jobs/{job}").json()["actions"] == []
    assert client.get(f"/studio/api/jobs/{job}").json()["payload"] == {}


def test_many_are_counted_before_they_are_retried(operator: Operator, served: ServedPage) -> None:
    jobs = [operator.job("failed") for _ in range(3)]
    client = served.client()
    asked = {"verb": "retry", "failed": True}
    counted = client.post("/studio/api/jobs", json={**asked, "dry_run": True}).json()
    assert counted == {"jobs": 3, "has_more": False, "command": "jobs retry --failed"}
    assert {str(row_of(operator.dsn, job)["status"]) for job in jobs} == {"failed"}
    assert {each["id"] for each in client.post("/studio/api/jobs", json=asked).json()["jobs"]} == set(jobs)
    assert {str(row_of(operator.dsn, job)["status"]) for job in jobs} == {"pending"}
    by_code = client.post("/studio/api/jobs", json={"verb": "retry", "code": "media.empty"})
    if operator.mode == "leased":
        assert by_code.json()["jobs"] == []
    else:
        assert (by_code.status_code, "mindscript-worker migrate" in by_code.json()["error"]) == (422, True)


def test_the_queue_is_paused_and_resumed(operator: Operator, served: ServedPage) -> None:
    client = served.client()
    answer = client.post("/studio/api/queue", json={"action": "pause", "reason": "moving the bucket"})
    if operator.mode == "plain":
        assert (answer.status_code, "plain mode" in answer.json()["error"]) == (422, True)
        return
    paused = operator.json("queue", "status")["paused"]
    assert answer.json()["paused"] == paused
    assert (paused["reason"], paused["by"].startswith("studio session ")) == ("moving the bucket", True)
    assert told(client)["paused"] == paused
    assert client.post("/studio/api/queue", json={"action": "resume"}).json() == {"paused": None}
    assert operator.json("queue", "status")["paused"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verb": "priority", "job": "7c1d"},
        {"verb": "drop", "job": "7c1d"},
        {"verb": ["retry"], "job": "7c1d"},
        {"verb": "retry", "job": 7},
        {"verb": "retry", "job": "x" * 301},
        {"verb": "retry"},
        {"verb": "retry", "job": "7c1d", "failed": True},
    ],
)
def test_a_deed_that_is_none_is_refused(served: ServedPage, body: dict[str, Any]) -> None:
    assert served.client().post("/studio/api/jobs", json=body).status_code in (400, 422)
    assert served.client().post("/studio/api/queue", json=body).status_code == 400


def test_a_job_that_was_inserted_is_told_at_once_where_one_listens(operator_at: Callable[[str], Operator]) -> None:
    """With an hour between two readings, only the notification can have told of it."""
    operator = operator_at("leased-postgres")
    with served_page(operator.config, timings=FeedTimings(read_s=3600.0, least_s=0.0, quiet_s=1.0)) as served:
        listener = Listener(operator.dsn, on_wake=served.page.wake, on_cancel=lambda _: served.page.wake())
        listener.start()
        try:
            client = served.client()
            with client.stream("GET", "/studio/api/events") as events:
                lines = (line for line in events.iter_lines() if line.startswith("data: "))
                assert json.loads(next(lines).removeprefix("data: "))["counts"]["waiting"] == 0
                deadline = time.monotonic() + 60
                while not listener.up and time.monotonic() < deadline:
                    time.sleep(0.02)
                operator.job()
                assert json.loads(next(lines).removeprefix("data: "))["counts"]["waiting"] == 1
        finally:
            listener.stop()


def test_a_database_that_is_away_is_said_to_be(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("leased-postgres")
    job = operator.job()
    with served_page(operator.config) as served:
        client = served.client()
        served.queue.close()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(served.queue._transport, "_dsn", "postgresql://nobody@127.0.0.1:1/none")
            assert client.get(f"/studio/api/jobs/{job}").status_code == 503
            assert "failed" in told(client)
        assert client.get(f"/studio/api/jobs/{job}").status_code == 200
        assert told(client, lambda queue: "counts" in queue)["counts"]["waiting"] == 1


def test_more_than_may_wait_for_the_database_are_refused(served: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served.client()
    monkeypatch.setattr(app, "_MOST_ASKED", 0)
    assert client.get("/studio/api/jobs/7c1d").status_code == 503
    monkeypatch.undo()
    assert client.get("/studio/api/jobs/7c1d").status_code == 404
