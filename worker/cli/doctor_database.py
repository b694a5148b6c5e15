"""What `mindscript-worker doctor` finds about the database: how jobs end in it, who else may write the queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from worker.cli.doctor_finding import Finding
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
from worker.queue.plain import PlainQueue
from worker.queue.postgres import Connection
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
    try:
        with examined(config.database_url.get_secret_value()) as connection:
            if queue.mode == "plain":
                yield _sight(connection)
            yield _endings(connection, queue)
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


def _endings(connection: Connection, queue: Queue) -> Finding:
    tried = try_endings(connection, queue.dialect) if isinstance(queue, PlainQueue) else try_leased_endings(connection)
    if tried is None:
        return Finding("endings", None, "not tried: this role may not write rows itself")
    refused = {what: f"{ending.message} ({ending.sqlstate})" for what, ending in tried.items() if ending.sqlstate}
    if queue.mode == "leased":
        if not refused:
            return Finding("endings", True, "worker_finish and worker_fail end a job (tried and undone)")
        says = f"a job could not be ended: {next(iter(refused.values()))}"
        return Finding("endings", False, f"{says}; look at the app's triggers on audio_job_queue")
    says = "complete_job ends the row and no more"
    if tried["url"].sqlstate:
        says = f"complete_job needs what is not there where a result has a url ({tried['url'].message})"
    elif tried["url"].track_status is not None:
        says = f"complete_job itself sets the track {tried['url'].track_status!r} where a result has a url"
    failing = [f"for a {what} it fails: {refused[what]}" for what in ("result", "error") if what in refused]
    if failing:
        says += f"; {', '.join(failing)}: the worker ends such rows by an update instead"
    return Finding("endings", None if failing else True, f"{says} (tried and undone)")


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
