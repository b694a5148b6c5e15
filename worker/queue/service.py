"""The queue of jobs: one set of decisions, over two modes and two transports.

Queue (decides, retry.py) ──► LeasedMode | PlainMode (fences) ──► PostgresTransport | SupabaseTransport
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from loguru import logger

from worker.backoff import RetryPolicy, with_retries
from worker.config import Config
from worker.errors import ConfigurationError
from worker.queue.claims import Claim, ClaimStatus, JobRow, Outcome, Rescued
from worker.queue.leased import LeasedMode
from worker.queue.plain import PlainMode
from worker.queue.plain_dialect import find_dialect
from worker.queue.plain_tracks import TABLE, moment, text_of
from worker.queue.retry import Action, decide
from worker.queue.transport import Row, StatementRefusedError, Transport
from worker.supabase_access import supabase_of

__all__ = ["LEASE_S", "Claim", "ClaimStatus", "JobRow", "Outcome", "Queue", "Rescued", "open_queue"]

LEASE_S = 60.0
SCHEMA = 2  # what worker_version() answers after this release's migration
STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
_COLUMNS = (
    "id", "status", "progress", "stage", "error", "track_id", "created_at", "started_at", "completed_at",
)  # fmt: skip
_LEASE_COLUMNS = ("attempt", "claimed_by", "run_after", "error_code")
# Of the writes that end an attempt: until their time is up.
WRITE_RETRIES = RetryPolicy(failures=None, first_wait_s=0.1, longest_wait_s=2.0)


T = TypeVar("T")


class Mode(Protocol):
    """What both modes can do; every write is fenced and returns the claim's status. `Queue` documents the methods."""

    name: Literal["leased", "plain"]

    @property
    def parked(self) -> int: ...
    def claim(self) -> Claim | None: ...
    def track_row(self, claim: Claim) -> Row | None: ...
    def catalogue(self, claim: Claim, reference: str) -> str | None: ...
    def may_speak(self, claim: Claim, characters: int, limit: int) -> bool: ...
    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus: ...
    def claim_status(self, claim: Claim) -> ClaimStatus: ...
    def release(self, claim: Claim, *, code: str, delay_s: float) -> ClaimStatus: ...
    def retry(self, claim: Claim, *, code: str, delay_s: float, crashed: bool) -> ClaimStatus: ...
    def fail(self, claim: Claim, *, code: str, message: str, crashed: bool) -> ClaimStatus: ...
    def finish(self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any]) -> ClaimStatus: ...
    def rescue(self) -> Rescued: ...
    def close(self) -> None: ...


