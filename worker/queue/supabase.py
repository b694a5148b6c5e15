"""The queue's transport over Supabase's HTTP API (PostgREST), through the client that supabase-py has for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import httpx

from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.queue.transport import (
    FUNCTION_MISSING,
    LARGEST_ANSWER_BYTES,
    AnswerTooLargeError,
    AsText,
    Differs,
    Row,
    StatementRefusedError,
    classify,
)
from worker.supabase_access import Supabase
from worker.tls_context import TLS_CONTEXT

if TYPE_CHECKING:
    from postgrest import APIResponse

_LIMIT = httpx.Timeout(10.0, connect=8.0)
_CLOCK_AGE_S = 30.0
_NO_SUCH_SELECT = ("42703", "PGRST100")  # no such column; the query cannot be parsed


class SupabaseTransport:
    """PostgREST behind Supabase's gateway. No transactions: each call stands alone.

    The key must pass row-level security; `supabase_of` checks that.
    """

    name: Literal["postgres", "supabase"] = "supabase"

    def __init__(self, supabase: Supabase) -> None:
        # Imported here: a worker with a direct connection saves its memory.
        from postgrest import SyncPostgrestClient

        self._answer = threading.local()
        self._clock: tuple[datetime, float] | None = None
        self._makes_text = True  # until the gateway refuses to
        # HTTP/1.1: one HTTP/2 connection shared by threads ends after 20,000 streams, with all of them in flight.
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [_uncompressed], "response": [self._receive]}
        self._http = httpx.Client(timeout=_LIMIT, verify=TLS_CONTEXT, event_hooks=hooks)
        self._client = SyncPostgrestClient(
            f"{supabase.origin}/rest/v1",
            headers=supabase.headers(),
            http_client=self._http,
            retry_enabled=False,  # the queue has its own retry policy
        )

    def scalar(self, function: str, arguments: Mapping[str, Any]) -> Any:
        return self._send(lambda: self._client.rpc(function, dict(arguments)).execute()).data

    def claim_next(self, column: str) -> str | None:
        data: Any = self._send(self._client.rpc("get_next_pending_job", {}).select(column).execute).data
        rows = [data] if isinstance(data, dict) else data or ()
        # A function that returns one composite instead of a set answers with a row of nulls.
        return next((str(row[column]) for row in rows if isinstance(row, dict) and row.get(column)), None)

    def json_text(self, table: str, column: str, *, row_id: str, limit_bytes: int) -> tuple[str | None, int | None]:
        try:
            rows = self.select(table, [AsText(column)], where={"id": row_id}, limit=1)
        except AnswerTooLargeError:
            return None, LARGEST_ANSWER_BYTES
        text: str | None = rows[0][column] if rows else None
        size = 0 if text is None else len(text.encode())
        return (None, size) if size > limit_bytes else (text, None)

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
        def selected(names: Sequence[str]) -> list[Row]:
            query = _equals(self._client.table(table).select(",".join(names)), where).limit(limit)
            if since is not None:
                query = query.gte(*since)
            if before is not None:
                query = query.lt(*before)
            if newest_first or oldest_first:
                query = query.order("created_at", desc=newest_first)
            data: Any = self._send(query.execute).data
            if not isinstance(data, list):  # what postgrest-py makes of JSON that it cannot load
                raise AnswerTooLargeError("Supabase: the answer cannot be read", code="database")
            return data

        texts = [column for column in columns if isinstance(column, AsText)]
        if self._makes_text or not texts:
            try:
                return selected([_column(column) for column in columns])
            except WorkerError:
                if not texts or self._answer.code not in _NO_SUCH_SELECT:
                    raise
        # A gateway that knows no casts: the whole value is read, within the limit of every answer.
        rows = selected([column.column if isinstance(column, AsText) else column for column in columns])
        self._makes_text = False
        return [{**row, **{column.name: _as_text(row.get(column.column), column) for column in texts}} for row in rows]

    def update(self, table: str, values: Mapping[str, Any], *, where: Mapping[str, Any]) -> int:
        query = _equals(self._client.table(table).update(dict(values)), where).select("id")
        return len(self._send(query.execute).data)

    def delete(self, table: str, *, where: Mapping[str, Any]) -> None:
        self._send(_equals(self._client.table(table).delete(), where).select("id").execute)

    def count(self, table: str, *, where: Mapping[str, Any], since: tuple[str, str] | None = None) -> int:
        from postgrest import CountMethod

        query = _equals(self._client.table(table).select("id", count=CountMethod.exact, head=True), where)
        counted = self._send((query if since is None else query.gte(*since)).execute).count
        # None: the gateway does not pass Content-Range on.
        return len(self.select(table, ["id"], where=where, since=since)) if counted is None else counted

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        data: Any = self._send(self._client.table(table).insert(dict(values)).execute).data
        return str(data[0]["id"])

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        """Call the function with nulls: no row has a null id, so nothing is written."""
        try:
            self.scalar(function, dict.fromkeys(names))
        except StatementRefusedError as error:
            if f"permission denied for function {function}" in error.message:
                raise
            return True  # the function's body refused the nulls
        except ConfigurationError as error:
            if error.code == FUNCTION_MISSING:
                return False
            raise
        return True

    def has_column(self, table: str, column: str) -> bool:
        try:
            self.select(table, [column], where={}, limit=0)  # no row is read: customers write them
        except ConfigurationError:
            if self._answer.code in ("42703", "PGRST204"):
                return False
            raise
        return True

    def atomically(self) -> AbstractContextManager[None]:
        return nullcontext()

    def now(self) -> datetime:
        """The `Date` of a recent answer plus the monotonic time since: a wrong local clock does no harm."""
        if self._clock is None or time.monotonic() - self._clock[1] > _CLOCK_AGE_S:
            self.select("audio_job_queue", ["id"], where={}, limit=1)
        if self._clock is None:
            return datetime.now(UTC)
        moment, at = self._clock
        return moment + timedelta(seconds=time.monotonic() - at)

    def close(self) -> None:
        self._http.close()

    def _receive(self, response: httpx.Response) -> None:
        """Note status and time of an answer before its body is read, and bound the body."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.RemoteProtocolError("the answer is compressed, which was not asked for")
        response.stream = _BoundedStream(response.stream)
        self._answer.status = response.status_code
        with suppress(KeyError, ValueError):
            # RFC 9110 dates are GMT, whatever the words for it
            self._clock = parsedate_to_datetime(response.headers["date"]).replace(tzinfo=UTC), time.monotonic()

    def _send(self, execute: Callable[[], APIResponse]) -> APIResponse:
        from postgrest import APIError

        self._answer.status = self._answer.code = None
        try:
            return execute()
        except APIError as error:
            status: int | None = self._answer.status
            # postgrest-py puts the status where an answer that is not PostgREST's has no code
            code = self._answer.code = None if error.code == str(status) else error.code
            message = error.message or ""  # not the details: they may quote the row, and so the customer's script
            if status is not None and status >= 500 and code is None:  # a gateway's error page
                raise TransientError(f"Supabase answered {status} {message}", code="database") from error
            raise classify(message, code=code, status=status) from error
        except (RecursionError, ValueError):  # nested, or a number written, beyond what Python can read
            raise AnswerTooLargeError("Supabase: the answer cannot be read", code="database") from None
        except httpx.HTTPError as error:
            raise TransientError(
                f"Supabase does not answer: {type(error).__name__}: {error}", code="database"
            ) from error


