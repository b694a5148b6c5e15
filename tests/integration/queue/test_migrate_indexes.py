"""Indexes on a large table: made concurrently, again where one was broken off, one migration at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from database import Databases, Variant, execute

from worker.queue import indexes
from worker.queue.indexes import INDEXES
from worker.queue.migrate import migrate, migration_sql

EACH_SERVER = True
STATE = """
SELECT c.relname AS name, i.indisvalid AS valid, c.oid::integer AS oid, pg_get_indexdef(c.oid) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = 'public.audio_job_queue'::regclass AND NOT i.indisprimary ORDER BY 1"""


@pytest.fixture
def dsn(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app's database, its table large by our measure."""
    monkeypatch.setattr(indexes, "SMALL_TABLE_BYTES", -1)
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    yield dsn
    databases.release(dsn)


def made(dsn: str) -> dict[str, tuple[bool, int]]:
    return {row["name"]: (row["valid"], row["oid"]) for row in execute(dsn, STATE)}


def test_they_are_those_of_a_small_table(databases: Databases, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(dsn)
    concurrently = [(row["name"], row["valid"], row["definition"]) for row in execute(dsn, STATE)]
    monkeypatch.setattr(indexes, "SMALL_TABLE_BYTES", 1 << 20)
    other = databases.new(Variant("completing", "production", "payload", "enum"))
    migrate(other)
    assert concurrently == [(row["name"], row["valid"], row["definition"]) for row in execute(other, STATE)]
    assert {name for name, _, _ in concurrently} == {index.full_name for index in INDEXES}
    databases.release(other)


def test_one_that_was_broken_off_is_made_anew_and_the_others_stay(databases: Databases, dsn: str) -> None:
    migrate(dsn)
    before = made(dsn)
    execute(
        databases.superuser(dsn),
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'audio_job_queue_first'::regclass",
    )
    migrate(dsn)
    after = made(dsn)
    assert after["audio_job_queue_first"][0]
    assert {name for name in after if after[name] != before[name]} == {"audio_job_queue_first"}


@pytest.mark.faults
def test_the_role_s_time_limit_does_not_end_an_index(databases: Databases, dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    execute(databases.superuser(dsn), f"ALTER DATABASE {name} SET statement_timeout = '3s'")
    with psycopg.connect(dsn) as busy:
        busy.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        busy.execute("SELECT 1")
        migrating = threading.Thread(target=migrate, args=(dsn,))
        migrating.start()
        waits = (
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name ~ 'migrate'"
            " AND query ~ 'CREATE INDEX CONCURRENTLY' AND state = 'active' AND query_start < now() - interval '4 s'"
        )
        deadline = time.monotonic() + 60
        while not execute(dsn, waits)[0]["n"] and migrating.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        busy.rollback()
    migrating.join(60)
    found = made(dsn)
    assert {index.full_name for index in INDEXES} <= set(found)
    assert all(valid for valid, _ in found.values())


def test_writers_go_on_while_an_old_transaction_holds_an_index_up(dsn: str) -> None:
    """The index waits for the transaction; nobody waits for the index."""
    with psycopg.connect(dsn) as busy, psycopg.connect(dsn, autocommit=True) as app:
        busy.execute("INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        migrating = threading.Thread(target=migrate, args=(dsn,))
        migrating.start()
        waits = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name ~ 'migrate' AND query ~ %s"
        deadline = time.monotonic() + 60
        asked = "ALTER TABLE public.audio_job_queue"
        while not execute(dsn, waits, asked)[0]["n"] and time.monotonic() < deadline:
            time.sleep(0.02)  # until it asks for its first lock, which the writer holds up, again and again
        app.execute("SET statement_timeout = '30s'")
        app.execute("INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        busy.commit()
        busy.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        busy.execute("SELECT 1")  # a snapshot, no lock: it holds up what is made concurrently only
        concurrently = "CREATE INDEX CONCURRENTLY"
        while not execute(dsn, waits, concurrently)[0]["n"] and time.monotonic() < deadline:
            time.sleep(0.02)
        app.execute("INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        assert migrating.is_alive()
    migrating.join(60)
    assert all(valid for valid, _ in made(dsn).values())
    assert len(made(dsn)) == len(INDEXES)


def test_two_migrations_at_once_leave_each_index_whole(dsn: str) -> None:
    threads = [threading.Thread(target=migrate, args=(dsn,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert {name: valid for name, (valid, _) in made(dsn).items()} == {index.full_name: True for index in INDEXES}


def test_the_printed_text_names_what_is_left_to_be_made(dsn: str) -> None:
    warnings: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
        connection.execute(migration_sql().encode())
        assert made(dsn) == {}
        left = [warning.split("transaction: ")[1] for warning in warnings if "CONCURRENTLY" in warning]
        for statement in left:
            connection.execute(statement.encode())
    assert set(made(dsn)) == {index.full_name for index in INDEXES}
