"""The queue of jobs: one set of decisions, over two modes and two transports.

Queue (decides, retry.py): LeasedQueue | PlainQueue (fence) ──► PostgresTransport | SupabaseTransport
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Literal

from loguru import logger

from worker.backoff import RetryPolicy, with_retries
from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.masks import mask_error
from worker.queue.claims import (
    AttemptReport,
    Cause,
    Claim,
    ClaimStatus,
    JobRow,
    Outcome,
    Rescued,
)
from worker.queue.listing import Listing
from worker.queue.operations import Operations
from worker.queue.retry import JOB_RETRIES, Action, Decision, JobRetries, decide
from worker.queue.transport import (
    POSTGRES_LIMITS,
    TABLE,
    PostgresLimits,
    Row,
    Transport,
)
from worker.supabase_access import supabase_of

__all__ = ["LEASE_S", "Cause", "Claim", "ClaimStatus", "JobRow", "Outcome", "Queue", "Rescued", "open_queue"]

LEASE_S = 60.0
SCHEMA = 4  # what worker_version() answers after this release's migration
# Of the writes that end an attempt: until their time is up.
WRITE_RETRIES = RetryPolicy(failures=None, first_wait_s=0.1, longest_wait_s=2.0)


class Queue(Listing, Operations):
    """Jobs in `audio_job_queue`. Every method may be called from any thread, and raises only `WorkerError`.

    Writes that end an attempt (`finish`, `resolve_failure`) are repeated for up to `retry_for_s` while the database
    does not answer: that does no harm, and a whole render depends on them. All other calls are made once.

    Attributes
    ----------
    mode : {"leased", "plain"}
        Whether the database has the worker's own functions.
    transport : {"postgres", "supabase"}
        How the database is reached.
    description : str
        One line for the log and /health: transport, mode, dialect.
    """

    mode: ClassVar[Literal["leased", "plain"]]

    def __init__(self, transport: Transport, *, description: str = "", retries: JobRetries = JOB_RETRIES) -> None:
        self._transport = transport
        self.transport = transport.name
        self.description = description
        self.retries = retries

    @abstractmethod
    def claim(self) -> Claim | None:
        """Take the oldest job that is due; None when there is none."""

    @abstractmethod
    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        """Extend the lease (leased) or touch the row (plain), and write progress (0..100) and stage."""

    @abstractmethod
    def claim_status(self, claim: Claim) -> ClaimStatus:
        """Read the claim's status; nothing is written."""

    @abstractmethod
    def track_row(self, claim: Claim) -> Row | None:
        """The claimed job's row in `tracks` if it belongs to the same customer; its JSON columns as text."""

    @abstractmethod
    def catalogue(self, claim: Claim, reference: str) -> str | None:
        """Look an id or slug up in the music catalogue (`background_tracks`): the object name or URL, or None."""

    @abstractmethod
    def write_decision(self, claim: Claim, decision: Decision, report: AttemptReport | None = None) -> ClaimStatus:
        """Retry, release, park or fail the job, once, if the claim is held; returns the claim's status before.

        With the action NOTHING only the attempt of a cancelled job is noted.
        """

    @abstractmethod
    def write_result(
        self,
        claim: Claim,
        result: Mapping[str, Any],
        track: Mapping[str, Any],
        report: AttemptReport | None = None,
    ) -> ClaimStatus:
        """Complete the job, once, if the claim is held; see `finish`."""

    @abstractmethod
    def take_place(self, claim: Claim, account: str, *, most: int, place: str) -> bool:
        """Take one of `most` places at a voice service for the job; in plain mode those of this process.

        It comes back by `give_place`, or when the claim has ended or its lease has run out.
        """

    @abstractmethod
    def give_place(self, claim: Claim, place: str) -> None:
        """Give a place back."""

    @abstractmethod
    def end_places(self, claim: Claim) -> None:
        """Give back all places of a job that has ended; nothing is asked of the database."""

    @abstractmethod
    def causes(self) -> list[Cause]:
        """What parked jobs wait for, oldest first; in plain mode the jobs that are parked here."""

    @abstractmethod
    def _may_speak(self, claim: Claim, characters: int, limit: int) -> bool: ...

    @abstractmethod
    def _rescue(self) -> Rescued: ...

    def may_speak(self, claim: Claim, characters: int, *, limit: int) -> bool:
        """Whether `characters` more keep the customer within `limit` spoken characters in 24 hours."""
        return claim.user_id is None or self._may_speak(claim, characters, limit)

    def finish(
        self,
        claim: Claim,
        *,
        result: Mapping[str, Any],
        track: Mapping[str, Any],
        report: AttemptReport | None = None,
        retry_for_s: float = 30.0,
    ) -> ClaimStatus:
        """Write the track's row and complete the job; with Postgres in one transaction.

        `result` is for the app (see the queue contract), `track` columns of `tracks` and their values; those that the
        table lacks are left out; `report` is kept with the job's attempts (leased mode). HELD: done, now or by an
        earlier call whose answer was lost. Else nothing was written.
        """
        return _repeated(lambda: self.write_result(claim, result, track, report), retry_for_s)

    def resolve_failure(
        self,
        claim: Claim,
        error: Exception,
        *,
        crashed: bool = False,
        report: AttemptReport | None = None,
        retry_for_s: float = 30.0,
    ) -> Outcome:
        """Decide what becomes of a job whose attempt ended in `error`, and write it.

        `error` is a `WorkerError` or `Interrupted`; anything else counts as transient. `crashed`: the job process died
        (signal, no answer) without a result; the third time is poison. Returns what was done, or CANCELLED or LOST when
        the claim was no longer held.
        """
        mask_error(error, written=claim.payload_text)
        decision = decide(claim, error, crashed=crashed, retries=self.retries)
        if decision.action is Action.NOTHING:
            if report is not None and decision.outcome is Outcome.CANCELLED:
                with suppress(WorkerError):  # the job has ended, whether or not its story can be told
                    self.write_decision(claim, decision, report)
            return decision.outcome
        claim_status = _repeated(lambda: self.write_decision(claim, decision, report), retry_for_s)
        return decision.outcome if claim_status is ClaimStatus.HELD else Outcome(claim_status)

    def rescue_jobs(self) -> Rescued:
        """Put back, or give up as poison, the jobs whose worker has died; fail those that were parked for too long."""
        rescued = self._rescue()
        for job_id in rescued.put_back:
            logger.bind(event="order.put_back", job=job_id).warning("job {} put back: its worker has died", job_id)
        for job_id in rescued.given_up:
            logger.bind(event="order.given_up", job=job_id).error(
                "job {} given up: its workers have died over it too often", job_id
            )
        for job_id, cause in rescued.overdue.items():
            logger.bind(event="parked.overdue", job=job_id, cause=cause).error(
                "job {} has failed: it was parked for longer than CONFIGURATION_LIMIT_H, last for {}", job_id, cause
            )
        return rescued

    def enqueue(self, payload: Mapping[str, Any], *, track_id: str | None = None, user_id: str | None = None) -> str:
        """Add a job; returns its id."""
        column = self.payload_columns[0]
        values = {"status": "pending", column: dict(payload), "track_id": track_id, "user_id": user_id}
        return self._transport.insert(TABLE, {name: value for name, value in values.items() if value is not None})

    def now(self) -> datetime:
        """The database's clock (over HTTP to a second)."""
        return self._transport.now()

    def close(self) -> None:
        """Put parked jobs back (plain mode), and close the connections."""
        self._transport.close()


