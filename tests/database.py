"""Real Postgres servers for the tests, a clean database a test.

`databases.new(kind)` gives a clean database: ``"empty"``, ``"laptop"`` (migrated on an empty database, as the embedded
one is), or a `Variant` of the production database (`tests/production.py`). Its address is the owner's, who is no
superuser; what needs one goes through `Databases.superuser`.

A module with ``EACH_SERVER = True`` runs on every server of MINDSCRIPT_TEST_SERVERS, others on the first that is here.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import psycopg
import pytest
from production import OWNER, PLATFORM, ROLES, VARIANTS, Variant, app_schema
from psycopg.rows import dict_row
from servers import new_home, postgres_server, server_versions, wanted_versions

from worker.embedded.postgres import embedded_postgres
from worker.queue.claims import Claim
from worker.queue.migrate import migrate
from worker.queue.service import Queue

__all__ = ["VARIANTS", "Databases", "Variant"]

EMBEDDED = 0  # in place of a version: the server of the wheel, which needs nothing else


class Server(Protocol):
    """Where databases are made: the address of a superuser."""

    @property
    def dsn(self) -> str: ...


_observers: dict[str, psycopg.Connection[dict[str, Any]]] = {}


TERMINATE_CLIENTS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
"""Cuts every other connection to a database; an autovacuum worker is none, and not everybody may end it."""


def database_name(dsn: str) -> str:
    """The name of the database that an address leads to."""
    return dsn.split("@/")[1].split("?")[0]


def execute(dsn: str, statement: str | bytes, *parameters: object) -> list[dict[str, Any]]:
    """Run one statement; the rows it answers with. A connection to each database is kept: a new one costs 5 ms."""
    for last in (False, True):
        observer = _observers.get(dsn)
        if observer is None or observer.closed:
            observer = _observers[dsn] = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        try:
            cursor = observer.execute(statement, parameters or None)
        except psycopg.OperationalError:  # the test has ended it, or its server
            if last or not observer.broken:
                raise
        else:
            return cursor.fetchall() if cursor.description else []
    raise AssertionError


def row_of(dsn: str, job_id: str) -> dict[str, Any]:
    """The job's whole row."""
    return execute(dsn, "SELECT * FROM audio_job_queue WHERE id = %s", job_id)[0]


def new_track(dsn: str, user_id: str | None = None) -> str:
    """A track, and its customer if there is to be one."""
    if user_id is not None:
        execute(dsn, "INSERT INTO auth.users (id) VALUES (%s) ON CONFLICT DO NOTHING", user_id)
    return str(execute(dsn, "INSERT INTO tracks (title, user_id) VALUES ('t', %s) RETURNING id", user_id)[0]["id"])


def payload_of(claim: Claim) -> dict[str, Any]:
    """A claimed job's payload."""
    loaded = json.loads(claim.payload_text or "{}")
    return json.loads(loaded) if isinstance(loaded, str) else loaded


def remove(home: Path) -> None:
    """Delete the folder of an embedded server once that has gone."""
    deadline = time.monotonic() + 90
    while any(home.rglob("postmaster.pid")) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(home)


def age_row(dsn: str, age: str, job_id: str | None = None) -> None:
    """Make every row, or one, look untouched for `age`; the trigger that sets `updated_at` is put aside meanwhile."""
    execute(dsn, "ALTER TABLE audio_job_queue DISABLE TRIGGER USER")
    execute(
        dsn,
        "UPDATE audio_job_queue SET updated_at = clock_timestamp() - %s::interval WHERE coalesce(id = %s::uuid, true)",
        age,
        job_id,
    )
    execute(dsn, "ALTER TABLE audio_job_queue ENABLE TRIGGER USER")


Kind = Literal["empty", "laptop"] | Variant

# Whatever a test may have changed besides rows.
_SHAPE = """
SELECT md5(concat(
    (SELECT string_agg(concat(proname, prosrc, proconfig, proacl), ',' ORDER BY oid) FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace),
    (SELECT string_agg(concat(tgname, tgenabled), ',' ORDER BY oid) FROM pg_trigger WHERE NOT tgisinternal),
    (SELECT string_agg(concat(attrelid::regclass, attname), ',' ORDER BY attrelid, attnum) FROM pg_attribute
      JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0),
    (SELECT string_agg(concat(polname, polrelid), ',' ORDER BY oid) FROM pg_policy),
    (SELECT string_agg(concat(relname, relacl), ',' ORDER BY oid) FROM pg_class
      WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(nspname, ',' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_')
)) AS shape"""
_EMPTY = """
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT oid::regclass::text FROM pg_class
              WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, to_regnamespace('auth')) LOOP
        EXECUTE format('DELETE FROM %s', t);
    END LOOP;
END $$"""


