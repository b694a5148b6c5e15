"""Places at a voice service: how many requests one key may have at once, for all workers together."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from database import Databases, Variant, execute, row_of
from standins.queued_jobs import KEYS
from standins.short_timeouts import short_timeout_worker
from standins.speech import speech_service
from standins.worker_process import worker_process

from worker.config import Config
from worker.queue.service import Queue, open_queue
from worker.service.heartbeat import WorkerTimings
from worker.tts.places import account_name

BRISK = WorkerTimings(heartbeat_s=0.6, check_s=0.3, lost_after_s=2.2, rescue_s=0.5, finish_within_s=1.0)


def eventually_all(dsn: str, status: str, *, timeout_s: float = 250.0) -> None:
    deadline = time.monotonic() + timeout_s
    while {row["status"] for row in execute(dsn, "SELECT status FROM audio_job_queue")} != {status}:
        assert time.monotonic() < deadline, execute(dsn, "SELECT * FROM audio_job_queue")
        time.sleep(0.05)


@pytest.fixture(params=["leased", "plain"])
def queue(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Queue]:
    dsn = databases.new(Variant("completing", "production", "payload", "enum", leased=request.param == "leased"))
    queue = open_queue(Config(database_url=dsn), worker_name="w")  # type: ignore[arg-type]
    yield queue
    queue.close()
    databases.release(dsn)


def places(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def test_no_more_places_are_taken_than_there_are(queue: Queue) -> None:
    for n in range(2):
        queue.enqueue({"n": n})
    first, second = queue.claim(), queue.claim()
    assert first is not None
    assert second is not None
    mine, yours, third, elsewhere = places(4)
    assert queue.take_place(first, "account", most=2, place=mine)
    assert queue.take_place(second, "account", most=2, place=yours)
    assert not queue.take_place(first, "account", most=2, place=third)
    assert queue.take_place(first, "another account", most=2, place=elsewhere)
    queue.give_place(second, yours)
    assert queue.take_place(first, "account", most=2, place=third)
    assert not queue.take_place(second, "account", most=2, place=yours)


def test_the_places_of_a_job_end_with_it(queue: Queue) -> None:
    for n in range(2):
        queue.enqueue({"n": n})
    first, second = queue.claim(), queue.claim()
    assert first is not None
    assert second is not None
    mine, yours = places(2)
    assert queue.take_place(first, "account", most=1, place=mine)
    queue.finish(first, result={}, track={})
    queue.end_places(first)
    assert queue.take_place(second, "account", most=1, place=yours)


def test_a_claim_that_is_lost_gets_no_place_and_an_old_place_ends(leased_dsn: str) -> None:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="w")  # type: ignore[arg-type]
    queue.enqueue({})
    claim = queue.claim()
    assert claim is not None
    first, second, third = places(3)
    assert queue.take_place(claim, "account", most=1, place=first)
    assert queue.take_place(claim, "account", most=1, place=first), "asked again after a lost answer"
    assert not queue.take_place(claim, "account", most=1, place=second)
    execute(leased_dsn, "UPDATE worker_places SET taken_at = now() - interval '11 minutes'")
    assert queue.take_place(claim, "account", most=1, place=second)
    execute(leased_dsn, "UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 s'")
    assert queue.take_place(claim, "account", most=1, place=third), "it may still be ours, its places are free"
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'pending'")
    assert not queue.take_place(claim, "account", most=2, place=first)
    queue.close()


@pytest.mark.further
def test_three_workers_never_ask_for_more_at_once_than_the_key_allows(leased_dsn: str, tmp_path: Path) -> None:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="test")  # type: ignore[arg-type]
    with speech_service() as service, ExitStack() as stack:
        service.takes_s, service.most_at_once = 0.15, 2
        for number in range(4):
            script = " ".join(f"Job {number} says line {line} of its script." for line in range(3))
            voice = {"provider": "openai", "model": "tts-1"}
            queue.enqueue({"script": script, "voice": voice, "durationMin": 0.3})
        for number in range(3):
            folder = tmp_path / str(number)
            folder.mkdir()
            settings = {
                "DATABASE_URL": leased_dsn,
                "STORAGE_DIR": str(folder / "out"),
                "WORKER_CONCURRENCY": "1",
                "OPENAI_BASE_URL": f"{service.url}/v1",
                "OPENAI_PARALLEL": "2",
                **KEYS,
            }
            stack.enter_context(short_timeout_worker(folder, **settings))
        eventually_all(leased_dsn, "completed")
    assert len(service.whole) == 12
    assert (service.at_once, service.refused_at_once) == (2, 0)
    assert execute(leased_dsn, "SELECT * FROM worker_places") == [], "each was given back"
    queue.close()


def test_the_places_of_a_killed_worker_come_back(leased_dsn: str, tmp_path: Path) -> None:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="test")  # type: ignore[arg-type]
    settings = {"DATABASE_URL": leased_dsn, "POLL_INTERVAL_MS": "200", "TMPDIR": str(tmp_path)}
    held = [queue.enqueue({"do": "hold place", "seconds": 600, "attempts": 1}) for _ in range(2)]
    with worker_process(tmp_path, {**settings, "WORKER_CONCURRENCY": "2"}, timings=BRISK, lease_s=3.0) as worker:
        deadline = time.monotonic() + 90
        while len(execute(leased_dsn, "SELECT * FROM worker_places")) < 2:
            assert time.monotonic() < deadline, worker.text()
            time.sleep(0.05)
        waiting = queue.enqueue({"do": "hold place", "seconds": 0.1})
        worker.kill()
    with worker_process(tmp_path, settings, timings=BRISK, lease_s=3.0):
        eventually_all(leased_dsn, "completed")
    assert row_of(leased_dsn, waiting)["attempt"] == 1
    ended = [row_of(leased_dsn, job_id) for job_id in held]
    assert {(row["attempt"], row["crash_count"]) for row in ended} == {(2, 0)}, "of two, nobody knows which it was"
    queue.close()


def test_an_account_has_one_name_and_it_is_not_its_key() -> None:
    name = account_name("https://api.example.com", "el-secret-key")
    assert name == account_name("https://api.example.com", "el-secret-key")
    assert name != account_name("https://api.example.com", "el-other-key")
    assert "secret" not in name
