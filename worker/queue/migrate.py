"""`migrate`: plain SQL files, run in order; they may run any number of times.

Nothing holds up the app's inserts: a statement waits for a lock for a moment only and is then repeated, and on a large
table the indexes are made concurrently, outside any transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files

import psycopg
from psycopg import errors

from worker.backoff import RetryPolicy, with_retries
from worker.errors import ConfigurationError, TransientError
from worker.queue.address import read
from worker.queue.indexes import INDEXES, Index, index_script
from worker.queue.postgres import Connection, connect
from worker.queue.transport import classify

LOCK_LIMIT_S = 0.15  # how long a statement may wait for a lock, and so hold up the statements behind it
_STATEMENT_LIMIT_S = 300.0
_INDEX_LIMIT_S = 3600.0  # concurrently, on the largest table
_LOCK_RETRIES = RetryPolicy(failures=200, first_wait_s=0.3, longest_wait_s=0.5)
_ALONE = 0x6D696E6473637269  # advisory lock: two release phases at once take turns ("mindscri")
_ASK_AGAIN_S = 0.2
_INDEX_SCRIPT = "005_indexes.sql"  # its name among the files

# The worker knows the two tables as public.…. Where the app has them in another schema, the scripts would make a
# second, empty pair in public, which nobody uses.
_IN_ANOTHER_SCHEMA = """DO $$
DECLARE
    v_found text;
BEGIN
    SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname, c.relname) INTO v_found
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname IN ('audio_job_queue', 'tracks') AND c.relkind IN ('r', 'p', 'v', 'f')
       AND n.nspname <> 'public' AND n.nspname !~ '^pg_'
       AND (to_regclass('public.' || c.relname) IS NULL OR to_regclass(c.relname) = c.oid);
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'the app has % and the worker works on schema public only; nothing was changed', v_found
            USING ERRCODE = 'invalid_schema_name',
                  HINT = 'ALTER TABLE ... SET SCHEMA public, or connect to the database of the app''s public schema';
    END IF;
END $$;
"""


def scripts() -> list[tuple[str, str]]:
    """The SQL files in order: (name, text)."""
    items = [item for item in files("worker.queue.sql").iterdir() if item.name.endswith(".sql")]
    read_texts = [(item.name, item.read_text(encoding="utf-8")) for item in items]
    found = sorted([*read_texts, (_INDEX_SCRIPT, index_script())])
    name, text = found[0]
    return [(name, f"{_IN_ANOTHER_SCHEMA}\n{text}"), *found[1:]]  # in the transaction that would make the tables


def migration_sql() -> str:
    """All of it as one text for psql or Supabase's SQL editor; each file is a transaction of its own."""
    parts = [
        "-- mindscript-worker: queue schema. Additive; may be run again. If it stops with a lock timeout,\n"
        "-- the table was busy for longer than this script is willing to make others wait: run it again.\n"
    ]
    for name, text in scripts():
        parts.append(f"-- {name}\nBEGIN;\nSET LOCAL lock_timeout = '{LOCK_LIMIT_S:g}s';\n\n{text}\nCOMMIT;\n")
    return "\n".join(parts)


def migrate(
    dsn: str, *, retry_policy: RetryPolicy = _LOCK_RETRIES, lock_limit_s: float = LOCK_LIMIT_S
) -> tuple[str, ...]:
    """Bring the database at `dsn` to the worker's schema.

    Parameters
    ----------
    dsn : str
        A direct connection, or one through a pooler in any mode; the role must own the tables or be able to
        alter them.
    retry_policy : RetryPolicy
        While other transactions hold the locks, for which one try waits `lock_limit_s`.

    Returns
    -------
    names : tuple of str
        The scripts that ran, in order.

    Raises
    ------
    TransientError
        The database does not answer, or the table stayed locked for a minute.
    ConfigurationError
        The credentials are refused, the role may not alter the tables, or the app has them in another schema.
    """
    try:
        with _alone(dsn), connect(read(dsn).conninfo, application="mindscript-migrate") as connection:
            connection.limit_s = _STATEMENT_LIMIT_S
            for name, text in scripts():
                run = partial(_run, connection, name, text, lock_limit_s)
                with_retries(run, retry_policy=retry_policy, deadline=math.inf)
                if name == _INDEX_SCRIPT:
                    make = partial(_make_indexes, connection)
                    with_retries(make, retry_policy=_LOCK_RETRIES, deadline=math.inf)
    except psycopg.Error as error:
        raise classify(str(error), code=error.sqlstate) from error
    return tuple(name for name, _ in scripts())


@contextmanager
def _alone(dsn: str) -> Iterator[None]:
    """Hold an advisory lock, in a transaction of its own connection: behind a pooler no session's lock would last.

    An index that is made concurrently waits for everybody who has a snapshot, so nobody may have one here: the
    statement has no parameters (sent by the simple protocol, it leaves none behind), and who waits asks again.
    """
    with connect(read(dsn).conninfo, application="mindscript-migrate") as guard:
        deadline = time.monotonic() + _INDEX_LIMIT_S
        while True:
            with guard.transaction():
                guard.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                answer = guard.execute(f"SELECT pg_try_advisory_xact_lock({_ALONE}) AS mine".encode()).fetchone()
                if answer is not None and answer["mine"]:
                    yield
                    return
            if time.monotonic() > deadline:
                raise TransientError("another migration has been running for an hour", code="database")
            time.sleep(_ASK_AGAIN_S)


def _make_indexes(connection: Connection) -> None:
    """Make those that the script has left out concurrently; one that was broken off half-way is made anew."""
    _let_it_take_its_time(connection)
    for index in INDEXES:
        found = connection.execute(_IS_VALID, {"name": index.full_name}).fetchone()
        if found is None or not found["valid"]:
            _make(connection, index, anew=found is not None)


def _let_it_take_its_time(connection: Connection) -> None:
    """Lift the role's statement_timeout (Supabase: 2 min), which would end the same index each time.

    Only where the server itself is at the other end: a pooler may give the setting to somebody else's session.
    """
    answer = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    if answer is not None and answer["pid"] == connection.info.backend_pid:
        connection.execute("SET statement_timeout = 0")


_IS_VALID = "SELECT i.indisvalid AS valid FROM pg_index i WHERE i.indexrelid = to_regclass('public.' || %(name)s)"


def _make(connection: Connection, index: Index, *, anew: bool) -> None:
    connection.limit_s = _INDEX_LIMIT_S
    try:
        if anew:
            connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS public.{index.full_name}".encode())
        connection.execute(index.create(concurrently=True).encode())
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise classify(str(error), code=error.sqlstate) from error
    finally:
        connection.limit_s = _STATEMENT_LIMIT_S


def _run(connection: Connection, name: str, text: str, lock_limit_s: float) -> None:
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{lock_limit_s}s'")
            connection.execute(text.encode())
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise classify(str(error), code=error.sqlstate) from error
    except errors.InvalidSchemaName as error:
        raise ConfigurationError(
            f"{name}: {error.diag.message_primary} ({error.diag.message_hint})", code="configuration.table"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"{name}: {error.diag.message_primary}; migrate with the role that owns audio_job_queue",
            code="configuration.database",
        ) from error
