"""The queue's transport over Supabase's HTTP API (PostgREST), through supabase-py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import httpx

from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.queue.transport import FUNCTION_MISSING, Row, classify

if TYPE_CHECKING:
    from postgrest import APIResponse

_LIMIT = httpx.Timeout(10.0, connect=8.0)
_CLOCK_AGE_S = 30.0
# A probe with null arguments reached the function's body, which refused them: data errors and RAISE
# EXCEPTION.
_REACHED = ("22", "23", "P0")


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

        self.name: Literal["postgres", "supabase"] = "supabase"
        self._answer = threading.local()
        self._clock: tuple[datetime, float] | None = None
        # HTTP/1.1: one HTTP/2 connection shared by threads ends after 20,000 streams, with all of them in
        # flight.
        self._http = httpx.Client(timeout=_LIMIT, event_hooks={"response": [self._note]})
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

    def rows(self, function: str, arguments: Mapping[str, Any]) -> list[Row]:
        data: Any = self.scalar(function, arguments)
        if isinstance(data, dict):
            return [data]
        return [row for row in data or () if isinstance(row, dict)]

    def select(
        self,
        table: str,
        columns: Sequence[str],
        *,
        where: Mapping[str, Any],
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[Row]:
        query = _equals(self._client.table(table).select(",".join(columns)), where).limit(limit)
        if newest_first:
            query = query.order("created_at", desc=True)
        data: Any = self._send(query.execute).data
        return list(data)

    def update(self, table: str, values: Mapping[str, Any], *, where: Mapping[str, Any]) -> int:
        query = _equals(self._client.table(table).update(dict(values)), where).select("id")
        return len(self._send(query.execute).data)

    def count(self, table: str, *, where: Mapping[str, Any]) -> int:
        from postgrest import CountMethod

        query = _equals(self._client.table(table).select("id", count=CountMethod.exact, head=True), where)
        return int(self._send(query.execute).count or 0)

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        data: Any = self._send(self._client.table(table).insert(dict(values)).execute).data
        return str(data[0]["id"])

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        """Ask the function itself, with nulls: an id of null is no row's, so nothing is written."""
        try:
            self.scalar(function, dict.fromkeys(names))
        except ConfigurationError as error:
            if error.code == FUNCTION_MISSING:
                return False
            raise
        except TransientError:
            if str(self._answer.code or "").startswith(_REACHED):
                return True
            raise
        return True

    def has_column(self, table: str, column: str) -> bool:
        try:
            self.select(table, [column], where={}, limit=1)
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


def _equals(query: Any, where: Mapping[str, Any]) -> Any:
    """The builder with one filter a column (its `match` refuses an empty mapping)."""
    for column, value in where.items():
        query = query.eq(column, value)
    return query
