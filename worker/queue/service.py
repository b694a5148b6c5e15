"""The queue of orders: one set of decisions, over two transports and two modes.

Queue ── decides (retry.py) ──► LeasedMode | PlainMode ── names functions, fences ──► Postgres | Supabase
transport
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.queue.claims import Claim, ClaimStatus, JobRow, Outcome, Rescued
from worker.queue.leased import LeasedMode
from worker.queue.plain import TABLE, PlainMode
from worker.queue.plain_dialect import find_dialect
from worker.queue.retry import Action, decide
from worker.queue.transport import Row, StatementRefusedError, Transport

__all__ = ["LEASE_S", "Claim", "ClaimStatus", "JobRow", "Outcome", "Queue", "Rescued", "open_queue"]

LEASE_S = 60.0
SCHEMA = 2  # what worker_version() answers after this release's migration
STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
_COLUMNS = (
    "id", "status", "progress", "stage", "error", "track_id", "created_at", "started_at", "completed_at",
)  # fmt: skip
_LEASE_COLUMNS = ("attempt", "claimed_by", "run_after", "error_code")
_PAUSES_S = (0.1, 0.3, 1.0, 2.0)

T = TypeVar("T")


class Mode(Protocol):
    """What leased and plain rows have in common; every write is fenced and says how the claim stands."""

    name: Literal["leased", "plain"]

    @property
    def waiting(self) -> int: ...
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
    """Orders in `audio_job_queue`. Every method may be called from any thread, and raises only `WorkerError`.

    Writes that end an attempt (`release`, `finish`, `resolve_failure`) try again for `retry_for_s` while the database
    does not answer: they may be repeated without harm, and much work hangs on them. All others try once.
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
        """Take the oldest order that is due; None when there is none."""
        return self._mode.claim()

    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        """Extend the lease (leased) or touch the row (plain), and write progress (0..100) and stage."""
        return self._mode.heartbeat(claim, progress=progress, stage=stage)

    def claim_status(self, claim: Claim) -> ClaimStatus:
        """Look, and write nothing."""
        return self._mode.claim_status(claim)

    def release(self, claim: Claim, *, reason: str, delay_s: float = 0.0, retry_for_s: float = 30.0) -> bool:
        """Put the order back, its attempt not counted.

        Parameters
        ----------
        claim : Claim
        reason : str
            A short word for the row's error code, such as ``"shutdown"``.
        delay_s : float
            How long nobody should take it.
        patience_s : float
            How long to go on trying while the database does not answer.

        Returns
        -------
        released : bool
            False when the order was not ours any more.
        """
        claim_status = _patiently(lambda: self._mode.release(claim, code=reason, delay_s=delay_s), retry_for_s)
        return claim_status is ClaimStatus.HELD

    def finish(
        self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any], retry_for_s: float = 30.0
    ) -> ClaimStatus:
        """Write the track row, then complete the order; with Postgres in one transaction.

        Parameters
        ----------
        claim : Claim
        result : mapping
            What the app reads; see the queue contract.
        track : mapping
            Columns of `tracks` and their values; those that the table lacks are left out.
        patience_s : float
            How long to go on trying while the database does not answer.

        Returns
        -------
        standing : Standing
            HELD: done, now or by an earlier call whose answer was lost. Else nothing was written.
        """
        return _patiently(lambda: self._mode.finish(claim, result=result, track=track), retry_for_s)

    def resolve_failure(
        self, claim: Claim, error: Exception, *, crashed: bool = False, retry_for_s: float = 30.0
    ) -> Outcome:
        """Decide what becomes of an order whose attempt ended in `error`, and do it.

        Parameters
        ----------
        claim : Claim
        error : Exception
            A `WorkerError` or `Interrupted`; anything else counts as transient.
        crashed : bool
            The child died (signal, no answer) instead of reporting; the third time is poison.
        patience_s : float
            How long to go on trying while the database does not answer.

        Returns
        -------
        outcome : Outcome
            What was done, or CANCELLED or LOST when the row turned out not to be ours.
        """
        decision = decide(claim, error, crashed=crashed)

        def write() -> ClaimStatus:
            match decision.action:
                case Action.RETRY:
                    return self._mode.retry(
                        claim, code=decision.code, delay_s=decision.delay_s, crashed=decision.crashed
                    )
                case Action.RELEASE:
                    return self._mode.release(claim, code=decision.code, delay_s=decision.delay_s)
                case Action.FAIL:
                    return self._mode.fail(
                        claim, code=decision.code, message=decision.message, crashed=decision.crashed
                    )
                case Action.NOTHING:
                    return ClaimStatus.HELD

        claim_status = _patiently(write, retry_for_s)
        if claim_status is ClaimStatus.HELD:
            return decision.outcome
        return Outcome.CANCELLED if claim_status is ClaimStatus.CANCELLED else Outcome.LOST

    def rescue(self) -> int:
        """Put back, or give up as poison, the orders whose worker has died; how many."""
        rescued = self.rescue_jobs()
        return len(rescued.put_back) + len(rescued.given_up)

    def rescue_jobs(self) -> Rescued:
        """`rescue`, with the orders' ids."""
        rescued = self._mode.rescue()
        for job_id in rescued.put_back:
            logger.bind(event="order.put_back", job=job_id).warning("order {} put back: its worker has died", job_id)
        for job_id in rescued.given_up:
            logger.bind(event="order.given_up", job=job_id).error(
                "order {} given up: its workers have died over it too often", job_id
            )
        return rescued

    def track_row(self, claim: Claim) -> Row | None:
        """The claimed job's row in `tracks`, if it is the same customer's: texts, and its JSON columns as text."""
        return self._mode.track_row(claim)

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        """Where the music catalogue (`background_tracks`) has a piece, by id or slug: its object name or URL."""
        return self._mode.catalogue(claim, reference)

    def may_speak(self, claim: Claim, characters: int, *, limit: int) -> bool:
        """Whether the customer's jobs of the last 24 hours leave room for so many more spoken characters."""
        return claim.user_id is None or self._mode.may_speak(claim, characters, limit)

    def enqueue(self, payload: Mapping[str, Any], *, track_id: str | None = None, user_id: str | None = None) -> str:
        """Add an order; its id."""
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
        """The newest orders, newest first."""
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
        """One order; None when there is none of that id."""
        rows = self._transport.select(TABLE, self._columns(), where={"id": job_id}, limit=1)
        return _job_row(rows[0]) if rows else None

    def depth(self) -> dict[str, int]:
        """Orders by status; every status is there. What plain mode has parked here counts as pending."""
        counts = {status: self._count(status) for status in STATUSES}
        waiting = min(self._mode.waiting, counts["processing"])
        counts["pending"] += waiting
        counts["processing"] -= waiting
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
        """Put back what plain mode has parked, and give the connections back."""
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
        How long a claim is ours without a beat; leased mode only.

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
    if config.supabase_url is None and config.supabase_service_role_key is None:
        raise ConfigurationError(
            "DATABASE_URL is not set, nor are SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY; set one of the two",
            code="configuration.variable",
        )
    if config.supabase_url is None or config.supabase_service_role_key is None:
        missing = "SUPABASE_URL" if config.supabase_url is None else "SUPABASE_SERVICE_ROLE_KEY"
        raise ConfigurationError(f"{missing} is not set", code="configuration.variable")
    from worker.queue.supabase import SupabaseTransport

    return SupabaseTransport(config.supabase_url, config.supabase_service_role_key.get_secret_value())


def _patiently(write: Callable[[], T], retry_for_s: float) -> T:
    """Repeat a fenced write while the database does not answer; the queue's one retry place."""
    deadline = time.monotonic() + retry_for_s
    tries = 0
    while True:
        try:
            return write()
        except TransientError:
            pause_s = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
            if time.monotonic() + pause_s > deadline:
                raise
            time.sleep(pause_s)
            tries += 1


def _job_row(row: Mapping[str, Any]) -> JobRow:
    def moment(name: str) -> datetime | None:
        value = row.get(name)
        return datetime.fromisoformat(value) if isinstance(value, str) else value

    return JobRow(
        job_id=str(row["id"]),
        status=str(row["status"]),
        progress=int(row["progress"] or 0),
        stage=row["stage"],
        error=row["error"],
        error_code=row.get("error_code"),
        track_id=None if row["track_id"] is None else str(row["track_id"]),
        attempt=row.get("attempt"),
        claimed_by=row.get("claimed_by"),
        created_at=moment("created_at"),
        started_at=moment("started_at"),
        completed_at=moment("completed_at"),
        run_after=moment("run_after"),
    )
