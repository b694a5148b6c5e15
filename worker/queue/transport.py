"""What both ways to the database share, and the meaning of their failures.

A transport calls named SQL functions, and reads and writes rows of named tables; it decides nothing. Arguments and
values are JSON values. Every method raises only `WorkerError` (see `classify`), has a time limit, and may be called
from any thread. `PostgresTransport` documents the methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from worker.errors import ConfigurationError, TransientError, WorkerError

if TYPE_CHECKING:
    from worker.queue.postgres import PostgresTransport
    from worker.queue.supabase import SupabaseTransport

Transport: TypeAlias = "PostgresTransport | SupabaseTransport"
Row = dict[str, Any]
TABLE = "audio_job_queue"
FUNCTION_MISSING = "configuration.function"
LARGEST_ANSWER_BYTES = 4 << 20


@dataclass(frozen=True)
class PostgresLimits:
    """Time limits of a direct connection."""

    connect_s: int = 8
    call_s: float = 10.0
    idle_s: float = 60.0  # an older idle connection may have been forgotten by a NAT on the way
    # A connection that has been idle for longer is pinged first: a half-open one would cost the call its whole limit.
    ask_after_s: float = 2.0
    ask_s: float = 2.0


POSTGRES_LIMITS = PostgresLimits()


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
    """A JSON column, or one member of the object in it, read as text: customers write it, so it is not parsed here."""

    column: str
    member: str | None = None

    @property
    def name(self) -> str:
        """Its key in the row."""
        return self.member or self.column


@dataclass(frozen=True)
class Differs:
    """In a condition: any value but this one; null is none."""

    value: Any


def moment(value: object) -> datetime | None:
    """A time as either transport gives it; None for one that no datetime can hold: customers write them.

    Those are ``infinity``, and the years before 1 and after 9999.
    """
    if value is None or isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def text_of(value: object) -> str | None:
    """A column's value as text; None stays None."""
    return None if value is None else str(value)


# SQLSTATE classes and codes, PostgreSQL documentation, appendix A.
_REFUSED = ("28", "3D000", "401", "403", "PGRST301", "PGRST302", "PGRST303")
# Classes in which a statement itself is refused: data, constraints, names, RAISE EXCEPTION.
_STATEMENT = ("0A", "21", "22", "23", "27", "2B", "39", "42", "44", "P0")
_SQLSTATE_CHARACTERS = 5
_MISSING_FUNCTION = ("42883", "PGRST202", "PGRST203")
_MISSING_RELATION = ("42P01", "42703", "3F000", "PGRST204", "PGRST205", "PGRST106")
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

    `message` has the database's or the gateway's words, `code` is a SQLSTATE or PostgREST's ``PGRST…``, `status` the
    HTTP answer's.

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
        return StatementRefusedError(words, code=f"configuration.{cause}", sqlstate=code)
    return ConfigurationError(words, code=f"configuration.{cause}")


def _of_configuration(message: str, known: str, code: str | None, status: int | None) -> tuple[str, str] | None:
    """What an operator must change, and the line that says so; None: nothing."""
    pooler_hint = next((hint for words, hint in _POOLER_REFUSES.items() if words in message), None)
    if pooler_hint is not None:
        return "database", f"the pooler refused us ({message}): {pooler_hint}"
    if known.startswith(_MISSING_FUNCTION):
        return "function", (
            f"the database has no such function ({message}); run `mindscript-worker migrate`, or reload "
            "PostgREST's schema cache: NOTIFY pgrst, 'reload schema'"
        )
    if known.startswith(_MISSING_RELATION):
        return "table", f"the database lacks a table or column ({message}); is this the app's database?"
    if known.startswith("42501"):
        return "rights", f"the database role lacks a right ({message}); use the service role key, or GRANT it"
    words_refuse = code is None and any(words in message for words in _REFUSED_WORDS)
    if known.startswith(_REFUSED) or status in (401, 403) or words_refuse:
        return "credentials", (
            f"the database refused us ({message}); check DATABASE_URL, or SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY"
        )
    if code is not None and code.startswith(_STATEMENT):
        return "statement", (
            f"the database refuses what is written ({message}, {code}); look at the app's triggers, functions and "
            "constraints on audio_job_queue and tracks"
        )
    return None
