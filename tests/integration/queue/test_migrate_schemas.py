"""Tables that the app has in another schema: the migration stops instead of making a second, empty pair."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from database import execute

from worker.errors import ConfigurationError
from worker.queue.migrate import migrate, migration_sql

QUEUE = "CREATE TABLE app.audio_job_queue (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text)"
TRACKS = "CREATE TABLE app.tracks (id uuid PRIMARY KEY)"


def by_hand(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(migration_sql().encode())


def tables(dsn: str) -> list[str]:
    rows = execute(
        dsn,
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'v') AND relname IN"
        " ('audio_job_queue', 'tracks') ORDER BY relnamespace::regnamespace::text, relname",
    )
    return [row["name"] for row in rows]


@pytest.mark.parametrize("run", [migrate, by_hand])
@pytest.mark.parametrize("made", [(QUEUE, TRACKS), (QUEUE,), (TRACKS,), ("CREATE VIEW app.tracks AS SELECT 1 AS id",)])
@pytest.mark.parametrize("with_path", [True, False])
def test_tables_in_another_schema_stop_the_migration(
    empty_dsn: str, run: Callable[[str], object], made: tuple[str, ...], with_path: bool
) -> None:
    execute(empty_dsn, "CREATE SCHEMA app")
    for statement in made:
        execute(empty_dsn, statement)
    before = tables(empty_dsn)
    if with_path:
        _search_app_first(empty_dsn)
    with pytest.raises((ConfigurationError, psycopg.errors.InvalidSchemaName), match=r"schema public only"):
        run(empty_dsn)
    assert sorted(name.split(".")[-1] for name in tables(empty_dsn)) == sorted(name.split(".")[-1] for name in before)
    assert execute(empty_dsn, "SELECT to_regclass('public.tracks') AS made")[0]["made"] is None


def test_a_pair_in_each_schema_stops_it_where_the_app_s_comes_first(empty_dsn: str) -> None:
    migrate(empty_dsn)
    execute(empty_dsn, "CREATE SCHEMA app")
    execute(empty_dsn, QUEUE)
    migrate(empty_dsn)  # another program's table of the same name, which nobody finds without its schema
    _search_app_first(empty_dsn)
    with pytest.raises(ConfigurationError, match=r"app\.audio_job_queue") as raised:
        migrate(empty_dsn)
    assert raised.value.code == "configuration.table"


def _search_app_first(dsn: str) -> None:
    name = execute(dsn, "SELECT current_database() AS name")[0]["name"]
    execute(dsn, f"ALTER DATABASE {name} SET search_path = app, public")
