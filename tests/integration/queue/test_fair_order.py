"""Whose turn it is: short tracks pass long ones, for an hour at most; and how long a payload says that its track is."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from database import Databases, Variant, execute, new_track
from psycopg.types.json import Jsonb

from worker.config import Config
from worker.payload.aliases import load_payload, read_payload
from worker.payload.mistakes import Mistakes
from worker.payload.sessions import SESSIONS
from worker.queue.service import Queue, open_queue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "customer"))


def insert(dsn: str, *, minutes: object, ago_min: float, at: datetime | None = None) -> str:
    """A job with a track of so many minutes, inserted so long ago."""
    created = (at or datetime.now(UTC)) - timedelta(minutes=ago_min)
    statement = "INSERT INTO audio_job_queue (payload, created_at) VALUES (%s, %s) RETURNING id::text"
    return str(execute(dsn, statement, Jsonb({"durationMin": minutes}), created)[0]["id"])


@pytest.fixture
def queues(leased_dsn: str) -> Iterator[dict[str, Queue]]:
    opened = {
        order: open_queue(Config(database_url=leased_dsn, queue_order=order), worker_name=order)
        for order in ("fair", "fifo")
    }
    yield opened
    for queue in opened.values():
        queue.close()


def order_of(queue: Queue, count: int) -> list[str]:
    claims = [queue.claim() for _ in range(count)]
    return [claim.job_id for claim in claims if claim is not None]


def test_thirty_short_jobs_pass_a_long_one_but_not_in_fifo(queues: dict[str, Queue], leased_dsn: str) -> None:
    long = insert(leased_dsn, minutes=480, ago_min=50)
    short = [insert(leased_dsn, minutes=1, ago_min=20 - n / 10) for n in range(30)]
    assert order_of(queues["fair"], 30) == short
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'pending'")
    assert order_of(queues["fifo"], 31) == [long, *short]


def test_a_job_that_has_waited_for_an_hour_is_passed_no_more(queues: dict[str, Queue], leased_dsn: str) -> None:
    short = [insert(leased_dsn, minutes=1, ago_min=20 - n) for n in range(3)]
    long = insert(leased_dsn, minutes=480, ago_min=60.1)
    assert order_of(queues["fair"], 4) == [long, *short]


def test_jobs_of_one_length_stay_in_their_order(queues: dict[str, Queue], leased_dsn: str) -> None:
    ids = [insert(leased_dsn, minutes=10, ago_min=30 - n) for n in range(5)]
    assert order_of(queues["fair"], 5) == ids


def test_rows_of_before_the_migration_have_their_place_too(queues: dict[str, Queue], leased_dsn: str) -> None:
    ids = [insert(leased_dsn, minutes=480, ago_min=30 - n) for n in range(3)]
    execute(leased_dsn, "UPDATE audio_job_queue SET turn_at = NULL, length_s = NULL")
    assert order_of(queues["fair"], 3) == ids


def test_priority_comes_before_age(queues: dict[str, Queue], leased_dsn: str) -> None:
    old = insert(leased_dsn, minutes=1, ago_min=300)
    urgent = insert(leased_dsn, minutes=480, ago_min=1)
    queues["fair"].set_priority([urgent], 1)
    assert order_of(queues["fair"], 2) == [urgent, old]


@pytest.mark.parametrize("seed", range(3))
def test_nobody_waits_an_hour_longer_than_first_in_first_out(leased_dsn: str, seed: int) -> None:
    """Random arrivals at one worker, too many for it at times, with the database's own choice at each step."""
    chance = random.Random(seed)
    at, arrivals = NOW, []
    for _ in range(120):
        at += timedelta(minutes=chance.choice((0, 0, 0.5, 0.5, 1, 2)))
        minutes = chance.choice((1, 1, 1, 5, 10, 60, 480))
        arrivals.append((at, minutes, timedelta(minutes=max(2, minutes / 20))))
    waits = {order: waits_of(leased_dsn, arrivals, order) for order in ("fair", "fifo")}
    longest = max(takes for _, _, takes in arrivals)
    later = [fair - fifo for fair, fifo in zip(waits["fair"], waits["fifo"], strict=True)]
    assert max(later) <= HOUR + longest
    assert max(later) > timedelta(minutes=5), "some job was passed, or this shows nothing"
    assert sum(waits["fair"], timedelta()) < sum(waits["fifo"], timedelta())


