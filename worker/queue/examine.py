"""Checks of `doctor` and `migrate` over a direct connection: how jobs end, and who else may write the queue."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from worker.queue.address import read
from worker.queue.plain_dialect import Dialect
from worker.queue.postgres import Connection, connect
from worker.queue.transport import classify

_LOCK_LIMIT = "2s"
_ROWS = 20  # newest first, until one is free


@dataclass(frozen=True)
class Ending:
    """What one way to end a job does in this database, tried in a transaction that is rolled back.

    `sqlstate` and `message` are of the failure, empty where it worked; `status` is the row's afterwards, `track_status`
    the track's, where the call has changed it.
    """

    sqlstate: str = ""
    message: str = ""
    status: str = ""
    track_status: str | None = None


@contextmanager
def examined(dsn: str) -> Iterator[Connection]:
    """Open a connection for checks; database errors become a `WorkerError`."""
    try:
        with connect(read(dsn).conninfo, application="mindscript-doctor") as connection:
            yield connection
    except psycopg.Error as error:
        raise classify(error.diag.message_primary or str(error), code=error.sqlstate) from error


def try_endings(connection: Connection, dialect: Dialect) -> dict[str, Ending] | None:
    """Call `complete_job` for a result as the worker gives it, for one with `url`, and for an error.

    An existing row is used, locked only for that moment, or else a new one. None where this role can write neither.
    """
    call = sql.SQL("SELECT public.complete_job({})").format(
        sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder()) for name in dialect.complete
        )
    )
    path = "audio-renders/tracks/doctor/doctor-0.mp3"
    result = {"audioUrl": path, "duration": 1, "size": 1}
    with _undone(connection):
        row = _some_row(connection)
        if row is None:
            return None
        return {
            "result": _tried(connection, row, call, (row, json.dumps(result), None)),
            "url": _tried(connection, row, call, (row, json.dumps({**result, "url": path, "preview_url": path}), None)),
            "error": _tried(connection, row, call, (row, None, "tried by mindscript-worker doctor")),
        }


def try_leased_endings(connection: Connection) -> dict[str, Ending] | None:
    """The same for `worker_finish` and `worker_fail`: the app's own triggers run inside them."""
    token = str(uuid.uuid4())
    finish = sql.SQL("SELECT public.worker_finish(%s, %s, '{}', '{}')")
    fail = sql.SQL("SELECT public.worker_fail(%s, %s, 'doctor', 'tried by mindscript-worker doctor', false)")
    with _undone(connection):
        row = _some_row(connection, token=token)
        if row is None:
            return None
        return {
            "result": _tried(connection, row, finish, (row, token)),
            "error": _tried(connection, row, fail, (row, token)),
        }


def exposed_functions(connection: Connection) -> list[str]:
    """SECURITY DEFINER functions in `public` that anon or authenticated may execute, by signature.

    They run with their owner's rights; Supabase grants new functions to both roles by default.
    """
    rows = connection.execute(
        """SELECT DISTINCT p.oid::regprocedure::text AS signature
             FROM pg_catalog.pg_proc p, pg_catalog.pg_roles r
            WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND r.rolname IN ('anon', 'authenticated')
              AND p.prorettype <> 'trigger'::regtype
              AND pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE')
            ORDER BY 1"""
    ).fetchall()
    return [str(row["signature"]) for row in rows]


def revoke_statement(signature: str) -> str:
    """The statement that leaves a function to the server side."""
    return (
        f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC, anon, authenticated; "
        f"GRANT EXECUTE ON FUNCTION {signature} TO service_role;"
    )


def customer_rights(connection: Connection) -> list[str]:
    """What a signed-in customer (role authenticated) can do to the queue, one sentence each; empty: nothing."""
    row = connection.execute(
        """SELECT c.relrowsecurity AS bound,
                  ARRAY(SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege
                         WHERE has_table_privilege('authenticated', c.oid, privilege)
                            OR privilege <> 'DELETE' AND has_any_column_privilege('authenticated', c.oid, privilege))
                      AS granted
             FROM pg_catalog.pg_class c
            WHERE c.oid = to_regclass('public.audio_job_queue') AND to_regrole('authenticated') IS NOT NULL"""
    ).fetchone()
    if row is None:
        return []
    if not row["bound"]:
        return [
            f"{privilege} on every row: row-level security is off; "
            "ALTER TABLE public.audio_job_queue ENABLE ROW LEVEL SECURITY"
            for privilege in row["granted"]
        ]
    policies = connection.execute(
        """SELECT cmd, policyname, coalesce(with_check, qual) AS rule FROM pg_catalog.pg_policies
            WHERE schemaname = 'public' AND tablename = 'audio_job_queue' AND permissive = 'PERMISSIVE'
              AND (roles && ARRAY['authenticated', 'public']::name[])
            ORDER BY cmd, policyname"""
    ).fetchall()
    return [
        f"{privilege} where {policy['rule'] or 'true'} (policy {policy['policyname']!r})"
        for privilege in row["granted"]
        for policy in policies
        if policy["cmd"] in (privilege, "ALL")
    ]


def public_may_create(connection: Connection) -> bool:
    """Whether everybody may make objects in schema public, as on servers before 15 by default."""
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n, aclexplode(n.nspacl) a
                           WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE') AS may"""
    ).fetchone()
    return bool(row and row["may"])


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    """A transaction, or a savepoint in one, that leaves nothing behind."""
    with connection.transaction() as transaction:
        yield
        raise psycopg.Rollback(transaction)


def _some_row(connection: Connection, *, token: str | None = None) -> str | None:
    """The id of a row to try on, in state processing; with a claim's token if there is one."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_LIMIT)))
    claimed = "status = 'processing', result = NULL" + ("" if token is None else ", claim_token = %(token)s")
    found = connection.execute(
        "SELECT id FROM public.audio_job_queue WHERE track_id IS NOT NULL ORDER BY created_at DESC LIMIT %s", (_ROWS,)
    ).fetchall()
    for job_id in [*(str(row["id"]) for row in found), None]:
        with suppress(psycopg.Error), connection.transaction():
            if job_id is None:
                row = connection.execute("INSERT INTO public.audio_job_queue DEFAULT VALUES RETURNING id").fetchone()
            else:
                free = "SELECT id FROM public.audio_job_queue WHERE id = %s FOR UPDATE SKIP LOCKED"
                row = connection.execute(free, (job_id,)).fetchone()
            if row is not None:
                values = {"id": row["id"], "token": token}
                connection.execute(f"UPDATE public.audio_job_queue SET {claimed} WHERE id = %(id)s".encode(), values)  # noqa: S608
                return str(row["id"])
    return None


def _tried(connection: Connection, job_id: str, call: sql.SQL | sql.Composed, values: Sequence[Any]) -> Ending:
    status_of = (
        "SELECT q.status, to_jsonb(t) ->> 'status' AS track_status FROM public.audio_job_queue q"
        " LEFT JOIN public.tracks t ON t.id = q.track_id WHERE q.id = %s"
    )
    ending = Ending()
    with _undone(connection):
        before = connection.execute(status_of, (job_id,)).fetchone()
        try:
            with connection.transaction():
                connection.execute(call, values)
        except psycopg.Error as refused:
            return Ending(sqlstate=refused.sqlstate or "", message=refused.diag.message_primary or "")
        after = connection.execute(status_of, (job_id,)).fetchone()
        if before is not None and after is not None:
            changed = after["track_status"] != before["track_status"]
            ending = Ending(status=str(after["status"]), track_status=after["track_status"] if changed else None)
    return ending
