"""The app's database in every pair of variant, mode, transport and server, and what a test does there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from database import Variant, execute, versions_here
from pairs import all_pairs
from standins.http_server import serve
from standins.keys import SECRET_KEY, SERVICE_JWT
from standins.postgrest import Postgrest

from worker.config import Config
from worker.queue.service import Claim, ClaimStatus, Queue, open_queue

DIMENSIONS: dict[str, list[Any]] = {
    "complete": ["plain", "lacking", "completing"],
    "leased": [False, True],
    "transport": ["postgres", "supabase"],
    "version": versions_here(),
    "dialect": ["guide", "production"],
    "column": ["payload", "job_data"],
    "status": ["text", "enum"],
    "key": [SERVICE_JWT, SECRET_KEY],
}
COMBINATIONS = all_pairs(DIMENSIONS)
ONE_OF_EACH_WAY = list({(each["leased"], each["transport"]): each for each in COMBINATIONS}.values())
TRANSPORTS = ("postgres", "supabase")
USER, OTHER = (str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("a", "b"))


def named(chosen: object) -> str:
    if not isinstance(chosen, dict):
        return str(chosen)
    words = {**chosen, "leased": "leased" if chosen["leased"] else "plain", "key": chosen["key"][:3]}
    return "-".join(map(str, words.values()))


@contextmanager
def opened(dsn: str, transport: str, key: str = SERVICE_JWT) -> Iterator[Queue]:
    with ExitStack() as stack:
        if transport == "postgres":
            config = Config(database_url=dsn)
        else:
            url = stack.enter_context(serve({"/rest/v1": Postgrest(dsn)}))
            config = Config(supabase_url=url, supabase_service_role_key=key)
        queue = open_queue(config, worker_name="w")
        stack.callback(queue.close)
        yield queue


def variant_of(chosen: dict[str, Any]) -> Variant:
    fields = ("complete", "dialect", "column", "status", "leased")
    return Variant(**{name: chosen[name] for name in fields})


def done(claim: Claim) -> tuple[dict[str, Any], dict[str, Any]]:
    """A result and the track's columns, as a job's process makes them."""
    path = f"audio-renders/tracks/{claim.track_id}/{claim.job_id}-0123456789abcdef.mp3"
    preview = f"https://x.supabase.co/track-previews/{claim.track_id}/{claim.job_id}-0123456789abcdef.mp3"
    result = {"url": path, "audioUrl": path, "preview_url": preview, "duration": 300, "size": 7_000_000}
    track = {"audio_url": path, "preview_url": preview, "duration_seconds": 300, "status": "published"}
    return result, track


def finished(queue: Queue, claim: Claim) -> ClaimStatus:
    result, track = done(claim)
    return queue.finish(claim, result=result, track=track)


def notifications(dsn: str) -> list[tuple[str, str]]:
    rows = execute(dsn, "SELECT data ->> 'job_id' AS job, type FROM notifications_queue")
    return sorted((row["job"], row["type"]) for row in rows)


def track_of(dsn: str, track_id: str) -> dict[str, Any]:
    return execute(dsn, "SELECT * FROM tracks WHERE id = %s", track_id)[0]


@contextmanager
def customer(dsn: str, user_id: str) -> Iterator[psycopg.Connection]:
    """A signed-in customer, as the app's pages reach the database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE authenticated")
        connection.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", (user_id,))
        yield connection
