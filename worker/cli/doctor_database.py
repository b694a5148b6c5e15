"""The lines of `mindscript-worker doctor` about the database: how jobs end in it, and who else may write the queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from worker.cli.findings import Finding
from worker.config import Config
from worker.errors import WorkerError
from worker.queue.examine import (
    customer_rights,
    examined,
    exposed_functions,
    public_may_create,
    revoke_statement,
    try_endings,
    try_leased_endings,
)
from worker.queue.plain_dialect import find_dialect
from worker.queue.postgres import Connection, PostgresTransport
from worker.queue.service import Queue
from worker.supabase_access import key_kind

_JWT_END = datetime(2027, 1, 1, tzinfo=UTC)  # Supabase's own JWT keys end with 2026


def examine_database(config: Config, queue: Queue) -> Iterator[Finding]:
    """Look over a direct connection; without DATABASE_URL only what HTTP can tell."""
    if config.supabase_service_role_key is not None:
        yield _key(config.supabase_service_role_key.get_secret_value())
    if config.database_url is None:
        yield Finding("endings", None, "not tried: complete_job can be tried and undone with DATABASE_URL only")
        return
    dsn = config.database_url.get_secret_value()
    try:
        with examined(dsn) as connection:
            if queue.mode == "plain":
                yield _sight(connection)
            yield _endings(dsn, connection, queue)
            yield from _exposure(connection)
    except WorkerError as error:
        yield Finding("endings", False, error.message)


def exposure_lines(dsn: str) -> list[str]:
    """For `migrate`: functions that anybody may call, each with the statement that ends it."""
    with examined(dsn) as connection:
        return [revoke_statement(signature) for signature in exposed_functions(connection)]


def _key(key: str) -> Finding:
    kind = key_kind(key)
    if kind.name == "secret":
        return Finding("key", True, "a secret key (sb_secret_…)")
    if kind.name == "unknown":
        return Finding("key", None, "of no kind that Supabase hands out; if this is a gateway of yours, all is well")
    says = "the service_role JWT, a kind that Supabase ends with 2026; make a secret key (sb_secret_…) in its place"
    now = datetime.now(UTC)
    ended = now >= _JWT_END or (kind.expires_at is not None and kind.expires_at <= now)
    return Finding("key", False if ended else None, says)


def _sight(connection: Connection) -> Finding:
    row = connection.execute("SELECT row_security_active('public.audio_job_queue') AS bound").fetchone()
    if row is not None and row["bound"]:
        return Finding("rows", False, "row-level security binds this role: use the role that owns audio_job_queue")
    return Finding("rows", True, "this role sees all of them")


def _endings(dsn: str, connection: Connection, queue: Queue) -> Finding:
    if queue.mode == "leased":
        tried = try_leased_endings(connection)
        if tried is None:
            return Finding("endings", None, "not tried: this role may not write rows itself")
        failed = next((ending for ending in tried if ending.sqlstate), None)
        if failed is not None:
            return Finding(
                "endings",
                False,
                f"a job could not be ended: {failed.message} ({failed.sqlstate}); look at the app's triggers on "
                "audio_job_queue",
            )
        return Finding("endings", True, "worker_finish and worker_fail end a job (tried and undone)")
    transport = PostgresTransport(dsn, application="mindscript-doctor")
    try:
        dialect = find_dialect(transport)
    finally:
        transport.close()
    endings = try_endings(connection, dialect)
    if endings is None:
        return Finding("endings", None, "not tried: this role may not write rows itself")
    refused = [
        f"{what} fails: {ending.message} ({ending.sqlstate})"
        for what, ending in (("for a result it", endings.success), ("for an error it", endings.failure))
        if ending.sqlstate
    ]
    more = f"; {', '.join(refused)}: the worker ends such rows by an update instead" if refused else ""
    return Finding("endings", None if refused else True, f"{endings.variant}{more} (tried and undone)")


def _exposure(connection: Connection) -> Iterator[Finding]:
    for signature in exposed_functions(connection):
        yield Finding("exposed", None, f"anybody with the anon key may call {signature}: {revoke_statement(signature)}")
    if public_may_create(connection):
        yield Finding(
            "schema public",
            None,
            "every role may make functions in it, and have ours call them: REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
        )
    rights = customer_rights(connection)
    for right in rights:
        yield Finding("customers", None, f"signed in, they can {right}")
    if not rights:
        yield Finding("customers", True, "signed in, they can do nothing to the queue")
