"""Plain mode: a database with only the web app's three functions, as it is before the worker's migration.

The fence is the row's `started_at`: every claim writes a new one. The table has no columns for attempts, so they are
noted in `result` (``{"worker": {"attempt": …}}``), which nobody reads before the job is done. It has no column for
"not before" either: a job that waits for its next attempt stays `processing` in this process, which touches the row
until its time has come. So do jobs that are parked under a cause; see worker/queue/plain_parking.py.

A job ends in three steps: `complete_job`, the track, the row's `result`. Over HTTP these are three calls, so a worker
may die between them; the row's stage shows that, and the rescue does the rest (worker/queue/plain_tracks.py).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from worker.errors import ConfigurationError, WorkerError
from worker.queue.claims import AttemptReport, Cause, Claim, ClaimStatus, Outcome, Rescued
from worker.queue.plain_dialect import Dialect
from worker.queue.plain_notes import NOTES, count_of, died_beside, noted, notes_of, parked_since_of
from worker.queue.plain_operations import PlainOperations
from worker.queue.plain_parking import Parking
from worker.queue.plain_places import Places
from worker.queue.plain_reading import JobReader
from worker.queue.plain_rows import ClaimedRows
from worker.queue.plain_tracks import UNFINISHED_STAGE, TrackWriter, logged_refusal
from worker.queue.retry import (
    APOLOGY,
    CRASHED_ALONE,
    CRASHED_BESIDE_OTHERS,
    MAX_CRASHES,
    TOO_LATE,
    Action,
    Decision,
)
from worker.queue.service import Queue
from worker.queue.transport import TABLE, AsText, Row, StatementRefusedError, Transport, moment, text_of

# Queue contract: a row that is processing and has not been updated for 10 minutes may be put back by anyone.
_STUCK_AFTER = timedelta(minutes=10)
_TOUCH_S = 15.0
_WAITING = "Waiting to try again"
_PENDING = {"status": "pending", "started_at": None, "progress": 0, "stage": None}


class PlainQueue(PlainOperations, Queue):
    """Rows without leases.

    `clock` gives monotonic seconds; only the waits of jobs that are kept here go by it.
    """

    mode = "plain"

    def __init__(
        self, transport: Transport, *, dialect: Dialect, clock: Callable[[], float] = time.monotonic, **options: Any
    ) -> None:
        super().__init__(transport, **options)
        self.dialect = dialect
        self._clock = clock
        self._waiting: dict[Claim, float] = {}  # for their next attempt, and when each is due
        self._parking = Parking()
        # Claims whose jobs run here, and this process's name in the notes of those that run beside others.
        self._running: set[Claim] = set()
        self._beside: set[Claim] = set()
        self._process = uuid.uuid4().hex
        self._running_lock = threading.Lock()
        self._places = Places()
        self._touch_at = 0.0
        self._tracks = TrackWriter(transport)
        self._reader = JobReader(transport, self._tracks.columns)
        self._rows = ClaimedRows(transport, dialect)
        self._unread: list[str] = []  # ids of rows that were claimed over HTTP and could not be read yet

    # -- claiming

    def claim(self) -> Claim | None:
        claim = self._claim()
        if claim is not None:
            with self._running_lock:
                self._running = {other for other in self._running if other.job_id != claim.job_id} | {claim}
            self._note_neighbours()
        return claim

    def _claim(self) -> Claim | None:
        self._keep_rows()
        if (probe := self._probe()) is not None:
            return probe
        job_id = self._unread.pop() if self._unread else None
        try:
            with self._transport.atomically():
                job_id = job_id or self._take()
                return None if job_id is None else self._read(job_id)
        except WorkerError:
            if job_id is not None and self.transport == "supabase":
                self._unread.append(job_id)  # over HTTP no transaction has undone the claim
            raise

    def _probe(self) -> Claim | None:
        """Claim a parked job whose cause is to be tried again: its row is ours, so it is only begun anew."""
        parked = self._parking.take_probe(self._clock())
        if parked is None:
            return None
        begun = {"started_at": "now", "progress": 0, "stage": None}
        try:
            with self._transport.atomically():
                is_ours = self._transport.update(TABLE, begun, where=self._rows.own(parked))
                claim = self._read(parked.job_id) if is_ours else None
        except WorkerError:
            if self.transport == "supabase":
                self._unread.append(parked.job_id)
            else:
                self._parking.return_probe(parked.job_id)
            raise
        if claim is None:
            self._parking.probe_over(parked.job_id, self._clock())
        return claim

    def _note_neighbours(self) -> None:
        """Note which jobs run side by side: if this process dies, nobody knows over which of them it was."""
        with self._running_lock:  # until all is written: what a job's end notes comes after it
            unnoted = self._running - self._beside if len(self._running) > 1 else set()
            self._beside |= unnoted
            for claim in unnoted:
                before = noted(claim.attempt - 1, claim.crashes, claim.last_error_code or "", claim.parked_since)
                with suppress(WorkerError):  # then the crash is charged
                    self._rows.update(claim, {"result": {"worker": {**before["worker"], "process": self._process}}})

    def _take(self) -> str | None:
        """Claim the next row and return its id. The other columns are read later: customers write them."""
        try:
            with self._transport.atomically():
                return self._transport.claim_next("job_id")
        except StatementRefusedError as error:
            if error.sqlstate != "42703":
                raise
        return self._transport.claim_next("id")

    def _read(self, job_id: str) -> Claim | None:
        columns: list[str | AsText] = ["status", "track_id", "user_id", "started_at", "created_at", NOTES]
        rows = self._transport.select(TABLE, columns, where={"id": job_id}, limit=1)
        if not rows:
            raise ConfigurationError(
                f"job {job_id} was taken from the queue, but this key or role cannot see its row: row-level security "
                "binds it; use the service role key, or the role that owns audio_job_queue",
                code="configuration.rights",
            )
        row = rows[0]
        if str(row["status"]) != "processing":
            return None  # cancelled between the two
        notes = notes_of(row)
        started, created = moment(row["started_at"]), moment(row["created_at"])
        text, size = self._reader.payload(job_id)
        return Claim(
            job_id=job_id,
            token=started.isoformat() if started else "",
            attempt=count_of(notes, "attempt") + 1,
            track_id=text_of(row["track_id"]),
            user_id=text_of(row["user_id"]),
            payload_text=text,
            payload_bytes=size,
            waited_s=max(0.0, (started - created).total_seconds()) if started and created else 0.0,
            crashes=count_of(notes, "crashes"),
            last_error_code=text_of(notes.get("code")),
            probed_cause=self._parking.probed_cause(job_id),
            parked_since=parked_since_of(notes),
        )

    # -- what a job process asks for

    def track_row(self, claim: Claim) -> Row | None:
        return self._reader.track_row(claim)

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        del claim
        return self._reader.catalogue(reference)

    def _may_speak(self, claim: Claim, characters: int, limit: int) -> bool:
        return self._reader.may_speak(claim, characters, limit)

    # -- holding and ending

    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        with self._transport.atomically():
            claim_status = self.claim_status(claim)
            if claim_status is ClaimStatus.HELD:
                names = self.dialect.progress
                values = (claim.job_id, min(100, max(0, progress)), stage)
                self._transport.scalar("update_job_progress", dict(zip(names, values, strict=True)))
        return claim_status

    def claim_status(self, claim: Claim) -> ClaimStatus:
        return self._rows.status(claim)[1]

    def write_decision(self, claim: Claim, decision: Decision, report: AttemptReport | None = None) -> ClaimStatus:
        del report  # there is no table for it
        if decision.action is Action.NOTHING:
            return self.claim_status(claim)
        with self._running_lock:
            self._running.discard(claim)
        if decision.action is Action.PARK:
            return self._park(claim, decision)
        match decision.action:
            case Action.FAIL:
                return self._fail(claim, decision.message)
            case Action.RELEASE:
                attempt, crashes = claim.attempt - 1, claim.crashes
            case _:
                attempt, crashes = claim.attempt, claim.crashes + decision.crashed
        notes = noted(attempt, crashes, decision.code, claim.parked_since)
        if decision.delay_s <= 0:
            return self._rows.update(claim, {**_PENDING, "result": notes})
        claim_status = self._rows.update(claim, {"result": notes, "progress": 0, "stage": _WAITING})
        now = self._clock()
        due = now + decision.delay_s
        if claim_status is ClaimStatus.HELD and not self._parking.probe_over(claim.job_id, now, back=claim, due=due):
            self._waiting[claim] = due
        return claim_status

    def _park(self, claim: Claim, decision: Decision) -> ClaimStatus:
        began = self._transport.now()
        claim = replace(claim, parked_since=claim.parked_since or began)
        notes = noted(claim.attempt - 1, claim.crashes, decision.code, claim.parked_since)
        claim_status = self._rows.update(claim, {"result": notes, "progress": 0, "stage": _WAITING})
        if claim_status is ClaimStatus.HELD:
            self._parking.park(claim, decision, now=self._clock(), moment=began)
        return claim_status

    def _fail(self, claim: Claim, message: str) -> ClaimStatus:
        """Touch the row under the fence, then end it.

        With psycopg the touch locks the row until the transaction ends. Over HTTP it renews `updated_at`, so that
        nobody rescues the row just before `complete_job`. It also clears the notes: a job that has failed and is
        requeued by hand starts anew.
        """
        with self._transport.atomically():
            if not self._transport.update(TABLE, {"result": None}, where=self._rows.own(claim)):
                status, claim_status = self._rows.status(claim)
                return ClaimStatus.HELD if status == "failed" else claim_status  # an earlier call has done it
            self._rows.end(self._rows.own(claim), "failed", result=None, error=message)
        return ClaimStatus.HELD

    def write_result(
        self,
        claim: Claim,
        result: Mapping[str, Any],
        track: Mapping[str, Any],
        report: AttemptReport | None = None,
    ) -> ClaimStatus:
        """End the row as `_fail` does, then write the track, then the whole result.

        `complete_job` gets the result without `url`. With it, some databases set the track to `completed`, which no
        page of the app shows, or fail over columns that they lack.
        """
        del report
        with self._transport.atomically():
            touched = {"result": None, "stage": UNFINISHED_STAGE}
            if not self._transport.update(TABLE, touched, where=self._rows.own(claim)):
                status, claim_status = self._rows.status(claim)
                if status != "completed":
                    return claim_status
                # completed under this claim by an earlier call, perhaps before the track was written
                self._tracks.repair(claim.job_id)
                self._free_after(claim)
                return ClaimStatus.HELD
            whole, written = dict(result), dict(track)
            if claim.track_id is not None and self._tracks.is_superseded(claim):
                whole, written = {**whole, "superseded": True}, {}
            unfinished = {key: value for key, value in whole.items() if key != "url"}
            unfinished["worker"] = {"track": written}
            self._rows.end(self._rows.own(claim), "completed", result=unfinished, error=None)
            self._tracks.write(claim.track_id, claim.user_id, written)
            self._tracks.write_result(claim.job_id, whole)
        self._free_after(claim)
        return ClaimStatus.HELD

    def _free_after(self, claim: Claim) -> None:
        """Have the jobs that wait for the same as a probe that has completed be pending with the next poll."""
        for freed in self._parking.completed(claim.job_id):
            self._waiting[freed] = self._clock()

    def resolve_failure(self, claim: Claim, error: Exception, **options: Any) -> Outcome:
        try:
            return super().resolve_failure(claim, error, **options)
        finally:
            self._parking.probe_over(claim.job_id, self._clock())  # where nothing was written; else it is known

    def take_place(self, claim: Claim, account: str, *, most: int, place: str) -> bool:
        return self._places.take(claim.job_id, account, most=most, place=place)

    def give_place(self, claim: Claim, place: str) -> None:
        self._places.give(place)

    def end_places(self, claim: Claim) -> None:
        with self._running_lock:
            self._running.discard(claim)
            self._beside.discard(claim)
        self._places.end(claim.job_id)

    def causes(self) -> list[Cause]:
        return self._parking.causes()

    def depth(self) -> dict[str, int]:
        counts = Queue.depth(self)
        kept = min(len(self._waiting) + len(self._parking.claims()), counts["processing"])
        counts["pending"] += kept
        counts["processing"] -= kept
        return counts

    def _rescue(self) -> Rescued:
        """Put back jobs that nobody has touched for ten minutes by the server's clock; the third time, give them up.

        A row that cannot be written does not keep the others from being rescued.
        """
        self._keep_rows()
        self._tracks.repair_all()
        overdue = self._end_overdue()
        held = self._transport.select(TABLE, ["id", "updated_at", NOTES], where={"status": "processing"})
        if not held:
            return Rescued(overdue=overdue)
        now = self._transport.now()
        put_back: list[str] = []
        given_up: list[str] = []
        for row in held:
            updated = moment(row["updated_at"])
            beside = died_beside(row, held)
            if updated is None or now - max((updated, *beside)) < _STUCK_AFTER:
                continue
            job_id = str(row["id"])
            with logged_refusal(job_id):
                where = {"id": job_id, "status": "processing", "updated_at": updated.isoformat()}
                crashes = count_of(notes_of(row), "crashes") + (not beside)
                if self._rescue_one(notes_of(row), crashes, where, shared=bool(beside)):
                    (put_back if crashes < MAX_CRASHES else given_up).append(job_id)
        return Rescued(tuple(put_back), tuple(given_up), overdue)

    def _end_overdue(self) -> dict[str, str]:
        """Fail the parked jobs that have waited for longer than the limit."""
        parked = self._parking.by_cause()
        if not parked:
            return {}
        limit = self._transport.now() - timedelta(seconds=self.retries.parked_limit_s)
        ended: dict[str, str] = {}
        for cause, claim in parked:
            if claim.parked_since is not None and claim.parked_since < limit:
                with logged_refusal(claim.job_id):
                    if self._fail(claim, TOO_LATE) is ClaimStatus.HELD:
                        ended[claim.job_id] = cause
                    self._parking.forget(claim.job_id)
        return ended

    def _rescue_one(self, notes: Mapping[str, Any], crashes: int, where: Mapping[str, Any], *, shared: bool) -> bool:
        """Put a row back or give it up; False if it has changed meanwhile."""
        if crashes < MAX_CRASHES:
            code = CRASHED_BESIDE_OTHERS if shared else CRASHED_ALONE
            result = noted(count_of(notes, "attempt") + 1, crashes, code, parked_since_of(notes))
            return bool(self._transport.update(TABLE, {**_PENDING, "result": result}, where=where))
        with self._transport.atomically():
            if not self._transport.update(TABLE, {"result": None}, where=where):
                return False
            self._rows.end({"id": where["id"], "status": "processing"}, "failed", result=None, error=APOLOGY)
        return True

    def close(self) -> None:
        for claim in (*self._waiting, *self._parking.claims()):  # nobody would touch them any more
            with suppress(WorkerError):
                self._rows.update(claim, _PENDING)
        self._waiting.clear()
        self._parking = Parking()
        super().close()

    def _keep_rows(self) -> None:
        """Put back the jobs that are due; touch the others that are kept here."""
        now = self._clock()
        for claim, due in list(self._waiting.items()):
            if due <= now:
                self._rows.update(claim, _PENDING)
                del self._waiting[claim]
        if now < self._touch_at:
            return
        for claim in (*self._waiting, *self._parking.claims()):
            if not self._transport.update(TABLE, {"stage": _WAITING}, where=self._rows.own(claim)):
                self._waiting.pop(claim, None)
                self._parking.forget(claim.job_id)
        self._touch_at = now + _TOUCH_S
