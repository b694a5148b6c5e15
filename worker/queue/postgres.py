"""The queue's transport over a direct Postgres connection (psycopg 3)."""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.abc import RV, Buffer, PQGen
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader

from worker.queue.address import explained, read
from worker.queue.transport import POSTGRES_LIMITS, AsText, Differs, PostgresLimits, Row, classify

# A dead peer is noticed in 10 + 3·5 s, unanswered data in 10 s.
_KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class _TimeLoader(TimestamptzLoader):
    """As `transport.moment`: a time that no datetime can hold is None, since customers can write it."""

    def load(self, data: Buffer) -> datetime | None:  # type: ignore[override]
        try:
            return super().load(data)
        except psycopg.DataError:
            return None


class Connection(psycopg.Connection[Row]):
    """A connection whose calls all have a time limit, even behind a proxy that acknowledges and never answers."""

    limit_s = POSTGRES_LIMITS.call_s

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, self.limit_s if timeout is None else timeout)

    def answers(self, *, within_s: float) -> bool:
        """Whether the server is still at the other end."""
        limit_s, self.limit_s = self.limit_s, within_s
        try:
            self.execute("SELECT 1")
        except psycopg.Error:
            return False
        finally:
            self.limit_s = limit_s
        return True


def connect(dsn: str, *, application: str, limits: PostgresLimits = POSTGRES_LIMITS) -> Connection:
    """Open an autocommit connection with time limits and keepalives.

    No prepared statements: behind a transaction pooler they belong to another session, and a function call
    plans in microseconds.
    """
    options = {**_KEEPALIVES, "connect_timeout": limits.connect_s, "application_name": application}
    try:
        connection = Connection.connect(dsn, autocommit=True, prepare_threshold=None, row_factory=dict_row, **options)
    except psycopg.OperationalError as error:  # libpq quotes what it was given
        raise type(error)(explained(str(error), dsn)) from None
    connection.limit_s = limits.call_s
    connection.adapters.register_loader("timestamptz", _TimeLoader)
    return connection