def waits_of(dsn: str, arrivals: list[tuple[datetime, int, timedelta]], order: str) -> list[timedelta]:
    """How long each job waits when one worker does all of them in that order."""
    waits = [timedelta()] * len(arrivals)
    waiting: dict[str, int] = {}
    now, number = arrivals[0][0], 0
    while number < len(arrivals) or waiting:
        while number < len(arrivals) and (arrivals[number][0] <= now or not waiting):
            created, minutes, _ = arrivals[number]
            waiting[insert(dsn, minutes=minutes, ago_min=0, at=created)] = number
            now, number = max(now, created), number + 1
        job_id = str(execute(dsn, "SELECT worker_next(%s, %s)::text AS id", now, order)[0]["id"])
        execute(dsn, "DELETE FROM audio_job_queue WHERE id = %s", job_id)
        created, _, takes = arrivals[waiting[job_id]]
        waits[waiting.pop(job_id)] = now - created
        now += takes
    return waits


LENGTHS: list[tuple[Any, int | None]] = [
    ({"durationMin": 10}, 600),
    ({"durationMin": 0.1}, 6),
    ({"duration": 3}, 180),
    ({"durationMin": None, "duration": 3}, 180),
    ({"durationMin": 10, "duration": 3}, 600),
    ('{"durationMin": 10}', 600),
    *(({"session": name}, round(60 * session.minutes)) for name, session in SESSIONS.items()),
    ({"session": "focus", "durationMin": 7}, 420),
    ({"quality": "high"}, None),
]
HOSTILE: list[tuple[Any, int | None]] = [
    ({"durationMin": 1e300}, 86_400),
    ({"durationMin": -5}, 3),
    ({"durationMin": "10"}, None),
    ({"durationMin": {"a": []}}, None),
    ({"session": {"a": []}}, None),
    ("{", None),
    ([1], None),
    (7, None),
]


@pytest.mark.parametrize("column", ["payload", "job_data"])
def test_the_length_is_what_the_payload_says(databases: Databases, column: Any) -> None:
    dsn = databases.new(Variant(column=column, leased=True))
    for payload, length_s in LENGTHS:
        stated = read_payload(load_payload(payload), Mistakes()).values.get("durationMin")
        assert (None if stated is None else round(60 * stated)) == length_s, "as the worker reads it"
    for payload, length_s in (*LENGTHS, *HOSTILE):
        row = execute(
            dsn,
            f"INSERT INTO audio_job_queue ({column}) VALUES (%s)"
            " RETURNING length_s, extract(epoch FROM turn_at - created_at)::integer AS turn_s",
            Jsonb(payload),
        )[0]
        assert (row["length_s"], row["turn_s"]) == (length_s, min(3600, length_s or 300)), payload
    databases.release(dsn)


def test_a_customer_can_give_no_job_a_priority_or_a_turn(leased_dsn: str) -> None:
    track = new_track(leased_dsn, USER)
    columns = "priority, length_s, turn_at, purged_at"
    with psycopg.connect(leased_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE authenticated")
        connection.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", (USER,))
        connection.execute(
            f"INSERT INTO audio_job_queue (user_id, track_id, payload, {columns})"
            " VALUES (%s, %s, '{\"durationMin\": 1}', 9, 1, 'epoch', now())",
            (USER, track),
        )
        inserted = execute(leased_dsn, f"SELECT {columns}, turn_at > now() AS later FROM audio_job_queue")
        assert [(row["priority"], row["length_s"], row["later"], row["purged_at"]) for row in inserted] == [
            (0, 60, True, None)
        ]
        connection.execute(
            "UPDATE audio_job_queue SET priority = 9, length_s = 1, turn_at = 'epoch', purged_at = now()"
        )
    assert execute(leased_dsn, f"SELECT {columns}, turn_at > now() AS later FROM audio_job_queue") == inserted


def test_the_app_s_server_may_give_a_job_a_priority(leased_dsn: str) -> None:
    with psycopg.connect(leased_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE service_role")
        connection.execute("INSERT INTO audio_job_queue (priority) VALUES (9)")
        assert connection.execute("SELECT priority FROM audio_job_queue").fetchone() == (9,)
        connection.execute("UPDATE audio_job_queue SET priority = 3, turn_at = 'epoch'")
        assert connection.execute("SELECT priority, turn_at > now() FROM audio_job_queue").fetchone() == (3, True)