def open_queue(
    config: Config,
    *,
    worker_name: str,
    lease_s: float = LEASE_S,
    retries: JobRetries = JOB_RETRIES,
    limits: PostgresLimits = POSTGRES_LIMITS,
) -> Queue:
    """Find transport, mode and dialect. With both transports configured, the queue goes directly to Postgres.

    `worker_name` is for `claimed_by` and the database's list of connections. In leased mode a claim holds for `lease_s`
    without a heartbeat. How long a job may be parked is set by CONFIGURATION_LIMIT_H, whatever `retries` says.

    Raises
    ------
    ConfigurationError
        Nothing is configured, the credentials are refused, or the database lacks the contract's functions.
    TransientError
        The database does not answer.
    """
    retries = replace(retries, parked_limit_s=config.configuration_limit_h * 3600)
    transport = _open_transport(config, worker_name, limits)
    try:
        if transport.speaks("worker_version", ()):
            version = int(transport.scalar("worker_version", {}))
            if version < SCHEMA:
                raise ConfigurationError(
                    f"the database has version {version} of the worker's functions, this worker needs "
                    f"{SCHEMA}; run `mindscript-worker migrate`",
                    code="configuration.function",
                )
            from worker.queue.leased import LeasedQueue

            description = f"{transport.name}, leased (schema {version})"
            return LeasedQueue(
                transport,
                worker_name=worker_name,
                lease_s=lease_s,
                order=config.queue_order,
                description=description,
                retries=retries,
            )
        from worker.queue.plain import PlainQueue
        from worker.queue.plain_dialect import find_dialect

        dialect = find_dialect(transport)
        description = f"{transport.name}, plain (argument names: {dialect.name})"
        return PlainQueue(transport, dialect=dialect, description=description, retries=retries)
    except BaseException:
        transport.close()
        raise


def _open_transport(config: Config, worker_name: str, limits: PostgresLimits) -> Transport:
    if config.database_url is not None:
        from worker.queue.postgres import PostgresTransport

        return PostgresTransport(config.database_url.get_secret_value(), application=worker_name, limits=limits)
    supabase = supabase_of(config)
    if supabase is None:
        raise ConfigurationError(
            "DATABASE_URL is not set, nor are SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY; set one of the two",
            code="configuration.variable",
        )
    from worker.queue.supabase import SupabaseTransport

    return SupabaseTransport(supabase)


def _repeated(write: Callable[[], ClaimStatus], retry_for_s: float) -> ClaimStatus:
    return with_retries(write, retry_policy=WRITE_RETRIES, deadline=time.monotonic() + retry_for_s)
