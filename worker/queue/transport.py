"""The way to the database: what a transport offers, and what its failures mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, Protocol

from worker.errors import ConfigurationError, TransientError, WorkerError

Row = dict[str, Any]
FUNCTION_MISSING = "configuration.function"


class Transport(Protocol):
    """Named SQL functions and rows of named tables; nothing here decides anything.

    Arguments and values are JSON values. Every method raises only `WorkerError` (see `classify`), has a time
    limit, and may be called from any thread.
    """

    name: Literal["postgres", "supabase"]

    def scalar(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function that answers with one value."""

    def rows(self, function: str, arguments: Mapping[str, Any]) -> list[Row]:
        """Call a function that answers with a set of rows."""

    def select(
        self,
        table: str,
        columns: Sequence[str],
        *,
        where: Mapping[str, Any],
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[Row]:
        """Read the rows whose columns equal `where`; with `newest_first`, by `created_at`."""

    def update(self, table: str, values: Mapping[str, Any], *, where: Mapping[str, Any]) -> int:
        """Write `values` to the rows whose columns equal `where`; how many there were."""

    def count(self, table: str, *, where: Mapping[str, Any]) -> int:
        """How many rows equal `where`."""

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        """Add a row; its `id`."""

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        """Whether there is a function that takes arguments of these names. Nothing is written to find out."""

    def has_column(self, table: str, column: str) -> bool:
        """Whether the table has the column."""

    def atomically(self) -> AbstractContextManager[None]:
        """A transaction around what this thread calls; over HTTP there is none: each call stands alone."""

    def now(self) -> datetime:
        """The database's clock (over HTTP the server's, to a second)."""

    def close(self) -> None:
        """Give the connections back."""


# SQLSTATE classes and codes, PostgreSQL documentation, appendix A.
_REFUSED = ("28", "42501", "3D000")
_MISSING_FUNCTION = ("42883", "PGRST202", "PGRST203")
_MISSING_RELATION = ("42P01", "42703", "3F000", "PGRST204", "PGRST205", "PGRST106")
_REFUSED_HTTP = ("401", "403", "PGRST301", "PGRST302", "PGRST303")
# libpq gives no SQLSTATE for a refused connection, only the server's words.
_REFUSED_WORDS = (
    "password authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "Tenant or user not found",
    "no password supplied",
    "Invalid API key",
    "No API key",
)
# PgBouncer's and Supavisor's, which would say the same for ever; with a SQLSTATE (08P01) or without.
_POOLER_REFUSES = {
    "statement pooling mode": "its statement mode allows no transactions; take session or transaction mode",
    "unsupported startup parameter": "take the parameter out of DATABASE_URL, or have the pooler ignore it",
}


def classify(message: str, *, code: str | None = None, status: int | None = None) -> WorkerError:
    """Sort a failed call of the queue's own; the one place that does.

    Parameters
    ----------
    message : str
        The database's or the gateway's words.
    code : str, optional
        SQLSTATE, or PostgREST's ``PGRST…``.
    status : int, optional
        Of the HTTP answer.

    Returns
    -------
    ConfigurationError
        For what an operator must mend: refused credentials, a missing function, table or right.
    TransientError
        For everything else: dropped connections (08), serialisation and deadlock (40), no resources (53),
        shutdown and cancel (57), timeouts, 5xx, and whatever is not known; none of them may cost an order.
    """
    message = " ".join(message.split()) or "no message"
    known = code or (str(status) if status is not None else "")
    for words, mend in _POOLER_REFUSES.items():
        if words in message:
            return ConfigurationError(f"the pooler refused us ({message}): {mend}", code="configuration.database")
    if known.startswith(_MISSING_FUNCTION):
        return ConfigurationError(
            f"the database has no such function ({message}); run `mindscript-worker migrate`, or reload "
            "PostgREST's schema cache: NOTIFY pgrst, 'reload schema'",
            code=FUNCTION_MISSING,
        )
    if known.startswith(_MISSING_RELATION):
        return ConfigurationError(
            f"the database lacks a table or column ({message}); is this the app's database?",
            code="configuration.table",
        )
    if known.startswith("42501"):
        return ConfigurationError(
            f"the database role lacks a right ({message}); use the service role key, or GRANT it",
            code="configuration.rights",
        )
    refused = known.startswith(_REFUSED) or known.startswith(_REFUSED_HTTP) or status in (401, 403)
    if refused or (code is None and any(words in message for words in _REFUSED_WORDS)):
        return ConfigurationError(
            f"the database refused us ({message}); check DATABASE_URL, or SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY",
            code="configuration.credentials",
        )
    return TransientError(f"database: {message}" + (f" ({known})" if known else ""), code="database")