class Queue:
    """Jobs in `audio_job_queue`. Every method may be called from any thread, and raises only `WorkerError`.

    Writes that end an attempt (`release`, `finish`, `resolve_failure`) are repeated for up to `retry_for_s` while the
    database does not answer: that does no harm, and a whole render depends on them. All other calls are made once.
    """

    def __init__(self, transport: Transport, mode: Mode, *, description: str) -> None:
        self._transport = transport
        self._mode = mode
        self._description = description
        self._payload_column: str | None = None

    @property
    def mode(self) -> Literal["leased", "plain"]:
        """Whether the database has the worker's own functions."""
        return self._mode.name

    @property
    def transport(self) -> Literal["postgres", "supabase"]:
        """How the database is reached."""
        return self._transport.name

    def describe(self) -> str:
        """One line for the log and /health: transport, mode, dialect."""
        return self._description

    def claim(self) -> Claim | None:
        """Take the oldest job that is due; None when there is none."""
        return self._mode.claim()

    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        """Extend the lease (leased) or touch the row (plain), and write progress (0..100) and stage."""
        return self._mode.heartbeat(claim, progress=progress, stage=stage)

    def claim_status(self, claim: Claim) -> ClaimStatus:
        """Read the claim's status; nothing is written."""
        return self._mode.claim_status(claim)

    def release(self, claim: Claim, *, reason: str, delay_s: float = 0.0, retry_for_s: float = 30.0) -> bool:
        """Put the job back, its attempt not counted.

        Parameters
        ----------
        claim : Claim
        reason : str
            A short word for the row's error code, such as ``"shutdown"``.
        delay_s : float
            How long no worker should claim it.
        retry_for_s : float
            How long to repeat the write while the database does not answer.

        Returns
        -------
        released : bool
            False when the claim was no longer held.
        """
        status = _repeated(lambda: self._mode.release(claim, code=reason, delay_s=delay_s), retry_for_s)
        return status is ClaimStatus.HELD

    def finish(
        self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any], retry_for_s: float = 30.0
    ) -> ClaimStatus:
        """Write the track's row and complete the job; with Postgres in one transaction.

        Parameters
        ----------
        claim : Claim
        result : mapping
            For the app; see the queue contract.
        track : mapping
            Columns of `tracks` and their values; those that the table lacks are left out.
        retry_for_s : float
            How long to repeat the write while the database does not answer.

        Returns
        -------
        claim_status : ClaimStatus
            HELD: done, now or by an earlier call whose answer was lost. Else nothing was written.
        """
        return _repeated(lambda: self._mode.finish(claim, result=result, track=track), retry_for_s)

    def resolve_failure(
        self, claim: Claim, error: Exception, *, crashed: bool = False, retry_for_s: float = 30.0
    ) -> Outcome:
        """Decide what becomes of a job whose attempt ended in `error`, and write it.

        Parameters
        ----------
        claim : Claim
        error : Exception
            A `WorkerError` or `Interrupted`; anything else counts as transient.
        crashed : bool
            The job process died (signal, no answer) without a result; the third time is poison.
        retry_for_s : float
            How long to repeat the write while the database does not answer.

        Returns
        -------
        outcome : Outcome
            What was done, or CANCELLED or LOST when the claim was no longer held.
        """
        decision = decide(claim, error, crashed=crashed)
        code = decision.code

        def write() -> ClaimStatus:
            match decision.action:
                case Action.RETRY:
                    return self._mode.retry(claim, code=code, delay_s=decision.delay_s, crashed=decision.crashed)
                case Action.RELEASE:
                    return self._mode.release(claim, code=code, delay_s=decision.delay_s)
                case Action.FAIL:
                    return self._mode.fail(claim, code=code, message=decision.message, crashed=decision.crashed)
                case Action.NOTHING:
                    return ClaimStatus.HELD

        claim_status = _repeated(write, retry_for_s)
        if claim_status is ClaimStatus.HELD:
            return decision.outcome
        return Outcome.CANCELLED if claim_status is ClaimStatus.CANCELLED else Outcome.LOST

    def rescue_jobs(self) -> Rescued:
        """Put back, or give up as poison, the jobs whose worker has died."""
        rescued = self._mode.rescue()
        for job_id in rescued.put_back:
            logger.bind(event="order.put_back", job=job_id).warning("job {} put back: its worker has died", job_id)
        for job_id in rescued.given_up:
            logger.bind(event="order.given_up", job=job_id).error(
                "job {} given up: its workers have died over it too often", job_id
            )
        return rescued

    def track_row(self, claim: Claim) -> Row | None:
        """The claimed job's row in `tracks` if it belongs to the same customer; its JSON columns as text."""
        return self._mode.track_row(claim)

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        """Look an id or slug up in the music catalogue (`background_tracks`): the object name or URL, or None."""
        return self._mode.catalogue(claim, reference)

    def may_speak(self, claim: Claim, characters: int, *, limit: int) -> bool:
        """Whether `characters` more keep the customer within `limit` spoken characters in 24 hours."""
        return claim.user_id is None or self._mode.may_speak(claim, characters, limit)

    def enqueue(self, payload: Mapping[str, Any], *, track_id: str | None = None, user_id: str | None = None) -> str:
        """Add a job; returns its id."""
        if self._payload_column is None:
            has_new = self._transport.has_column(TABLE, "payload")
            self._payload_column = "payload" if has_new else "job_data"
        values: dict[str, Any] = {"status": "pending", self._payload_column: dict(payload)}
        if track_id is not None:
            values["track_id"] = track_id
        if user_id is not None:
            values["user_id"] = user_id
        return self._transport.insert(TABLE, values)

    def jobs(self, limit: int = 50) -> list[JobRow]:
        """The newest jobs, newest first."""
        rows = self._transport.select(TABLE, self._columns(), where={}, newest_first=True, limit=limit)
        return [_job_row(row) for row in rows]

    def titles(self, track_ids: Sequence[str]) -> dict[str, str]:
        """Titles of tracks, by id; none where this role may not read `tracks`."""
        if not track_ids:
            return {}
        try:
            rows = self._transport.select("tracks", ["id", "title"], where={"id": tuple(track_ids)})
        except ConfigurationError:
            return {}
        return {str(row["id"]): str(row["title"]) for row in rows if row["title"]}

    def job(self, job_id: str) -> JobRow | None:
        """One job; None when there is none of that id."""
        rows = self._transport.select(TABLE, self._columns(), where={"id": job_id}, limit=1)
        return _job_row(rows[0]) if rows else None

    def depth(self) -> dict[str, int]:
        """Count the jobs of each status. A job that plain mode has parked here counts as pending."""
        counts = {status: self._count(status) for status in STATUSES}
        parked = min(self._mode.parked, counts["processing"])
        counts["pending"] += parked
        counts["processing"] -= parked
        return counts

    def _count(self, status: str) -> int:
        try:
            return self._transport.count(TABLE, where={"status": status})
        except StatementRefusedError as error:
            if error.sqlstate == "22P02":
                return 0  # the column is an enum that has no such word
            raise

    def _columns(self) -> tuple[str, ...]:
        return _COLUMNS + _LEASE_COLUMNS if self.mode == "leased" else _COLUMNS

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table of the contract has a column."""
        return self._transport.has_column(table, column)

    def now(self) -> datetime:
        """The database's clock (over HTTP to a second)."""
        return self._transport.now()

    def close(self) -> None:
        """Put parked jobs back (plain mode), and close the connections."""
        self._mode.close()
        self._transport.close()


