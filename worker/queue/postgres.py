"""The queue's transport over a direct Postgres connection (psycopg 3)."""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.abc import RV, PQGen
from psycopg.rows import dict_row

from worker.queue.address import checked, explained
from worker.queue.transport import AsText, Row, classify

CALL_LIMIT_S = 10.0
_CONNECT_LIMIT_S = 8
_IDLE_LIMIT_S = 60.0  # older ones may have been forgotten by a NAT on the way
# A connection that has been idle for longer is pinged first: a half-open one would cost the call its whole limit.
_ASK_AFTER_S = 2.0
_ASK_LIMIT_S = 2.0
# A dead peer is noticed in 10 + 3·5 s, unanswered data in 10 s.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Connection(psycopg.Connection[Row]):
    """A connection whose calls all have a time limit, even behind a proxy that acknowledges and never answers."""

    limit_s: float | None = None  # of a call; None: CALL_LIMIT_S

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, timeout if timeout is not None else self.limit_s or CALL_LIMIT_S)


def connect(dsn: str, *, application: str) -> Connection:
    """Open an autocommit connection with time limits and keepalives.

    No prepared statements: behind a transaction pooler they belong to another session, and a function call
    plans in microseconds.
    """
    options: dict[str, Any] = {
        **KEEPALIVES,
        "connect_timeout": _CONNECT_LIMIT_S,
        "application_name": application,
    }
    try:
        return Connection.connect(dsn, autocommit=True, prepare_threshold=None, row_factory=dict_row, **options)
    except psycopg.OperationalError as error:  # libpq quotes what it was given
        raise type(error)(explained(str(error), dsn)) from None


def is_idle_and_sound(connection: Connection) -> bool:
    """Whether an idle connection can be used: a server that has closed it leaves something to read."""
    if connection.closed or connection.broken:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def answers(connection: Connection, *, within_s: float) -> bool:
    """Whether the server is still at the other end."""
    limit_s, connection.limit_s = connection.limit_s, within_s
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    finally:
        connection.limit_s = limit_s
    return True


