"""Plain mode: a database with only the web app's three functions, as it is before the worker's migration.

The fence is the row's `started_at`: every claim writes a new one. The table has no columns for attempts, so they are
noted in `result` (``{"worker": {"attempt": …}}``), which nobody reads before the job is done. It has no column for
"not before" either: a job that waits for its next attempt stays `processing` and is parked in this process, which
touches the row until its time has come.

A job ends in three steps: `complete_job`, the track, the row's `result`. Over HTTP these are three calls, so a worker
may die between them; the row's stage shows that, and `rescue` does the rest (worker/queue/plain_tracks.py).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from loguru import logger

from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim, ClaimStatus, Rescued
from worker.queue.plain_dialect import Dialect
from worker.queue.plain_tracks import TABLE, UNFINISHED_STAGE, Columns, TrackWriter, logged_refusal, moment, text_of
from worker.queue.retry import APOLOGY, MAX_CRASHES
from worker.queue.transport import AsText, Row, StatementRefusedError, Transport
from worker.untrusted_json import read_object

_CATALOGUE = "background_tracks"
# Queue contract: a row that is processing and has not been updated for 10 minutes may be put back by anyone.
_STUCK_AFTER = timedelta(minutes=10)
_DAY = timedelta(days=1)
_TOUCH_S = 15.0
_WAITING = "Waiting to try again"
_NOTES = AsText("result", "worker")
_LONGEST_NOTES = 2000  # customers can write the column; the worker writes nothing as long
_TRACK_TEXT = ("title", "cover_image_url", "script", "start_delay_seconds")
_TRACK_JSON = ("voice_config", "music_config", "frequency_config", "output_config")


@dataclass
class _Parked:
    claim: Claim
    due: float
    touched: float


class PlainMode:
    """Rows without leases.

    Parameters
    ----------
    transport : Transport
    dialect : Dialect
        From `find_dialect`.
    clock : callable
        Monotonic seconds; only parking goes by it.
    """

    def __init__(self, transport: Transport, *, dialect: Dialect, clock: Callable[[], float] = time.monotonic) -> None:
        self.name: Literal["leased", "plain"] = "plain"
        self._transport = transport
        self._dialect = dialect
        self._clock = clock
        self._lock = threading.Lock()
        self._parked: list[_Parked] = []
        self._columns = Columns(transport)
        self._tracks = TrackWriter(transport, self._columns)
        self._unread: list[str] = []  # ids of rows that were claimed over HTTP and could not be read yet
        self._refusals: set[str] = set()  # SQLSTATEs of complete_job that have been logged

    # -- claiming

    def claim(self) -> Claim | None:
        self._keep_parked()
        transport = self._transport
        job_id = self._unread.pop() if self._unread else None
        try:
            with transport.atomically():
                job_id = job_id or self._take()
                return None if job_id is None else self._read(job_id)
        except WorkerError:
            if job_id is not None and transport.name == "supabase":
                self._unread.append(job_id)  # over HTTP no transaction has undone the claim
            raise

    def _take(self) -> str | None:
        """Claim the next row and return its id. The other columns are read later: customers write them."""
        for column in ("job_id", "id"):
            try:
                with self._transport.atomically():
                    row = self._transport.claim_next([column])
            except StatementRefusedError as error:
                if error.sqlstate != "42703" or column == "id":
                    raise
            else:
                return None if row is None else str(row[column])
        return None

    def _read(self, job_id: str) -> Claim | None:
        columns: list[str | AsText] = ["status", "track_id", "user_id", "started_at", "created_at", _NOTES]
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
        notes = _notes(row)
        started, created = moment(row["started_at"]), moment(row["created_at"])
        text, size = self._payload(job_id)
        return Claim(
            job_id=job_id,
            token=started.isoformat() if started else "",
            attempt=_count(notes, "attempt") + 1,
            track_id=text_of(row["track_id"]),
            user_id=text_of(row["user_id"]),
            payload_text=text,
            payload_bytes=size,
            waited_s=max(0.0, (started - created).total_seconds()) if started and created else 0.0,
            crashes=_count(notes, "crashes"),
            last_error_code=text_of(notes.get("code")),
        )

    def _payload(self, job_id: str) -> tuple[str | None, int | None]:
        """The payload's text; its size where that is over the limit."""
        for column in self._columns.of(TABLE, ("payload", "job_data")):
            text, size = self._transport.json_text(TABLE, column, row_id=job_id, limit_bytes=PAYLOAD_LIMIT_BYTES)
            if size is not None or text not in (None, "null"):
                return text, size
        return None, None

    # -- what a job process asks for

    def track_row(self, claim: Claim) -> Row | None:
        if claim.track_id is None:
            return None
        have = self._columns.of("tracks", (*_TRACK_TEXT, *_TRACK_JSON))
        wanted: list[str | AsText] = ["id", *(AsText(name) if name in _TRACK_JSON else name for name in have)]
        where = {"id": claim.track_id, "user_id": claim.user_id}
        rows = self._transport.select("tracks", wanted, where=where, limit=1)
        return rows[0] if rows else None

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        del claim
        keys = ("id", "slug") if _is_uuid(reference) else ("slug",)
        try:
            have = self._columns.of(_CATALOGUE, ("id", "slug", "url", "is_active"))
            wanted = [name for name in ("url", "is_active") if name in have]
            for key in keys:
                if key in have and "url" in have:
                    rows = self._transport.select(_CATALOGUE, wanted, where={key: reference}, limit=1)
                    if rows and rows[0].get("is_active", True) is not False and rows[0]["url"]:
                        return str(rows[0]["url"])
        except ConfigurationError as error:
            if error.code != "configuration.table":
                raise
        return None  # not there, or no such table

    def may_speak(self, claim: Claim, characters: int, limit: int) -> bool:
        """No column holds the sum, so the scripts of the customer's other jobs of the last 24 hours are counted."""
        since = (self._transport.now() - _DAY).isoformat()
        where = {"user_id": claim.user_id}
        spoken = 0
        for column in self._columns.of(TABLE, ("payload", "job_data")):
            wanted: list[str | AsText] = ["id", AsText(column, "script")]
            rows = self._transport.select(TABLE, wanted, where=where, since=("started_at", since))
            spoken += sum(len(row["script"] or "") for row in rows if str(row["id"]) != claim.job_id)
        return spoken + characters <= limit

    # -- holding and ending

    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        with self._transport.atomically():
            claim_status = self.claim_status(claim)
            if claim_status is ClaimStatus.HELD:
                names = self._dialect.progress
                values = (claim.job_id, min(100, max(0, progress)), stage)
                self._transport.scalar("update_job_progress", dict(zip(names, values, strict=True)))
        return claim_status

    def claim_status(self, claim: Claim) -> ClaimStatus:
        return self._status(claim)[1]

    def release(self, claim: Claim, *, code: str, delay_s: float) -> ClaimStatus:
        return self._requeue(claim, delay_s, claim.attempt - 1, claim.crashes, code)

    def retry(self, claim: Claim, *, code: str, delay_s: float, crashed: bool) -> ClaimStatus:
        return self._requeue(claim, delay_s, claim.attempt, claim.crashes + crashed, code)

    def fail(self, claim: Claim, *, code: str, message: str, crashed: bool) -> ClaimStatus:
        """Touch the row under the fence, then end it.

        With psycopg the touch locks the row until the transaction ends. Over HTTP it renews `updated_at`, so that
        nobody rescues the row just before `complete_job`. It also clears the notes: a job that has failed and is
        requeued by hand starts anew.
        """
        del code, crashed  # the table has no column for them
        with self._transport.atomically():
            if not self._transport.update(TABLE, {"result": None}, where=self._own(claim)):
                status, claim_status = self._status(claim)
                return ClaimStatus.HELD if status == "failed" else claim_status  # an earlier call has done it
            self._end(claim.job_id, "failed", where=self._own(claim), result=None, error=message)
        return ClaimStatus.HELD

    def finish(self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any]) -> ClaimStatus:
        """End the row as `fail` does, then write the track, then the whole result.

        `complete_job` gets the result without `url`. With it, some databases set the track to `completed`, which no
        page of the app shows, or fail over columns that they lack.
        """
        with self._transport.atomically():
            touched = {"result": None, "stage": UNFINISHED_STAGE}
            if not self._transport.update(TABLE, touched, where=self._own(claim)):
                status, claim_status = self._status(claim)
                if status != "completed":
                    return claim_status
                # completed under this claim by an earlier call, perhaps before the track was written
                self._tracks.repair(claim.job_id)
                return ClaimStatus.HELD
            whole, written = dict(result), dict(track)
            if claim.track_id is not None and self._tracks.is_superseded(claim):
                whole, written = {**whole, "superseded": True}, {}
            unfinished = {key: value for key, value in whole.items() if key != "url"}
            unfinished["worker"] = {"track": written}
            self._end(claim.job_id, "completed", where=self._own(claim), result=unfinished, error=None)
            self._tracks.write(claim.track_id, claim.user_id, written)
            self._tracks.write_result(claim.job_id, whole)
        return ClaimStatus.HELD

    @property
    def parked(self) -> int:
        """How many jobs are parked: `processing` in the table, though nobody works on them."""
        with self._lock:
            return len(self._parked)

    def rescue(self) -> Rescued:
        """Put back jobs that nobody has touched for ten minutes by the server's clock; the third time, give them up.

        A row that cannot be written does not keep the others from being rescued.
        """
        self._keep_parked()
        self._tracks.repair_all()
        transport = self._transport
        held = transport.select(TABLE, ["id", "updated_at", _NOTES], where={"status": "processing"})
        if not held:
            return Rescued()
        now = transport.now()
        put_back: list[str] = []
        given_up: list[str] = []
        for row in held:
            updated = moment(row["updated_at"])
            if updated is None or now - updated < _STUCK_AFTER:
                continue
            job_id = str(row["id"])
            with logged_refusal(job_id):
                where = {"id": job_id, "status": "processing", "updated_at": updated.isoformat()}
                gone, crashes = self._rescue_one(job_id, _notes(row), where)
                if gone:
                    (put_back if crashes < MAX_CRASHES else given_up).append(job_id)
        return Rescued(tuple(put_back), tuple(given_up))

    def _rescue_one(self, job_id: str, notes: Mapping[str, Any], where: Mapping[str, Any]) -> tuple[bool, int]:
        """Whether the row was put back or given up, and its crashes."""
        transport = self._transport
        crashes = _count(notes, "crashes") + 1
        noted = {"attempt": _count(notes, "attempt") + 1, "crashes": crashes, "code": "crash"}
        if crashes < MAX_CRASHES:
            return bool(transport.update(TABLE, _pending({"worker": noted}), where=where)), crashes
        with transport.atomically():
            if not transport.update(TABLE, {"result": None}, where=where):
                return False, crashes
            self._end(job_id, "failed", where={"id": job_id, "status": "processing"}, result=None, error=APOLOGY)
        return True, crashes

    def close(self) -> None:
        """Put parked jobs back: nobody would touch them any more."""
        with self._lock:
            parked, self._parked = self._parked, []
        for item in parked:
            with suppress(WorkerError):
                self._to_pending(item.claim)

    # -- the row

    def _own(self, claim: Claim) -> dict[str, Any]:
        own = {"id": claim.job_id, "status": "processing"}
        return {**own, "started_at": claim.token} if claim.token else own

    def _status(self, claim: Claim) -> tuple[str, ClaimStatus]:
        rows = self._transport.select(TABLE, ["status", "started_at"], where={"id": claim.job_id}, limit=1)
        if not rows:
            return "", ClaimStatus.LOST
        status, started = str(rows[0]["status"]), moment(rows[0]["started_at"])
        same = not claim.token or (started is not None and started == moment(claim.token))
        if status == "cancelled":
            return status, ClaimStatus.CANCELLED
        return status if same else "", ClaimStatus.HELD if same and status == "processing" else ClaimStatus.LOST

    def _end(
        self,
        job_id: str,
        status: Literal["completed", "failed"],
        *,
        where: Mapping[str, Any],
        result: dict[str, Any] | None,
        error: str | None,
    ) -> None:
        """End a row with `complete_job`, or with an update where that function fails.

        Some databases have a `complete_job` that needs types or columns which they lack.
        """
        names = self._dialect.complete
        try:
            with self._transport.atomically():
                self._transport.scalar("complete_job", dict(zip(names, (job_id, result, error), strict=True)))
        except StatementRefusedError as refused:
            if refused.sqlstate not in self._refusals:
                self._refusals.add(refused.sqlstate)
                logger.bind(event="complete_job.refused", sqlstate=refused.sqlstate).warning(
                    "complete_job fails in this database: {}; jobs are ended by an update of their rows instead",
                    refused.message,
                )
        else:
            rows = self._transport.select(TABLE, ["status"], where={"id": job_id}, limit=1)
            if rows and str(rows[0]["status"]) == status:
                return
        ended: dict[str, Any] = {"status": status, "result": result, "error": error, "completed_at": "now"}
        if status == "completed":
            ended["progress"] = 100
        if not self._transport.update(TABLE, ended, where=where):
            raise TransientError(f"job {job_id} could not be ended: its row has changed meanwhile", code="database")

    def _requeue(self, claim: Claim, delay_s: float, attempt: int, crashes: int, code: str) -> ClaimStatus:
        notes = {"worker": {"attempt": attempt, "crashes": crashes, "code": code}}
        if delay_s <= 0:
            return self._to_pending(claim, notes)
        if not self._transport.update(
            TABLE, {"result": notes, "progress": 0, "stage": _WAITING}, where=self._own(claim)
        ):
            return self.claim_status(claim)
        with self._lock:
            now = self._clock()
            self._parked.append(_Parked(claim, due=now + delay_s, touched=now))
        return ClaimStatus.HELD

    def _to_pending(self, claim: Claim, result: Mapping[str, Any] | None = None) -> ClaimStatus:
        if self._transport.update(TABLE, _pending(result), where=self._own(claim)):
            return ClaimStatus.HELD
        return self.claim_status(claim)

    def _keep_parked(self) -> None:
        """Put back the parked jobs that are due; touch the others."""
        now = self._clock()
        with self._lock:
            busy = [item for item in self._parked if item.due <= now or item.touched + _TOUCH_S <= now]
            self._parked = [item for item in self._parked if item not in busy]
        for number, item in enumerate(busy):
            try:
                if item.due <= now:
                    self._to_pending(item.claim)
                    continue
                kept = self._transport.update(TABLE, {"stage": _WAITING}, where=self._own(item.claim))
            except WorkerError:
                with self._lock:
                    self._parked += busy[number:]
                raise
            if kept:
                item.touched = now
                with self._lock:
                    self._parked.append(item)


def _pending(result: Mapping[str, Any] | None) -> dict[str, Any]:
    back = {"status": "pending", "started_at": None, "progress": 0, "stage": None}
    return back if result is None else {**back, "result": dict(result)}


def _notes(row: Row) -> dict[str, Any]:
    """The worker's notes in a row; empty where a customer wrote something else there."""
    return read_object(text_of(row.get(_NOTES.name)), longest=_LONGEST_NOTES)


def _count(notes: Mapping[str, Any], name: str) -> int:
    value = notes.get(name)
    return value if isinstance(value, int) and 0 <= value < 1000 else 0


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
