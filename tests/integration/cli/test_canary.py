"""`canary`: what it says of a deployment, and that nothing of it is left. Whole renders: test_canary_faults.py."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from database import execute, payload_of
from operating import Operator

from worker.errors import ConfigurationError, JobError
from worker.queue.claims import Claim
from worker.queue.service import Queue

Ends = Callable[[Queue, Claim], object]
TABLES = ("audio_job_queue", "tracks", "notifications_queue")


def left(operator: Operator) -> list[str]:
    """Tables in which something is, and files that are stored."""
    rows = [name for name in TABLES if execute(operator.dsn, f"SELECT 1 FROM {name}")]
    if operator.project is not None:
        return [*rows, *("/".join(place) for place in operator.project.storage.objects)]
    root = operator.config.storage_dir
    return [*rows, *(str(path) for path in root.rglob("*") if path.is_file())]


@contextmanager
def worker(operator: Operator, ends: Ends) -> Iterator[list[Claim]]:
    """A worker that ends each job so; the claims it has made."""
    claims: list[Claim] = []
    over = threading.Event()

    def run() -> None:
        queue = operator.queue()
        while not over.wait(0.05):
            if (claim := queue.claim()) is not None:
                claims.append(claim)
                ends(queue, claim)
        queue.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield claims
    finally:
        over.set()
        thread.join()


def store(operator: Operator, bucket: str, key: str, data: bytes) -> None:
    if operator.project is not None:
        operator.project.storage.put(bucket, key, data)
    else:
        path = operator.config.storage_dir / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def delivers(operator: Operator, **other: object) -> Ends:
    """Deliver as a render does, but for `other` things in the result."""

    def end(queue: Queue, claim: Claim) -> None:
        key = f"tracks/{claim.track_id}/{claim.job_id}-0.mp3"
        preview = f"{claim.track_id}/{claim.job_id}-1.mp3"
        store(operator, "audio-renders", key, b"track")
        store(operator, "track-previews", preview, b"preview")
        quality = {"stage_seconds": {"speak": 1.25, "deliver": 0.5}}
        result = {"url": f"audio-renders/{key}", "preview_url": preview, "size": 5, "layers": 3, "quality": quality}
        queue.finish(
            claim, result={**result, **other}, track={"audio_url": f"audio-renders/{key}", "status": "published"}
        )

    return end


def test_a_good_canary_says_what_each_step_took_and_leaves_nothing(operator: Operator) -> None:
    before = operator.job("completed", track_id=operator.track())
    with worker(operator, delivers(operator)) as claims:
        text = operator("canary", "--voice", "local", "--voice", "openai:nova", "--no-music")
        document = operator.json("canary", "--voice", "local", "--no-music")
    assert text.count("good; its rows and files are removed") == 2
    assert all(words in text for words in ("local: job", "openai:nova: job", "speak", "1.25 s", "wait for a worker"))
    assert document[0]["ok"] is True
    assert document[0]["steps"]["deliver"] == 0.5
    payloads = [payload_of(claim) for claim in claims]
    assert payloads[1]["voice"] == {"provider": "openai", "id": "nova"}
    assert len({payload["script"] for payload in payloads}) == 3  # no cache has it
    assert {claim.user_id for claim in claims} == {None}
    assert len(execute(operator.dsn, "SELECT 1 FROM tracks")) == 1
    execute(operator.dsn, "DELETE FROM tracks")
    assert left(operator) == [], before


def fails(queue: Queue, claim: Claim) -> None:
    queue.resolve_failure(claim, JobError("the mixer is broken", code="job.mixer", customer_message="Sorry."))


def parks(queue: Queue, claim: Claim) -> None:
    queue.resolve_failure(claim, ConfigurationError("the model has ended", code="voice.model", about=("openai", "x")))


def holds(queue: Queue, claim: Claim) -> None:
    queue.heartbeat(claim, progress=30, stage="Mixing audio layers")


AMISS: Mapping[str, tuple[Callable[[Operator], Ends], str]] = {
    "failed": (lambda _: fails, "it was failed: (job.mixer) Sorry."),
    "parked": (lambda _: parks, "it waits for openai/x/voice.model: the model has ended"),
    "held": (lambda _: holds, "it has not ended after 1 s, at the stage 'Mixing audio layers'"),
    "no preview": (lambda operator: delivers(operator, preview_url=None), "it has no preview: look at PREVIEW_BUCKET"),
    "no music": (lambda operator: delivers(operator, layers=2), "it has 2 layers, 3 were asked for"),
    "cut": (lambda operator: delivers(operator, size=6), "its track cannot be fetched whole: 5 bytes of 6"),
    "lost": (
        lambda operator: delivers(operator, url="audio-renders/x.mp3"),
        "the track's row has not the delivered file",
    ),
}


SELDOM = ("held", "cut", "lost")  # seconds long, or alike


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.faults if what in SELDOM else ()) for what in AMISS]
)
def test_what_is_amiss_is_named_and_nothing_is_left(operator_at: Callable[[str], Operator], what: str) -> None:
    operator = operator_at("leased-supabase" if what in ("cut", "no preview") else "leased-postgres")
    ends, says = AMISS[what]
    with worker(operator, ends(operator)):
        text = operator(
            "canary", "--voice", "local", "--no-music", "--timeout", "1" if what == "held" else "60", status=1
        )
    assert f"failed: {says}" in text
    assert left(operator) == []


def test_without_a_worker_it_ends_by_itself(operator: Operator) -> None:
    text = operator("canary", "--voice", "local", "--timeout", "1", status=1)
    assert "no worker took it within 1 s" in text
    assert "without music: the catalogue has none" in text
    assert left(operator) == []


def test_a_database_that_takes_nobodys_job_meets_no_worker(
    operator_at: Callable[[str], Operator], request: pytest.FixtureRequest
) -> None:
    """The app's trigger refuses: a worker that met that would back off from every job."""
    operator = operator_at("leased-postgres")
    change = "ALTER TABLE notifications_queue ALTER COLUMN user_id {} NOT NULL"
    execute(operator.dsn, change.format("SET"))
    request.addfinalizer(lambda: execute(operator.dsn, change.format("DROP")))
    with worker(operator, delivers(operator)) as claims:
        assert "name an account of yours with --user" in operator("canary", "--no-music", status=1)
        assert claims == []
        assert left(operator) == []
        user = str(uuid.uuid4())
        execute(operator.dsn, "INSERT INTO auth.users (id) VALUES (%s)", user)
        assert "good" in operator("canary", "--voice", "local", "--no-music", "--user", user)
        assert claims[0].user_id == user
    assert left(operator) == []


def test_music_comes_from_the_catalogue(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("plain-supabase")
    add = "INSERT INTO background_tracks (slug, title, url, is_active) VALUES (%s, %s, %s, %s)"
    for slug, url, is_active in (("a", None, True), ("b", "old.mp3", False), ("c", "rain.mp3", True)):
        execute(operator.dsn, add, slug, slug, url, is_active)
    seen: list[Any] = []

    def ends(queue: Queue, claim: Claim) -> None:
        seen.append(json.loads(claim.payload_text or "")["backgroundMusic"])
        delivers(operator, layers=4)(queue, claim)

    with worker(operator, ends):
        operator("canary", "--voice", "local")
        operator("canary", "--voice", "local", "--music", "https://x.org/sea.mp3")
    assert (seen[0]["name"], seen[0]["url"]) == ("c", "rain.mp3")
    assert seen[1] == {"url": "https://x.org/sea.mp3"}


def test_a_paused_queue_is_no_place_for_a_canary(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("leased-postgres")
    operator("queue", "pause", "--reason", "moving")
    assert "the queue is paused (moving)" in operator("canary", status=1)
    operator("queue", "resume")
    assert left(operator) == []