class PostgresTransport:
    """Connections are opened when needed and kept; each thread that calls at the same moment has one of its own."""

    def __init__(self, dsn: str, *, application: str) -> None:
        self.name: Literal["postgres", "supabase"] = "postgres"
        self._dsn = checked(dsn)
        self._application = application
        self._lock = threading.Lock()
        self._idle: list[tuple[Connection, float]] = []
        self._closed = False
        self._in_transaction = threading.local()

    def scalar(self, function: str, arguments: Mapping[str, Any]) -> Any:
        row = self._execute(sql.SQL("SELECT {} AS answer").format(_call(function, arguments)), arguments)[0]
        return row["answer"]

    def select(
        self,
        table: str,
        columns: Sequence[str | AsText],
        *,
        where: Mapping[str, Any],
        since: tuple[str, str] | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[Row]:
        conditions = [_equals(where)]
        if since is not None:
            conditions.append(sql.SQL("{} >= {}").format(sql.Identifier(since[0]), sql.Placeholder("since")))
        query = sql.SQL("SELECT {} FROM public.{} WHERE {} {} LIMIT {}").format(
            sql.SQL(", ").join(map(_column, columns)),
            sql.Identifier(table),
            sql.SQL(" AND ").join(conditions),
            sql.SQL("ORDER BY created_at DESC" if newest_first else ""),
            sql.Literal(limit),
        )
        return self._execute(query, where if since is None else {**where, "since": since[1]})

    def claim_next(self, columns: Sequence[str]) -> Row | None:
        query = sql.SQL("SELECT {} FROM public.get_next_pending_job()").format(
            sql.SQL(", ").join(map(_column, columns))
        )
        # A function that returns one composite instead of a set answers with a row of nulls.
        return next((row for row in self._execute(query, {}) if row[columns[0]]), None)

    def json_text(self, table: str, column: str, *, row_id: str, limit_bytes: int) -> tuple[str | None, int | None]:
        # The stored size first: it is known without unpacking the value, and is never larger than its text.
        query = sql.SQL(
            "SELECT CASE WHEN size > %(limit)s THEN NULL ELSE {column}::text END AS text, size FROM ("
            " SELECT {column}, CASE WHEN pg_column_size({column}) > %(limit)s THEN pg_column_size({column})"
            " ELSE octet_length({column}::text) END AS size FROM public.{table} WHERE id = %(id)s) AS sized"
        ).format(column=sql.Identifier(column), table=sql.Identifier(table))
        rows = self._execute(query, {"id": row_id, "limit": limit_bytes})
        if not rows or rows[0]["size"] is None:
            return None, None
        size = int(rows[0]["size"])
        return rows[0]["text"], size if size > limit_bytes else None

    def update(self, table: str, values: Mapping[str, Any], *, where: Mapping[str, Any]) -> int:
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(f"new_{name}")) for name in values
        )
        query = sql.SQL("UPDATE public.{} SET {} WHERE {} RETURNING 1 AS one").format(
            sql.Identifier(table), assignments, _equals(where)
        )
        return len(self._execute(query, {**where, **{f"new_{name}": value for name, value in values.items()}}))

    def count(self, table: str, *, where: Mapping[str, Any]) -> int:
        query = sql.SQL("SELECT count(*) AS n FROM public.{} WHERE {}").format(sql.Identifier(table), _equals(where))
        return int(self._execute(query, where)[0]["n"])

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        query = sql.SQL("INSERT INTO public.{} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        return str(self._execute(query, values)[0]["id"])

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        query = sql.SQL(
            "SELECT coalesce(p.proargnames, '{}') AS names FROM pg_proc p"
            " WHERE p.proname = %(function)s AND p.pronamespace = 'public'::regnamespace"
        )
        found = self._execute(query, {"function": function})
        return any(set(names) <= set(row["names"]) for row in found)

    def has_column(self, table: str, column: str) -> bool:
        query = sql.SQL(
            "SELECT 1 AS found FROM pg_attribute"
            " WHERE attrelid = to_regclass('public.' || quote_ident(%(table)s))"
            " AND attname = %(column)s AND NOT attisdropped"
        )
        return bool(self._execute(query, {"table": table, "column": column}))

    @contextmanager
    def atomically(self) -> Iterator[None]:
        outer: Connection | None = getattr(self._in_transaction, "connection", None)
        if outer is not None:
            with outer.transaction():  # a savepoint
                yield
            return
        with self._connection() as connection, connection.transaction():
            self._in_transaction.connection = connection
            try:
                yield
            finally:
                self._in_transaction.connection = None

    def now(self) -> datetime:
        moment: datetime = self._execute(sql.SQL("SELECT clock_timestamp() AS now"), {})[0]["now"]
        return moment

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._close_idle()

    def _execute(self, query: sql.SQL | sql.Composed, values: Mapping[str, Any]) -> list[Row]:
        parameters = {name: _parameter(value) for name, value in values.items()}
        with self._connection() as connection:
            try:
                cursor = connection.execute(query, parameters)
                return cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise classify(_message(error), code=error.sqlstate) from error

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """This thread's transaction, else an idle connection, else a new one; sound ones are kept."""
        current: Connection | None = getattr(self._in_transaction, "connection", None)
        if current is not None:
            yield current
            return
        connection: Connection | None = None
        try:
            connection = self._idle_connection() or connect(self._dsn, application=self._application)
            yield connection
        except psycopg.Error as error:
            raise classify(_message(error), code=error.sqlstate) from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def _idle_connection(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            idle_s = time.monotonic() - since
            if idle_s < _IDLE_LIMIT_S and is_idle_and_sound(connection):
                if idle_s < _ASK_AFTER_S or answers(connection, within_s=_ASK_LIMIT_S):
                    return connection
                self._close_idle()  # the cause has probably hit the others, too
            connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        sound = not connection.closed and connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if sound and not self._closed:
                self._idle.append((connection, time.monotonic()))
                return
        with suppress(psycopg.Error):
            connection.close()


def _message(error: psycopg.Error) -> str:
    """The server's message without its details: these quote rows, and so the customer's script."""
    return error.diag.message_primary or str(error)


def _call(function: str, arguments: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL("public.{}({})").format(
        sql.Identifier(function),
        sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in arguments
        ),
    )


def _column(column: str | AsText) -> sql.Composable:
    if isinstance(column, str):
        return sql.Identifier(column)
    if column.member is None:
        return sql.SQL("{}::text AS {}").format(sql.Identifier(column.column), sql.Identifier(column.name))
    return sql.SQL("{} ->> {} AS {}").format(
        sql.Identifier(column.column), sql.Literal(column.member), sql.Identifier(column.name)
    )


def _equals(where: Mapping[str, Any]) -> sql.Composable:
    if not where:
        return sql.SQL("true")
    return sql.SQL(" AND ").join(_condition(name, value) for name, value in where.items())


def _condition(name: str, value: Any) -> sql.Composed:
    if value is None:
        return sql.SQL("{} IS NULL").format(sql.Identifier(name))
    if isinstance(value, tuple):
        return sql.SQL("{} IN ({})").format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, value)))
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))


def _parameter(value: Any) -> Any:
    """JSON is sent as text without a type, which json and jsonb arguments both accept."""
    return json.dumps(value) if isinstance(value, dict | list) else value