class Databases:
    """Databases on one server, used again when a test has left no more than rows behind (making one takes 250
    ms).

    Parameters
    ----------
    server : Server
    version : int
        For messages.
    """

    def __init__(self, server: Server, version: int = EMBEDDED) -> None:
        self.server = server
        self.version = version
        self._numbers = itertools.count()
        self._free: dict[Kind, list[str]] = {}
        self._made: dict[str, tuple[Kind, str]] = {}
        self.execute(ROLES)

    def execute(self, statement: str, *parameters: object) -> None:
        """Run a statement on the server as its superuser, in none of the tests' databases."""
        execute(self.server.dsn, statement, *parameters)

    @staticmethod
    def superuser(dsn: str) -> str:
        """The address of the same database for a superuser."""
        return dsn.replace(f"://{OWNER}@", "://postgres@")

    def new(self, kind: Kind) -> str:
        """A clean database; its owner's address. Give it to `release` afterwards."""
        if self._free.get(kind):
            return self._free[kind].pop()
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        dsn = self.server.dsn.replace("@/postgres?", f"@/{name}?")
        if kind == "laptop":
            migrate(dsn)
        elif isinstance(kind, Variant):
            execute(dsn, PLATFORM)
            self.execute(f'ALTER DATABASE {name} SET search_path = "$user", public, extensions')
            self.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO {OWNER}")
            _close(dsn)  # settings of a database hold from the next connection on
            dsn = dsn.replace("://postgres@", f"://{OWNER}@")
            execute(dsn, app_schema(kind))
            if kind.leased:
                migrate(dsn)
        self._made[dsn] = (kind, execute(dsn, _SHAPE)[0]["shape"])
        return dsn

    def release(self, dsn: str) -> None:
        """Empty it for the next test, or drop it when more than its rows has changed."""
        name = database_name(dsn)
        _close(dsn)
        self.execute(TERMINATE_CLIENTS, name)
        kind, shape = self._made[dsn]
        if execute(dsn, _SHAPE)[0]["shape"] == shape:
            execute(dsn, _EMPTY)
            self._free.setdefault(kind, []).append(dsn)
        else:
            _close(dsn)
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _close(dsn: str) -> None:
    for each in (dsn, Databases.superuser(dsn)):
        if (observer := _observers.pop(each, None)) is not None:
            observer.close()


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """For a test's own embedded server; `tmp_path` is 0700, and one started by root would go elsewhere."""
    home = new_home("mindscript-tests-")
    yield home
    remove(home)


class _Servers:
    """The session's servers, each started when it is first needed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[int, Databases] = {}

    def get(self, version: int) -> Databases:
        if version not in self._started:
            server: Server
            if version == EMBEDDED:
                home = new_home("mindscript-tests-")
                self._stack.callback(remove, home)
                unsafe = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
                embedded = embedded_postgres(home / "server", settings={**unsafe, "max_connections": "200"})
                server = self._stack.enter_context(embedded)
            else:
                server = self._stack.enter_context(postgres_server(version))
            self._started[version] = Databases(server, version)
        return self._started[version]


@pytest.fixture(scope="session")
def servers() -> Iterator[_Servers]:
    with ExitStack() as stack:
        yield _Servers(stack)


def first_version() -> int:
    """The first server of MINDSCRIPT_TEST_SERVERS that is here; on a machine with none, the wheel's."""
    here = server_versions()
    return next((version for version in wanted_versions() if version in here), EMBEDDED)


def versions_here() -> list[int]:
    """All servers of MINDSCRIPT_TEST_SERVERS that are here; on a machine with none, the wheel's."""
    here = server_versions()
    return [version for version in wanted_versions() if version in here] or [first_version()]


@pytest.fixture
def server_version() -> int:
    """Which server a test runs on; see EACH_SERVER."""
    return first_version()


@pytest.fixture
def databases(servers: _Servers, server_version: int) -> Databases:
    return servers.get(server_version)


@pytest.fixture
def empty_dsn(databases: Databases) -> Iterator[str]:
    """An empty database, its owner a superuser."""
    dsn = databases.new("empty")
    yield dsn
    databases.release(dsn)


@pytest.fixture
def leased_dsn(databases: Databases) -> Iterator[str]:
    """Production, migrated."""
    dsn = databases.new(Variant("completing", "production", "payload", "enum", leased=True))
    yield dsn
    databases.release(dsn)


@pytest.fixture
def laptop_dsn(databases: Databases) -> Iterator[str]:
    """A database made by `migrate` out of nothing."""
    dsn = databases.new("laptop")
    yield dsn
    databases.release(dsn)


def rescued_by(queue: Queue) -> int:
    """How many jobs of dead workers a queue requeues or gives up now."""
    rescued = queue.rescue_jobs()
    return len(rescued.put_back) + len(rescued.given_up)
