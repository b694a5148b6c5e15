"""Plain mode: a database with only the web app's three functions, as it is before the worker's migration.

The claim is fenced by the row's `started_at`: whoever takes the row after us writes another. There are no
columns for attempts, so they are noted in `result` (``{"worker": {"attempt": …}}``), which nobody reads
before the job is done. Nor is there one for "not before": a job that is to be tried again stays
`processing`, parked here and touched, until its time has come.

A job ends in this order: `complete_job`, the track, the row's `result`. Over HTTP these are three calls, so a
worker may die between them; the row's stage says so, and `rescue` does what is left.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from loguru import logger

from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim, ClaimStatus, Rescued
from worker.queue.plain_dialect import Dialect
from worker.queue.retry import APOLOGY, MAX_CRASHES
from worker.queue.transport import AsText, Row, StatementRefusedError, Transport

TABLE = "audio_job_queue"
_CATALOGUE = "background_tracks"
# "A row processing with updated_at older than 10 minutes may be put back to pending by anyone": the queue
# contract.
_STUCK_AFTER = timedelta(minutes=10)
_DAY = timedelta(days=1)
_TOUCH_S = 15.0
_WAITING = "Waiting to try again"
_UNFINISHED = "Finalizing"  # stage of a completed row whose track is still to be written
_FINISHED = "Complete"
_NOTES = AsText("result", "worker")
_LONGEST_NOTES = 2000  # customers can write the column: what is longer is none of ours
_LIVE = ("pending", "processing", "completed")
_YOUNGER_LIMIT = 50
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
        self._columns: dict[str, set[str]] = {}  # seen, by table; a missing one may come any day
        self._unseen: list[str] = []  # ids of rows that were claimed over HTTP and could not be read yet
        self._refusals: set[str] = set()  # of complete_job, each logged once

    # -- taking

    def claim(self) -> Claim | None:
        self._tend()
        transport = self._transport
        try:
            job_id: str | None = self._unseen.pop()
        except IndexError:
            job_id = None
        try:
            with transport.atomically():
                job_id = job_id or self._take()
                return None if job_id is None else self._read(job_id)
        except WorkerError:
            if job_id is not None and transport.name == "supabase":
                self._unseen.append(job_id)  # no transaction has taken it back
            raise

    def _take(self) -> str | None:
        """Claim the next row; its id. Nothing else of it is read here: the rest is the customer's."""
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
        started, created = _moment(row["started_at"]), _moment(row["created_at"])
        text, size = self._payload(job_id)
        return Claim(
            job_id=job_id,
            token=started.isoformat() if started else "",
            attempt=_count(notes, "attempt") + 1,
            track_id=_text(row["track_id"]),
            user_id=_text(row["user_id"]),
            payload_text=text,
            payload_bytes=size,
            waited_s=max(0.0, (started - created).total_seconds()) if started and created else 0.0,
            crashes=_count(notes, "crashes"),
            last_error_code=_text(notes.get("code")),
        )

    def _payload(self, job_id: str) -> tuple[str | None, int | None]:
        """The payload's text, or its size where that is over the limit."""
        for column in self._have(TABLE, ("payload", "job_data")):
            text, size = self._transport.json_text(TABLE, column, row_id=job_id, limit_bytes=PAYLOAD_LIMIT_BYTES)
            if size is not None or text not in (None, "null"):
                return text, size
        return None, None

    # -- what a job wants to know

    def track_row(self, claim: Claim) -> Row | None:
        if claim.track_id is None:
            return None
        have = self._have("tracks", (*_TRACK_TEXT, *_TRACK_JSON))
        wanted: list[str | AsText] = ["id", *(AsText(name) if name in _TRACK_JSON else name for name in have)]
        where = {"id": claim.track_id, "user_id": claim.user_id}
        rows = self._transport.select("tracks", wanted, where=where, limit=1)
        return rows[0] if rows else None

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        del claim
        keys = ("id", "slug") if _is_uuid(reference) else ("slug",)
        try:
            have = self._have(_CATALOGUE, ("id", "slug", "url", "is_active"))
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
        """There is no column for it: the scripts of the customer's other jobs of the last 24 hours are counted."""
        since = (self._transport.now() - _DAY).isoformat()
        where = {"user_id": claim.user_id}
        spoken = 0
        for column in self._have(TABLE, ("payload", "job_data")):
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
        return self._look(claim)[1]

    def release(self, claim: Claim, *, code: str, delay_s: float) -> ClaimStatus:
        return self._put_back(claim, delay_s, claim.attempt - 1, claim.crashes, code)

    def retry(self, claim: Claim, *, code: str, delay_s: float, crashed: bool) -> ClaimStatus:
        return self._put_back(claim, delay_s, claim.attempt, claim.crashes + crashed, code)

    def fail(self, claim: Claim, *, code: str, message: str, crashed: bool) -> ClaimStatus:
        """Touch the row on the condition that it is ours, then end it.

        With psycopg the touch locks the row until the transaction ends. Over HTTP it makes the row fresh, so that
        nobody has reason to take it in the moment before `complete_job`. It takes the notes out too: a job that has
        failed and is put back by hand starts anew.
        """
        del code, crashed  # there is no column for them
        with self._transport.atomically():
            if not self._transport.update(TABLE, {"result": None}, where=self._own(claim)):
                status, claim_status = self._look(claim)
                return ClaimStatus.HELD if status == "failed" else claim_status  # an earlier answer was lost
            self._end(claim.job_id, "failed", where=self._own(claim), result=None, error=message)
        return ClaimStatus.HELD

    def finish(self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any]) -> ClaimStatus:
        """End the row as `fail` does; then write the track, and then the whole result.

        `complete_job` gets the result without `url`: with it, some databases write the track themselves, as
        `completed`, which no page shows, or fail over columns that they lack.
        """
        with self._transport.atomically():
            touched = {"result": None, "stage": _UNFINISHED}
            if not self._transport.update(TABLE, touched, where=self._own(claim)):
                status, claim_status = self._look(claim)
                if status != "completed":
                    return claim_status
                # completed with our started_at: an earlier answer was lost, maybe before the track was written
                self._finish_track(claim.job_id)
                return ClaimStatus.HELD
            whole, written = dict(result), dict(track)
            if claim.track_id is not None and self._is_superseded(claim):
                whole, written = {**whole, "superseded": True}, {}
            unfinished = {key: value for key, value in whole.items() if key != "url"}
            unfinished["worker"] = {"track": written}
            self._end(claim.job_id, "completed", where=self._own(claim), result=unfinished, error=None)
            self._write_track(claim.track_id, claim.user_id, written)
            self._write_result(claim.job_id, whole)
        return ClaimStatus.HELD

    @property
    def waiting(self) -> int:
        """Jobs that are parked: `processing` in the table, though nobody works on them."""
        with self._lock:
            return len(self._parked)

    def rescue(self) -> Rescued:
        """Put back what nobody has touched for ten minutes, by the server's clock; three times, then give it up.

        What cannot be written to one row never keeps the others from being rescued.
        """
        self._tend()
        self._finish_tracks()
        transport = self._transport
        held = transport.select(TABLE, ["id", "updated_at", _NOTES], where={"status": "processing"})
        if not held:
            return Rescued()
        now = transport.now()
        put_back: list[str] = []
        given_up: list[str] = []
        for row in held:
            updated = _moment(row["updated_at"])
            if updated is None or now - updated < _STUCK_AFTER:
                continue
            job_id = str(row["id"])
            with self._alone(job_id):
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
        """Parked jobs go back at once: nobody would touch them any more."""
        with self._lock:
            parked, self._parked = self._parked, []
        for item in parked:
            with suppress(WorkerError):
                self._to_pending(item.claim)

    # -- the row

    def _own(self, claim: Claim) -> dict[str, Any]:
        own = {"id": claim.job_id, "status": "processing"}
        return {**own, "started_at": claim.token} if claim.token else own

    def _look(self, claim: Claim) -> tuple[str, ClaimStatus]:
        rows = self._transport.select(TABLE, ["status", "started_at"], where={"id": claim.job_id}, limit=1)
        if not rows:
            return "", ClaimStatus.LOST
        status, started = str(rows[0]["status"]), _moment(rows[0]["started_at"])
        same = not claim.token or (started is not None and started == _moment(claim.token))
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
        """End a row with `complete_job`; by an update of our own where that function fails for reasons of the app's.

        Some databases have a `complete_job` that needs types or columns which they lack, and so undoes its own write.
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

    def _put_back(self, claim: Claim, delay_s: float, attempt: int, crashes: int, code: str) -> ClaimStatus:
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

    def _tend(self) -> None:
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

    # -- the track

    def _is_superseded(self, claim: Claim) -> bool:
        """Whether the customer has a younger job for the same track that has completed, runs or waits."""
        rows = self._transport.select(
            TABLE,
            ["id", "status", "created_at"],
            where={"track_id": claim.track_id, "user_id": claim.user_id},
            newest_first=True,
            limit=_YOUNGER_LIMIT,
        )
        own = next((row for row in rows if str(row["id"]) == claim.job_id), None)
        created = None if own is None else _moment(own["created_at"])
        younger = [row for row in rows if created is None or (_moment(row["created_at"]) or created) > created]
        return any(str(row["status"]) in _LIVE for row in younger)

    def _write_track(self, track_id: str | None, user_id: str | None, track: Mapping[str, Any]) -> None:
        """Write what the table has columns for: a missing `preview_url` must not cost a finished job."""
        if track_id is None or not track:
            return
        wanted = {**track, "updated_at": "now"}  # the database's own now: Postgres reads the word as a time
        have = self._have("tracks", tuple(wanted))
        values = {name: value for name, value in wanted.items() if name in have}
        if values:
            self._transport.update("tracks", values, where={"id": track_id, "user_id": user_id})

    def _write_result(self, job_id: str, result: Mapping[str, Any]) -> None:
        done = {"result": dict(result), "stage": _FINISHED}
        self._transport.update(TABLE, done, where={"id": job_id, "status": "completed", "stage": _UNFINISHED})

    def _finish_tracks(self) -> None:
        """Do what is left for rows that were completed by a worker that died before it wrote their track."""
        where = {"status": "completed", "stage": _UNFINISHED}
        for row in self._transport.select(TABLE, ["id"], where=where, limit=100):
            job_id = str(row["id"])
            with self._alone(job_id), self._transport.atomically():
                if self._finish_track(job_id):
                    logger.bind(event="track.repaired", job=job_id).warning(
                        "job {}: its worker died before the track was written; written now", job_id
                    )

    def _finish_track(self, job_id: str) -> bool:
        """Write the track and the result of a completed row, from what `finish` left in it; False if nothing is left.

        Customers can write the row, so only files that this job has made are taken from it.
        """
        where = {"id": job_id, "status": "completed", "stage": _UNFINISHED}
        rows = self._transport.select(TABLE, ["track_id", "user_id"], where=where, limit=1)
        text, _ = self._transport.json_text(TABLE, "result", row_id=job_id, limit_bytes=PAYLOAD_LIMIT_BYTES)
        result = _object(text)
        notes = result.pop("worker", None)
        if not rows:
            return False
        track_id = _text(rows[0]["track_id"])
        track = notes.get("track") if isinstance(notes, dict) else None
        audio, made_here = result.get("audioUrl"), f"/{job_id}-"
        if isinstance(track, dict) and isinstance(audio, str) and made_here in audio:
            own: dict[str, Any] = {"audio_url": audio, "status": "published"}
            if made_here in str(track.get("preview_url")):
                own["preview_url"] = track["preview_url"]
            if isinstance(track.get("duration_seconds"), int):
                own["duration_seconds"] = track["duration_seconds"]
            if track:  # else the job was superseded
                self._write_track(track_id, _text(rows[0]["user_id"]), own)
            result["url"] = audio
        self._write_result(job_id, result)
        return True

    # -- small things

    def _have(self, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the columns the table has, in this order; a missing one is looked for again each time."""
        seen = self._columns.setdefault(table, set())
        for name in columns:
            if name not in seen and self._transport.has_column(table, name):
                seen.add(name)
        return tuple(name for name in columns if name in seen)

    def _alone(self, job_id: str) -> _Alone:
        return _Alone(job_id)


class _Alone:
    """A block about one row: what the database refuses there is logged, and the next row's turn comes."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ConfigurationError):
            return False
        logger.bind(event="rescue.refused", job=self._job_id).error("job {}: {}", self._job_id, error.message)
        return True


def _pending(result: Mapping[str, Any] | None) -> dict[str, Any]:
    back = {"status": "pending", "started_at": None, "progress": 0, "stage": None}
    return back if result is None else {**back, "result": dict(result)}


def _notes(row: Row) -> dict[str, Any]:
    """The worker's notes in a row; whatever else stands in their place counts as none."""
    text = row.get(_NOTES.name)
    return _object(text) if isinstance(text, str) and len(text) <= _LONGEST_NOTES else {}


def _object(text: str | None) -> dict[str, Any]:
    try:
        loaded = json.loads(text or "{}")
    except (ValueError, RecursionError):  # nested, or a number written, beyond all measure
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _count(notes: Mapping[str, Any], name: str) -> int:
    value = notes.get(name)
    return value if isinstance(value, int) and 0 <= value < 1000 else 0


def _moment(value: object) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