def _uncompressed(request: httpx.Request) -> None:
    request.headers["accept-encoding"] = "identity"  # so that the bytes counted are the bytes parsed


class _BoundedStream(httpx.SyncByteStream):
    """Ends an answer that is larger than any of ours should be: customers can write large rows."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        for part in self._stream:
            taken += len(part)
            if taken > LARGEST_ANSWER_BYTES:
                raise AnswerTooLargeError(f"Supabase: the answer is over {LARGEST_ANSWER_BYTES} bytes", code="database")
            yield part

    def close(self) -> None:
        self._stream.close()


def _as_text(value: object, column: AsText) -> str | None:
    """What PostgREST would have made of a JSON value."""
    if column.member is not None:
        value = value.get(column.member) if isinstance(value, dict) else None
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _column(column: str | AsText) -> str:
    if isinstance(column, str):
        return column
    return f"{column.column}::text" if column.member is None else f"{column.column}->>{column.member}"


def _equals(query: Any, where: Mapping[str, Any]) -> Any:
    """Add one filter per column (the builder's `match` refuses an empty mapping)."""
    for column, value in where.items():
        if value is None:
            query = query.is_(column, "null")
        elif isinstance(value, tuple):
            query = query.in_(column, value)
        elif isinstance(value, Differs):
            query = query.neq(column, json.dumps(value.value))
        else:
            query = query.eq(column, value)
    return query
