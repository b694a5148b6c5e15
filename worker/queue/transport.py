"""The way to the database: the transport's protocol, and the meaning of its failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from worker.errors import ConfigurationError, TransientError, WorkerError

Row = dict[str, Any]
FUNCTION_MISSING = "configuration.function"


class StatementRefusedError(ConfigurationError):
    """The database has refused a statement, and has written nothing of it.

    The app's triggers, constraints and functions do that. `sqlstate` tells why.
    """

    def __init__(self, message: str, *, code: str, sqlstate: str) -> None:
        super().__init__(message, code=code)
        self.sqlstate = sqlstate


class AnswerTooLargeError(TransientError):
    """An answer was over the limit and was not read to its end."""


@dataclass(frozen=True)
class AsText:
    """A JSON column read as text: customers write it, so it is not parsed here.

    Attributes
    ----------
    column : str
    member : str or None
        One member of a JSON object; the answer then has its name.
    """

    column: str
    member: str | None = None

    @property
    def name(self) -> str:
        """Its key in the row."""
        return self.member or self.column


class Transport(Protocol):
    """Calls named SQL functions, reads and writes rows of named tables; it decides nothing.

    Arguments and values are JSON values. Every method raises only `WorkerError` (see `classify`), has a time
    limit, and may be called from any thread.
    """

    name: Literal["postgres", "supabase"]

    def scalar(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function that answers with one value."""

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
        """Read the rows whose columns equal `where`; None there means null, a tuple any of its values.

        Parameters
        ----------
        since : (str, str), optional
            A column and a time (ISO 8601): only rows whose column is not before it.
        newest_first : bool
            By `created_at`.

        Raises
        ------
        AnswerTooLargeError
            Over HTTP, if the rows are larger than `LARGEST_ANSWER_BYTES`.
        """

    def claim_next(self, columns: Sequence[str]) -> Row | None:
        """Call `get_next_pending_job()` and read only the columns that are named; None when there is no job."""

    def json_text(self, table: str, column: str, *, row_id: str, limit_bytes: int) -> tuple[str | None, int | None]:
        """Read one JSON value as text, if its text is no longer than `limit_bytes`.

        Returns
        -------
        text : str or None
        size_bytes : int or None
            Only where it is over the limit: its size, as far as it is known.
        """

    def update(self, table: str, values: Mapping[str, Any], *, where: Mapping[str, Any]) -> int:
        """Write `values` to the rows whose columns equal `where`; returns how many there were."""

    def count(self, table: str, *, where: Mapping[str, Any]) -> int:
        """Count the rows whose columns equal `where`."""

    def insert(self, table: str, values: Mapping[str, Any]) -> str:
        """Add a row; returns its `id`."""

    def speaks(self, function: str, names: Sequence[str]) -> bool:
        """Whether there is a function with arguments of these names. Nothing is written to find out."""

    def has_column(self, table: str, column: str) -> bool:
        """Whether the table has the column."""

    def atomically(self) -> AbstractContextManager[None]:
        """A transaction around the calls of this thread, a savepoint inside one; over HTTP each call stands alone."""

    def now(self) -> datetime:
        """The database's clock (over HTTP the server's, to a second)."""

    def close(self) -> None:
        """Close the connections."""


LARGEST_ANSWER_BYTES = 4 << 20
# SQLSTATE classes and codes, PostgreSQL documentation, appendix A.
_REFUSED = ("28", "42501", "3D000")
# Classes in which a statement itself is refused: data, constraints, names, RAISE EXCEPTION.
_STATEMENT = ("0A", "21", "22", "23", "27", "2B", "39", "42", "44", "P0")
_SQLSTATE_CHARACTERS = 5
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
# Lasting refusals of PgBouncer and Supavisor, with a SQLSTATE (08P01) or without.
_POOLER_REFUSES = {
    "statement pooling mode": "its statement mode allows no transactions; take session or transaction mode",
    "unsupported startup parameter": "take the parameter out of DATABASE_URL, or have the pooler ignore it",
}


def classify(message: str, *, code: str | None = None, status: int | None = None) -> WorkerError:
    """Sort a failed call: the one place that decides which error it is.

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
        For what an operator must change: refused credentials, a missing function, table or right.
        `StatementRefusedError` where the database ran the statement and refused it.
    TransientError
        For everything else: dropped connections (08), serialisation and deadlock (40), no resources (53),
        shutdown and cancel (57), timeouts, 5xx, and whatever is not known; none of them may cost a job.
    """
    message = " ".join(message.split()) or "no message"
    known = code or (str(status) if status is not None else "")
    found = _of_configuration(message, known, code, status)
    if found is None:
        return TransientError(f"database: {message}" + (f" ({known})" if known else ""), code="database")
    cause, words = found
    if code is not None and len(code) == _SQLSTATE_CHARACTERS and code.startswith(_STATEMENT):
        return StatementRefusedError(words, code=cause, sqlstate=code)
    return ConfigurationError(words, code=cause)


def _of_configuration(message: str, known: str, code: str | None, status: int | None) -> tuple[str, str] | None:
    """The error's code and its line, where an operator must change something."""
    for words, hint in _POOLER_REFUSES.items():
        if words in message:
            return "configuration.database", f"the pooler refused us ({message}): {hint}"
    if known.startswith(_MISSING_FUNCTION):
        return FUNCTION_MISSING, (
            f"the database has no such function ({message}); run `mindscript-worker migrate`, or reload "
            "PostgREST's schema cache: NOTIFY pgrst, 'reload schema'"
        )
    if known.startswith(_MISSING_RELATION):
        return "configuration.table", f"the database lacks a table or column ({message}); is this the app's database?"
    if known.startswith("42501"):
        return "configuration.rights", (
            f"the database role lacks a right ({message}); use the service role key, or GRANT it"
        )
    refused = known.startswith(_REFUSED) or known.startswith(_REFUSED_HTTP) or status in (401, 403)
    if refused or (code is None and any(words in message for words in _REFUSED_WORDS)):
        return "configuration.credentials", (
            f"the database refused us ({message}); check DATABASE_URL, or SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY"
        )
    if code is not None and code.startswith(_STATEMENT):
        return "configuration.statement", (
            f"the database refuses what is written ({message}, {code}); look at the app's triggers, functions and "
            "constraints on audio_job_queue and tracks"
        )
    return None
