"""How many jobs have not ended, and how long the oldest one that is due has been: both modes, both transports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from database import Databases, Variant, execute
from pydantic import SecretStr
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY, Postgrest

from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.queue.claims import Backlog, Claim
from worker.queue.service import Queue, open_queue


@pytest.fixture(params=["leased", "plain", "leased over HTTP", "plain over HTTP"])
def opened(request: pytest.FixtureRequest, databases: Databases) -> Iterator[tuple[Queue, str]]:
    leased = request.param.startswith("leased")
    dsn = databases.new(Variant("completing", "production", "payload", "enum", leased=leased))
    with ExitStack() as stack:
        config = Config(database_url=SecretStr(dsn))
        if "HTTP" in request.param:
            url = stack.enter_context(serve({"/rest/v1": Postgrest(dsn)}))
            config = Config(supabase_url=url, supabase_service_role_key=SecretStr(SERVICE_KEY))
        queue = open_queue(config, worker_name="w")
        yield stack.enter_context(closing(queue)), dsn
    databases.release(dsn)


def counted(queue: Queue) -> Backlog:
    return queue.backlog(queue.causes())


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def test_an_empty_queue(opened: tuple[Queue, str]) -> None:
    assert counted(opened[0]) == Backlog(pending=0, processing=0, parked=0, oldest_s=0.0)


def test_jobs_are_counted_by_status_and_ended_ones_are_not(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    for n in range(6):
        queue.enqueue({"n": n})
    for _ in range(2):
        ended = ConfigurationError("tts-1 has ended", code="voice.model", about=("openai", "tts-1"))
        queue.resolve_failure(claimed(queue), ended)
    queue.finish(claimed(queue), result={}, track={})
    claimed(queue)
    execute(dsn, "UPDATE audio_job_queue SET created_at = now() - interval '90 s' WHERE payload ->> 'n' <> '5'")
    execute(dsn, "UPDATE audio_job_queue SET created_at = now() - interval '30 s' WHERE payload ->> 'n' = '5'")
    found = counted(queue)
    assert (found.pending, found.processing, found.parked) == (2, 1, 2)
    assert 88 <= found.oldest_s < 3600, "of the older one that waits"


def test_the_oldest_is_one_that_is_due_and_not_parked(opened: tuple[Queue, str]) -> None:
    """Parked jobs, jobs under way and jobs whose next attempt is later have a created_at that is older."""
    queue, dsn = opened
    for n in range(4):
        queue.enqueue({"n": n})
    ended = ConfigurationError("tts-1 has ended", code="voice.model", about=("openai", "tts-1"))
    queue.resolve_failure(claimed(queue), ended)
    queue.resolve_failure(claimed(queue), TransientError("no answer"))
    claimed(queue)
    execute(dsn, "UPDATE audio_job_queue SET created_at = now() - interval '5 h'")
    if queue.mode == "leased":
        execute(dsn, "UPDATE audio_job_queue SET run_after = now() - interval '5 h' WHERE parked_cause IS NOT NULL")
    assert counted(queue).oldest_s > 17_000, "the last one is due"
    execute(dsn, "UPDATE audio_job_queue SET created_at = now() - interval '40 s' WHERE payload ->> 'n' = '3'")
    assert 38 <= counted(queue).oldest_s < 3600


def test_of_many_jobs_the_oldest_ones_are_looked_at(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    execute(
        dsn,
        "INSERT INTO audio_job_queue (status, payload, created_at)"
        " SELECT 'pending', '{}', now() - n * interval '1 min' FROM generate_series(1, 300) n",
    )
    found = counted(queue)
    assert found.pending == 300
    assert found.oldest_s >= 300 * 60 - 2  # over HTTP the clock goes by the second


def test_a_job_tried_again_is_due_since_then(databases: Databases, leased_dsn: str) -> None:
    with closing(open_queue(Config(database_url=SecretStr(leased_dsn)), worker_name="w")) as queue:
        queue.enqueue({})
        execute(
            leased_dsn,
            "UPDATE audio_job_queue SET created_at = now() - interval '5 h', run_after = now() - interval '70 s'",
        )
        assert 69 <= counted(queue).oldest_s < 3600