class PostgresTransport:
    """Connections are opened when needed and kept; each thread that calls at the same moment has one of its own."""

    name: Literal["postgres", "supabase"] = "postgres"

    def __init__(self, dsn: str, *, application: str, limits: PostgresLimits = POSTGRES_LIMITS) -> None:
        self._dsn = read(dsn).conninfo
        self._application = application
        self._limits = limits
        self._lock = threading.Lock()
        self._idle: list[tuple[Connection, float]] = []
        self._closed = False
        self._in_transaction = threading.local()

    def scalar(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function that answers with one value."""
        named = _joined("{} => {}", arguments)
        query = sql.SQL("SELECT public.{}({}) AS answer").format(sql.Identifier(function), named)
        return self._execute(query, arguments)[0]["answer"]

    def select(
        self,
        table: str,
        columns: Sequence[str | AsText],
        *,
        where: Mapping[str, Any],
        since: tuple[str, str] | None = None,
        before: tuple[str, str] | None = None,
        newest_first: bool = False,
        oldest_first: bool = False,
        limit: int = 1000,
    ) -> list[Row]:
        """Read the rows whose columns equal `where`; None there means null, a tuple any of its values; see `Differs`.

        `since` and `before` are a column and a value (a time in ISO 8601): only rows whose column is not before it, or
        is. `newest_first` and `oldest_first` go by `created_at`. Over HTTP, rows larger than `LARGEST_ANSWER_BYTES`
        are an `AnswerTooLargeError`.
        """
        conditions, values = _bounded(where, since=since, before=before)
        order = "ORDER BY created_at DESC" if newest_first else "ORDER BY created_at" if oldest_first else ""
        query = sql.SQL("SELECT {} FROM public.{} WHERE {} {} LIMIT {}").format(
            sql.SQL(", ").join(map(_column, columns)),
            sql.Identifier(table),
            conditions,
            sql.SQL(order),
            sql.Literal(limit),
        )
        return self._execute(query, values)

    def claim_next(self, column: str) -> str | None:
        """Call `get_next_pending_job()` and read only this column, as text; None when there is no job."""
        query = sql.SQL("SELECT {} AS id FROM public.get_next_pending_job()").format(sql.Identifier(column))
        # A function that returns one composite instead of a set answers with a row of nulls.
        return next((str(row["id"]) for row in self._execute(query, {}) if row["id"]), None)

    def json_text(self, table: str, column: str, *, row_id: str, limit_bytes: int) -> tuple[str | None, int | None]:
        """Read one JSON value as text; where it is over the limit, only its size in bytes, as far as it is known."""
        # The stored size first: it is known without unpacking the value, and is never larger than its text. Then the
        # size unpacked, which is at most four times the text: see `worker_payload` in sql/007_functions.sql.
        query = sql.SQL(
            "SELECT CASE WHEN size > %(limit)s THEN NULL ELSE {column}::text END AS text, size FROM ("
            " SELECT {column}, CASE WHEN pg_column_size({column}) > %(limit)s THEN pg_column_size({column})"
            " WHEN pg_column_size(ARRAY[{column}]) / 8 > %(limit)s THEN pg_column_size(ARRAY[{column}])"
            " ELSE octet_length({column}::text) END AS size FROM public.{table} WHERE id = %(id)s) AS sized"
        ).format(column=sql.Identifier(column), table=sql.Identifier(table))
        rows = self._execute(query, {"id": row_id, "limit": limit_bytes})
        if not rows or rows[0]["size"] is None:
            return None, None
        size = int(rows[0]["size"])
        return rows[0]["text"], size if size > limit_bytes else None

    def update(self, table: str, values: Mapping[str, Any], *, where: Mapping[str, Any]) -> int:
        """Write `values` to the rows whose columns equal `where`; returns how many there were."""
        assignments = _joined("{} = {}", values, prefix="new_")
        query = sql.SQL("UPDATE public.{} SET {} WHERE {} RETURNING 1 AS one").format(
            sql.Identifier(table), assignments, _equals(where)
        )
        return len(self._execute(query, {**_values(where), **{f"new_{name}": value for name, value in values.items()}}))

    def delete(self, table: str, *, where: Mapping[str, Any]) -> None:
        """Remove the rows whose columns equal `where`."""
        query = sql.SQL("DELETE FROM public.{} WHERE {}").format(sql.Identifier(table), _equals(where))
        self._execute(query, _values(where))

    def count(self, table: str, *, where: Mapping[str, Any], since: tuple[str, str] | None = None) -> int:
        """How many rows `select` would find."""
        conditions, values = _bounded(where, since=since)
        query = sql.SQL("SELECT count(*) AS n FROM public.{} WHERE {}").format(sql.Identifier(table), conditions)
        return int(self._execute(query, values)[0]["n"])

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        """Add a row; returns its `id`."""
        query = sql.SQL("INSERT INTO public.{} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        return str(self._execute(query, values)[0]["id"])

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        """Whether there is a function with arguments of these names. Nothing is written to find out."""
        query = sql.SQL(
            "SELECT coalesce(p.proargnames, '{}') AS names FROM pg_proc p"
            " WHERE p.proname = %(function)s AND p.pronamespace = 'public'::regnamespace"
        )
        return any(set(names) <= set(row["names"]) for row in self._execute(query, {"function": function}))

    def has_column(self, table: str, column: str) -> bool:
        query = sql.SQL(
            "SELECT 1 AS found FROM pg_attribute"
            " WHERE attrelid = to_regclass('public.' || quote_ident(%(table)s))"
            " AND attname = %(column)s AND NOT attisdropped"
        )
        return bool(self._execute(query, {"table": table, "column": column}))

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """A transaction around the calls of this thread, a savepoint inside one; over HTTP each call stands alone."""
        with self._connection() as connection, connection.transaction():  # a savepoint inside a transaction
            outer, self._in_transaction.connection = self._current(), connection
            try:
                yield
            finally:
                self._in_transaction.connection = outer

    def now(self) -> datetime:
        """The database's clock (over HTTP the server's, to a second)."""
        moment: datetime = self._execute(sql.SQL("SELECT clock_timestamp() AS now"), {})[0]["now"]
        return moment

    def close(self) -> None:
        self._closed = True
        self._close_idle()

    def _execute(self, query: sql.SQL | sql.Composed, values: Mapping[str, Any]) -> list[Row]:
        # JSON is sent as text without a type, which json and jsonb arguments both accept.
        parameters = {
            name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in values.items()
        }
        with self._connection() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def _current(self) -> Connection | None:
        """The connection of this thread's transaction."""
        return getattr(self._in_transaction, "connection", None)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """This thread's transaction, else an idle connection, else a new one; sound ones are kept."""
        connection = current = self._current()
        try:
            if connection is None:
                connection = self._idle_connection() or connect(
                    self._dsn, application=self._application, limits=self._limits
                )
            yield connection
        except psycopg.Error as error:
            # Without the details of the server's message: these quote rows, and so the customer's script.
            raise classify(error.diag.message_primary or str(error), code=error.sqlstate) from error
        finally:
            if connection is not None and current is None:
                self._give_back(connection)

    def _idle_connection(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            idle_s = time.monotonic() - since
            if idle_s < self._limits.idle_s and _is_sound(connection):
                if idle_s < self._limits.ask_after_s or connection.answers(within_s=self._limits.ask_s):
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


def _is_sound(connection: Connection) -> bool:
    """Whether an idle connection can be used: a server that has closed it leaves something to read."""
    if connection.closed or connection.broken:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _joined(pair: LiteralString, values: Iterable[str], *, prefix: str = "") -> sql.Composed:
    """A list of names and their placeholders."""
    return sql.SQL(", ").join(
        sql.SQL(pair).format(sql.Identifier(name), sql.Placeholder(prefix + name)) for name in values
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
    return sql.SQL(" AND ").join(_condition(name, value) for name, value in where.items()) if where else sql.SQL("true")


def _bounded(
    where: Mapping[str, Any], *, since: tuple[str, str] | None = None, before: tuple[str, str] | None = None
) -> tuple[sql.Composable, dict[str, Any]]:
    """The condition of `PostgresTransport.select`, and its values."""
    conditions, values = _equals(where), _values(where)
    for name, operator, bound in (("since", ">=", since), ("before", "<", before)):
        if bound is not None:
            compared = sql.SQL("{} " + operator + " {}").format(sql.Identifier(bound[0]), sql.Placeholder(name))
            conditions, values[name] = sql.SQL(" AND ").join([conditions, compared]), bound[1]
    return conditions, values


def _values(where: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Differs) else value for name, value in where.items()}


def _condition(name: str, value: Any) -> sql.Composed:
    if value is None:
        return sql.SQL("{} IS NULL").format(sql.Identifier(name))
    if isinstance(value, Differs):
        return sql.SQL("{} <> {}").format(sql.Identifier(name), sql.Placeholder(name))
    if isinstance(value, tuple):
        return sql.SQL("{} IN ({})").format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, value)))
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
