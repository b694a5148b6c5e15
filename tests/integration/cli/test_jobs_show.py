"""`jobs show`: all of one job, the customer's words only where they are asked for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import httpx
import pytest
from operating import Operator

from worker.errors import MediaError, ShuttingDown
from worker.queue.claims import AttemptReport

SECRET = "I am calm and my name is Ann"


def test_a_failed_job_tells_why_and_keeps_its_script_to_itself(operator: Operator) -> None:
    track = operator.track("Evening")
    payload = {"script": SECRET, "durationMin": 5, "sessions": [{"script": SECRET}]}
    job = operator.job(track_id=track, payload=payload)
    queue = operator.queue()
    for error in (ShuttingDown(), MediaError("rain.mp3 holds no sound", code="media.empty", customer_message="Sorry.")):
        claim = queue.claim()
        assert claim is not None
        queue.resolve_failure(claim, error, report=AttemptReport(str(error), {"fetch": 1.5}, {"worker": "1.2"}, {}))
    queue.close()

    text = operator("jobs", "show", job[:13])
    assert all(words in text for words in (job, "failed", "Evening", "5:00", "Sorry.", '"durationMin": 5'))
    assert SECRET not in text
    assert text.count(f"({len(SECRET)} characters; --script shows them)") == 2
    assert operator("jobs", "show", job, "--script").count(SECRET) == 2
    shown = operator.json("jobs", "show", job)
    assert SECRET not in json.dumps(shown)
    assert (shown["id"], shown["status"], shown["error"], shown["title"]) == (job, "failed", "Sorry.", "Evening")
    if operator.mode == "leased":
        assert "rain.mp3 holds no sound" in text
        assert "fetch 1.5 s" in text
        assert [(each["outcome"], each["code"]) for each in shown["attempts"]] == [
            ("released", "shutdown"),
            ("failed", "media.empty"),
        ]
    else:
        assert "attempts: not kept in plain mode: the workers' log is all there is" in text
        assert shown["attempts"] is None


@pytest.mark.parametrize(
    "payload",
    [
        {"script": SECRET},
        {"Script": [SECRET]},
        json.dumps({"script": SECRET}),
        json.dumps(json.dumps({"sessions": [{"script": SECRET}]})),
        SECRET,
    ],
)
def test_a_script_is_hidden_however_the_payload_holds_it(
    payload: object, operator_at: Callable[[str], Operator]
) -> None:
    operator = operator_at("leased-postgres")
    job = operator.job(payload=payload)  # type: ignore[arg-type]
    assert SECRET not in operator("jobs", "show", job) + json.dumps(operator.json("jobs", "show", job))
    assert SECRET in operator("jobs", "show", job, "--script")


def test_the_link_opens_the_delivered_track(operator: Operator) -> None:
    track, job = operator.track(), str(uuid.uuid4())
    key = f"tracks/{track}/{job}-0123.mp3"
    result = {"url": f"audio-renders/{key}", "notes": ["The music was left out."], "lyrics": {"vtt": "a/b.vtt"}}
    operator.job("completed", id=job, track_id=track, result=json.dumps(result))
    assert "no link: there is no such file any more" in operator("jobs", "show", job)
    if operator.project is None:
        path = operator.config.storage_dir / "audio-renders" / key
        path.parent.mkdir(parents=True)
        path.write_bytes(b"music")
        assert operator.json("jobs", "show", job)["link"] == str(path)
    else:
        operator.project.storage.put("audio-renders", key, b"music")
        assert httpx.get(operator.json("jobs", "show", job)["link"]).content == b"music"
    text = operator("jobs", "show", job)
    assert "note: The music was left out." in text
    assert "a/b.vtt" in text


def test_no_link_leads_out_of_the_jobs_own_folder(operator_at: Callable[[str], Operator]) -> None:
    """A customer can write the result: the worker's key signs nothing of anybody else's."""
    operator = operator_at("plain-supabase")
    assert operator.project is not None
    operator.project.storage.put("identity-documents", "a/passport.png", b"private")
    for path in ("identity-documents/a/passport.png", "audio-renders/tracks/other/x.mp3", "audio-renders/../{}/x.mp3"):
        job = str(uuid.uuid4())
        operator.job("completed", id=job, result=json.dumps({"url": path.format(job)}))
        shown = operator("jobs", "show", job)
        assert "no link: the result names no file of this job's" in shown
    assert not [each for each in operator.project.storage.asked if "/sign/" in each]


def test_the_beginning_of_an_id_must_name_one_job(operator: Operator) -> None:
    ids = [
        "0a1b2c3d-0000-4000-8000-000000000001",
        "0a1b2c3d-0000-4000-8000-000000000002",
        "f" * 8 + "-ffff" * 3 + "-" + "f" * 12,
    ]
    for each in ids:
        operator.job(id=each)
    assert ids[2] in operator("jobs", "show", "ffff")
    assert ids[0] in operator("jobs", "show", ids[0])
    assert f"0a1b may be any of {ids[0]}, {ids[1]}" in operator("jobs", "show", "0a1b", status=1)
    for none in ("0a1c", "x", "0a1b2c3d-0000-4000-8000-000000000001a", "\x1b[31m", "%"):
        text = operator("jobs", "show", none, status=1)
        assert "there is no job" in text
        assert "\x1b" not in text


@pytest.mark.parametrize("payload", ["[" * 900 + "]" * 900, '"text"', "7"], ids=["deep", "text", "number"])
def test_a_payload_that_is_no_payload_is_shown(operator_at: Callable[[str], Operator], payload: str) -> None:
    operator = operator_at("leased-postgres")
    job = operator.job(payload=json.loads(payload) if payload != "7" else 7)  # type: ignore[arg-type]
    assert "payload:" in operator("jobs", "show", job)
    assert operator.json("jobs", "show", job)["id"] == job