def open_queue(config: Config, *, worker_name: str, lease_s: float = LEASE_S) -> Queue:
    """Find transport, mode and dialect.

    With both configured, the queue goes directly to Postgres.

    Parameters
    ----------
    config : Config
    worker_name : str
        For `claimed_by` and the database's list of connections.
    lease_s : float
        How long a claim holds without a heartbeat; leased mode only.

    Raises
    ------
    ConfigurationError
        Nothing is configured, the credentials are refused, or the database lacks the contract's functions.
    TransientError
        The database does not answer.
    """
    transport = _open_transport(config, worker_name)
    try:
        if transport.speaks("worker_version", ()):
            version = int(transport.scalar("worker_version", {}))
            if version < SCHEMA:
                raise ConfigurationError(
                    f"the database has version {version} of the worker's functions, this worker needs "
                    f"{SCHEMA}; run `mindscript-worker migrate`",
                    code="configuration.function",
                )
            leased = LeasedMode(transport, worker_name=worker_name, lease_s=lease_s)
            return Queue(transport, leased, description=f"{transport.name}, leased (schema {version})")
        dialect = find_dialect(transport)
    except BaseException:
        transport.close()
        raise
    return Queue(
        transport,
        PlainMode(transport, dialect=dialect),
        description=f"{transport.name}, plain (argument names: {dialect.name})",
    )


def _open_transport(config: Config, worker_name: str) -> Transport:
    if config.database_url is not None:
        from worker.queue.postgres import PostgresTransport

        return PostgresTransport(config.database_url.get_secret_value(), application=worker_name)
    supabase = supabase_of(config)
    if supabase is None:
        raise ConfigurationError(
            "DATABASE_URL is not set, nor are SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY; set one of the two",
            code="configuration.variable",
        )
    from worker.queue.supabase import SupabaseTransport

    return SupabaseTransport(supabase)


def _repeated(write: Callable[[], T], retry_for_s: float) -> T:
    return with_retries(write, retry_policy=WRITE_RETRIES, deadline=time.monotonic() + retry_for_s)


def _job_row(row: Mapping[str, Any]) -> JobRow:
    return JobRow(
        job_id=str(row["id"]),
        status=str(row["status"]),
        progress=int(row["progress"] or 0),
        stage=row["stage"],
        error=row["error"],
        error_code=row.get("error_code"),
        track_id=text_of(row["track_id"]),
        attempt=row.get("attempt"),
        claimed_by=row.get("claimed_by"),
        created_at=moment(row["created_at"]),
        started_at=moment(row["started_at"]),
        completed_at=moment(row["completed_at"]),
        run_after=moment(row.get("run_after")),
    )
