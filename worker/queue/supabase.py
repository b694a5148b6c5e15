"""The queue's transport over Supabase's HTTP API (PostgREST), through supabase-py."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import httpx
from pydantic import SecretStr

from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.queue.transport import (
    FUNCTION_MISSING,
    LARGEST_ANSWER_BYTES,
    AnswerTooLargeError,
    AsText,
    Row,
    StatementRefusedError,
    classify,
)
from worker.supabase_access import check_service_key

if TYPE_CHECKING:
    from postgrest import APIResponse

_LIMIT = httpx.Timeout(10.0, connect=8.0)
_CLOCK_AGE_S = 30.0
_NO_SUCH_SELECT = ("42703", "PGRST100")  # no such column; the query cannot be parsed


class SupabaseTransport:
    """PostgREST behind Supabase's gateway. No transactions: each call stands alone.

    Parameters
    ----------
    url : str
        ``SUPABASE_URL``.
    key : str
        The service role key (or a secret key); row-level security does not bind it.
    """

    def __init__(self, url: str, key: str) -> None:
        from supabase import (
            SupabaseException,
            create_client,
        )  # here: it costs some 25 MB, which a direct worker saves
        from supabase.lib.client_options import SyncClientOptions

        check_service_key(SecretStr(key))
        self.name: Literal["postgres", "supabase"] = "supabase"
        self._answer = threading.local()
        self._clock: tuple[datetime, float] | None = None
        self._makes_text = True  # until the gateway refuses to
        # HTTP/1.1: one HTTP/2 connection shared by threads ends after 20,000 streams, with all of them in
        # flight.
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [self._note], "request": [_uncompressed]}
        if key.startswith("sb_"):  # no JWT: PostgREST would refuse it as a bearer token; the gateway takes `apikey`
            hooks["request"].append(_without_bearer)
        self._http = httpx.Client(timeout=_LIMIT, transport=_Bounded(), event_hooks=hooks)
        # No retries in there: the queue has its own one place for them.
        options = SyncClientOptions(httpx_client=self._http, postgrest_client_retry=False)
        try:
            self._client = create_client(url, key, options=options)
        except SupabaseException as error:
            raise ConfigurationError(
                f"SUPABASE_URL or SUPABASE_SERVICE_ROLE_KEY: {error}", code="configuration.variable"
            ) from None

    def scalar(self, function: str, arguments: Mapping[str, Any]) -> Any:
        return self._send(lambda: self._client.rpc(function, dict(arguments)).execute()).data

    def claim_next(self, columns: Sequence[str]) -> Row | None:
        data: Any = self._send(self._client.rpc("get_next_pending_job", {}).select(*columns).execute).data
        rows = [data] if isinstance(data, dict) else data or ()
        # A function that returns one composite instead of a set answers with a row of nulls.
        return next((row for row in rows if isinstance(row, dict) and row.get(columns[0])), None)

    def json_text(self, table: str, column: str, *, row_id: str, limit_bytes: int) -> tuple[str | None, int | None]:
        try:
            rows = self.select(table, [AsText(column)], where={"id": row_id}, limit=1)
        except AnswerTooLargeError:
            return None, LARGEST_ANSWER_BYTES
        text: str | None = rows[0][column] if rows else None
        size = 0 if text is None else len(text.encode())
        return (None, size) if size > limit_bytes else (text, None)

    def sees_all_rows(self, table: str) -> bool | None:
        del table
        return None

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
        def selected(names: Sequence[str]) -> list[Row]:
            query = _equals(self._client.table(table).select(",".join(names)), where).limit(limit)
            if since is not None:
                query = query.gte(*since)
            if newest_first:
                query = query.order("created_at", desc=True)
            data: Any = self._send(query.execute).data
            if not isinstance(data, list):  # what postgrest-py makes of JSON that it cannot load
                raise AnswerTooLargeError("Supabase: the answer cannot be read", code="database")
            return data

        texts = [column for column in columns if isinstance(column, AsText)]
        if not texts or self._makes_text:
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

    def count(self, table: str, *, where: Mapping[str, Any]) -> int:
        from postgrest import CountMethod

        query = _equals(self._client.table(table).select("id", count=CountMethod.exact, head=True), where)
        counted = self._send(query.execute).count
        if counted is not None:
            return counted
        # A gateway that passes no Content-Range on.
        return len(self.select(table, ["id"], where=where))

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        data: Any = self._send(self._client.table(table).insert(dict(values)).execute).data
        return str(data[0]["id"])

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        """Ask the function itself, with nulls: an id of null is no row's, so nothing is written."""
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
            self.select(table, [column], where={}, limit=0)  # no row: what is in it may be a customer's
        except ConfigurationError:
            if self._answer.code in ("42703", "PGRST204"):
                return False
            raise
        return True

    def atomically(self) -> AbstractContextManager[None]:
        return nullcontext()

    def now(self) -> datetime:
        """The `Date` of a recent answer, carried on by our own monotonic clock: a wrong clock here does no harm."""
        if self._clock is None or time.monotonic() - self._clock[1] > _CLOCK_AGE_S:
            self.select("audio_job_queue", ["id"], where={}, limit=1)
        if self._clock is None:
            return datetime.now(UTC)
        moment, at = self._clock
        return moment + timedelta(seconds=time.monotonic() - at)

    def close(self) -> None:
        self._http.close()

    def _note(self, response: httpx.Response) -> None:
        self._answer.status = response.status_code
        if date := response.headers.get("date"):
            try:
                # RFC 9110 dates are GMT, whatever the words for it
                self._clock = (parsedate_to_datetime(date).replace(tzinfo=UTC), time.monotonic())
            except ValueError:
                return

    def _send(self, execute: Callable[[], APIResponse]) -> APIResponse:
        from postgrest import APIError

        self._answer.status = self._answer.code = None
        try:
            return execute()
        except APIError as error:
            self._answer.code = error.code
            raise self._classified(error.message or "", error.code, error.details) from error
        except _TooLarge as error:
            raise AnswerTooLargeError(f"Supabase: {error}", code="database") from None
        except (RecursionError, ValueError):  # nested, or a number written, beyond what Python can read
            raise AnswerTooLargeError("Supabase: the answer cannot be read", code="database") from None
        except httpx.HTTPError as error:
            raise TransientError(
                f"Supabase does not answer: {type(error).__name__}: {error}", code="database"
            ) from error

    def _classified(self, message: str, code: str | None, details: object) -> WorkerError:
        status: int | None = self._answer.status
        if code is not None and code == str(status):
            code = None  # postgrest-py puts the status where an answer that is not PostgREST's has no code
        if status is not None and status >= 500 and code is None:
            # A gateway's page; its text is of no use to anybody.
            return TransientError(f"Supabase answered {status} {message}", code="database")
        del details  # may quote the row, and so the customer's script
        return classify(message, code=code, status=status)


def _uncompressed(request: httpx.Request) -> None:
    request.headers["accept-encoding"] = "identity"  # so that what is counted is what is unpacked


def _without_bearer(request: httpx.Request) -> None:
    request.headers.pop("authorization", None)


class _Bounded(httpx.BaseTransport):
    """Ends an answer that is larger than any of ours should be: what fills it may be a customer's row."""

    def __init__(self) -> None:
        self._transport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise httpx.RemoteProtocolError("the answer is compressed, which was not asked for", request=request)
        response.stream = _BoundedStream(response.stream)
        return response

    def close(self) -> None:
        self._transport.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> None:
        assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101 - for the type checker
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        for piece in self._stream:
            taken += len(piece)
            if taken > LARGEST_ANSWER_BYTES:
                raise _TooLarge(f"the answer is over {LARGEST_ANSWER_BYTES} bytes")
            yield piece

    def close(self) -> None:
        self._stream.close()


class _TooLarge(httpx.TransportError):
    pass


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
    """The builder with one filter a column (its `match` refuses an empty mapping)."""
    for column, value in where.items():
        if value is None:
            query = query.is_(column, "null")
        elif isinstance(value, tuple):
            query = query.in_(column, value)
        else:
            query = query.eq(column, value)
    return query
