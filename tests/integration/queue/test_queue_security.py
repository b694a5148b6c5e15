"""What a role with fewer rights can make of the worker's functions."""

from __future__ import annotations

import psycopg
import pytest
from database import Databases, Variant, execute, new_track
from limited_role import drop_limited_role, limited_role
from older_schemas import SCHEMA_1

EACH_SERVER = True
SEARCH_PATH = "search_path=pg_catalog, public, extensions, pg_temp"


def test_every_function_has_the_search_path_that_triggers_need(databases: Databases, dsn: str) -> None:
    laptop = databases.new("laptop")
    for database, pattern in ((dsn, "worker\\_%"), (laptop, "%")):
        rows = execute(
            database,
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE %s",
            pattern,
        )
        assert len(rows) >= 25
        assert {row["proname"]: row["proconfig"] for row in rows if row["proconfig"][:1] != [SEARCH_PATH]} == {}
    databases.release(laptop)


# A domain of the name of every type that the functions use; its check runs as whoever makes a value of it.
_TRAPS = """
CREATE TEMP TABLE stolen (who name, type text);
CREATE FUNCTION pg_temp.took(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_temp.stolen VALUES (current_user, what);
    RETURN true;
END $$;
GRANT ALL ON pg_temp.stolen TO PUBLIC;
GRANT EXECUTE ON FUNCTION pg_temp.took TO PUBLIC;
"""
_TYPES = (
    "timestamptz",
    "uuid",
    "text",
    "jsonb",
    "name",
    "regclass",
    "int4",
    "float8",
    "bool",
    "interval",
    "int8",
    "oid",
)
_CALLS = (
    "worker_version()",
    "worker_claim(gen_random_uuid(), 'w', 60)",
    "worker_claim('11111111-1111-1111-1111-111111111111', 'w', 60, 1000000)",
    "worker_standing({job}, '11111111-1111-1111-1111-111111111111')",
    "worker_payload({job}, 1000000)",
    "worker_track({job}, '11111111-1111-1111-1111-111111111111')",
    "worker_catalogue({job}, '11111111-1111-1111-1111-111111111111', 'x')",
    "worker_may_speak({job}, '11111111-1111-1111-1111-111111111111', 1, 1000)",
    "worker_heartbeat({job}, '11111111-1111-1111-1111-111111111111', 60, 1, 's')",
    "worker_rescue(3, 5, 'sorry')",
    "worker_retry({job}, gen_random_uuid(), 'x', 1, false)",
    "worker_release({job}, gen_random_uuid(), 'x', 1)",
    "worker_fail({job}, gen_random_uuid(), 'x', 'y', false)",
    "worker_park({job}, '11111111-1111-1111-1111-111111111111', 'x', 'model', 'dead', 0)",
    "worker_park({job}, gen_random_uuid(), 'x', 'model', 'dead', 0)",
    "worker_probe_pause(1)",
    "worker_take_place({job}, '11111111-1111-1111-1111-111111111111', 'a', 2, gen_random_uuid())",
    "worker_give_place({job}, '11111111-1111-1111-1111-111111111111', gen_random_uuid())",
    "worker_probe_over('model')",
    "worker_end_parked(1000, 'sorry')",
    "worker_parked()",
    "worker_free('model')",
    "worker_claim('11111111-1111-1111-1111-111111111111', 'w', 60, 1000000)",
    "worker_finish({job}, '11111111-1111-1111-1111-111111111111', '{{}}', '{{}}')",
    "worker_operate('retry', '[\"{id}\"]', 0)",
    "worker_claim('22222222-2222-2222-2222-222222222222', 'w', 60, 1000000, 'fair')",
    "worker_end({job}, '22222222-2222-2222-2222-222222222222', 'retry',"
    ' \'{{"p_code": "x", "p_delay_s": 0, "p_crashed": false}}\', \'retried\', \'{{}}\')',
    "worker_next(pg_catalog.now(), 'fair')",
    "worker_note_attempt({job}, 1, 'w', pg_catalog.now(), 'died', 'crash', '{{}}')",
    "worker_attempts_of({job})",
    "worker_operate('cancel', '[\"{id}\"]', 0)",
    "worker_operate('purge', '[\"{id}\"]', 0)",
    "worker_failed('x', 10)",
    "worker_purge_older(0, 10)",
    "worker_pause('why', 'me')",
    "worker_pause(NULL, NULL)",
    "worker_state()",
    "worker_length('{{\"durationMin\": 1}}')",
)


def stolen(dsn: str, role: str | None) -> set[tuple[str, str]]:
    """Call every function with traps set; whose rights the traps ran with, and by which type."""
    owner = dsn.replace("mindscript_worker@", "app_owner@")
    track = new_track(owner)
    execute(owner, "INSERT INTO audio_job_queue (payload, track_id) VALUES ('{}', %s), ('{}', NULL)", track)
    job = str(execute(owner, "SELECT id FROM audio_job_queue WHERE track_id IS NOT NULL")[0]["id"])
    with psycopg.connect(dsn, autocommit=True) as connection:
        if role is not None:
            connection.execute(f"SET ROLE {role}".encode())
        connection.execute(_TRAPS)
        for name in _TYPES:
            check = f"CHECK (pg_temp.took('{name}') OR VALUE IS NULL)"
            connection.execute(f"CREATE DOMAIN pg_temp.{name} AS pg_catalog.{name} {check}".encode())
        for call in _CALLS:
            try:
                connection.execute(("SELECT public." + call.format(job=f"'{job}'", id=job)).encode())
            except psycopg.errors.UndefinedFunction:
                continue  # schema 1 has fewer
        rows = connection.execute("SELECT DISTINCT who, type FROM pg_temp.stolen").fetchall()
    return {(str(who), str(kind)) for who, kind in rows}


@pytest.mark.parametrize("who", ["the documented limited role", "service_role"])
def test_temporary_types_of_a_caller_are_not_used(databases: Databases, dsn: str, who: str) -> None:
    if who == "service_role":
        assert stolen(dsn, "service_role") == set()
        return
    address = limited_role(databases, dsn)
    try:
        assert stolen(address, None) == set()
    finally:
        drop_limited_role(databases, dsn)


def test_those_traps_worked_in_schema_1(databases: Databases) -> None:
    """The attack is a real one: the functions of schema 1 fall for it."""
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, SCHEMA_1)
    assert ("app_owner", "timestamptz") in stolen(dsn, "service_role")
    databases.release(dsn)
