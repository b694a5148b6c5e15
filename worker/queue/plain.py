"""Plain mode: a database with only the web app's three functions, as it is before the worker's migration.

The claim is fenced by the row's `started_at`: whoever takes the row after us writes another. There are no
columns for attempts, so they are noted in `result` (``{"worker": {"attempt": …}}``), which nobody reads
before the order is done. Nor is there one for "not before": an order that is to be tried again stays
`processing`, parked here and touched, until its time has come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from worker.errors import WorkerError
from worker.queue.claims import Claim, Rescued, Standing, payload_text_of
from worker.queue.plain_dialect import Dialect
from worker.queue.retry import APOLOGY, MAX_CRASHES
from worker.queue.transport import Row, Transport

TABLE = "audio_job_queue"
# "A row processing with updated_at older than 10 minutes may be put back to pending by anyone": the queue
# contract.
_STUCK_AFTER = timedelta(minutes=10)
_TOUCH_S = 15.0
_WAITING = "Waiting to try again"


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
        self._track_columns: set[str] = set()  # those seen; a missing one may come any day
        self._half_claimed: list[Row] = []  # claimed, but the look at the row that tells `started_at` failed

    def claim(self) -> Claim | None:
        self._tend()
        transport = self._transport
        try:
            row = self._half_claimed.pop()
        except IndexError:
            row = None
        claimed: Row | None = None
        try:
            with transport.atomically():
                if row is None:
                    found = transport.rows("get_next_pending_job", {})
                    # A function that returns one composite instead of a set answers with a row of nulls.
                    row = next((row for row in found if row.get("job_id") or row.get("id")), None)
                    if row is None:
                        return None
                claimed = row
                job_id = str(row.get("job_id") or row["id"])
                columns = ["started_at", "created_at", "result"]
                seen = transport.select(TABLE, columns, where={"id": job_id, "status": "processing"}, limit=1)
        except WorkerError:
            if claimed is not None and transport.name == "supabase":
                self._half_claimed.append(claimed)  # no transaction has taken it back
            raise
        if not seen:
            return None  # cancelled between the two
        notes = _notes(seen[0])
        started, created = _moment(seen[0]["started_at"]), _moment(seen[0]["created_at"])
        return Claim(
            job_id=job_id,
            token=started.isoformat() if started else "",
            attempt=int(notes.get("attempt", 0)) + 1,
            track_id=_text(row.get("track_id")),
            user_id=_text(row.get("user_id")),
            payload_text=payload_text_of(row.get("payload") or row.get("job_data")),
            waited_s=max(0.0, (started - created).total_seconds()) if started and created else 0.0,
            crashes=int(notes.get("crashes", 0)),
            last_error_code=notes.get("code"),
        )

    def beat(self, claim: Claim, *, progress: int, stage: str | None) -> Standing:
        with self._transport.atomically():
            standing = self.standing(claim)
            if standing is Standing.HELD:
                names = self._dialect.progress
                values = (claim.job_id, min(100, max(0, progress)), stage)
                self._transport.scalar("update_job_progress", dict(zip(names, values, strict=True)))
        return standing

    def standing(self, claim: Claim) -> Standing:
        return self._look(claim)[1]

    def release(self, claim: Claim, *, code: str, delay_s: float) -> Standing:
        return self._put_back(claim, delay_s, claim.attempt - 1, claim.crashes, code)

    def retry(self, claim: Claim, *, code: str, delay_s: float, crashed: bool) -> Standing:
        return self._put_back(claim, delay_s, claim.attempt, claim.crashes + crashed, code)

    def fail(self, claim: Claim, *, code: str, message: str, crashed: bool) -> Standing:
        del code, crashed  # there is no column for them
        return self._complete(claim, {}, None, message)

    def finish(self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any]) -> Standing:
        return self._complete(claim, track, dict(result), None)

    @property
    def waiting(self) -> int:
        """Orders that are parked: `processing` in the table, though nobody works on them."""
        with self._lock:
            return len(self._parked)

    def rescue(self) -> Rescued:
        """Put back what nobody has touched for ten minutes, by the server's clock; three times, then give it up."""
        self._tend()
        transport = self._transport
        held = transport.select(TABLE, ["id", "updated_at", "result"], where={"status": "processing"})
        if not held:
            return Rescued()
        now = transport.now()
        put_back: list[str] = []
        given_up: list[str] = []
        for row in held:
            updated = _moment(row["updated_at"])
            if updated is None or now - updated < _STUCK_AFTER:
                continue
            notes = _notes(row)
            crashes = int(notes.get("crashes", 0)) + 1
            noted = {
                "worker": {
                    **notes,
                    "attempt": int(notes.get("attempt", 0)) + 1,
                    "crashes": crashes,
                    "code": "crash",
                }
            }
            where = {"id": str(row["id"]), "status": "processing", "updated_at": updated.isoformat()}
            with transport.atomically():
                if crashes < MAX_CRASHES:
                    back = {
                        "status": "pending",
                        "started_at": None,
                        "progress": 0,
                        "stage": None,
                        "result": noted,
                    }
                    if transport.update(TABLE, back, where=where):
                        put_back.append(str(row["id"]))
                elif transport.update(TABLE, {"result": None}, where=where):
                    self._call_complete(str(row["id"]), None, APOLOGY)
                    given_up.append(str(row["id"]))
        return Rescued(tuple(put_back), tuple(given_up))

    def close(self) -> None:
        """Parked orders go back at once: nobody would touch them any more."""
        with self._lock:
            parked, self._parked = self._parked, []
        for item in parked:
            with suppress(WorkerError):
                self._to_pending(item.claim)

    def _own(self, claim: Claim) -> dict[str, Any]:
        own = {"id": claim.job_id, "status": "processing"}
        return {**own, "started_at": claim.token} if claim.token else own

    def _look(self, claim: Claim) -> tuple[str, Standing]:
        rows = self._transport.select(TABLE, ["status", "started_at"], where={"id": claim.job_id}, limit=1)
        if not rows:
            return "", Standing.LOST
        status, started = str(rows[0]["status"]), _moment(rows[0]["started_at"])
        same = not claim.token or (started is not None and started == _moment(claim.token))
        if status == "cancelled":
            return status, Standing.CANCELLED
        return status if same else "", Standing.HELD if same and status == "processing" else Standing.LOST

    def _complete(
        self, claim: Claim, track: Mapping[str, Any], result: dict[str, Any] | None, error: str | None
    ) -> Standing:
        """Touch the row on the condition that it is ours, then end it.

        With psycopg the touch locks the row until the transaction ends. Over HTTP it makes the row fresh, so
        that nobody has reason to take it in the moment before `complete_job`. It takes the notes out too: an
        order that has failed and is put back by hand starts anew.
        """
        ended = "completed" if error is None else "failed"
        with self._transport.atomically():
            if not self._transport.update(TABLE, {"result": None}, where=self._own(claim)):
                status, standing = self._look(claim)
                # ended with our started_at: an earlier answer was lost
                return Standing.HELD if status == ended else standing
            if track and claim.track_id is not None:
                self._write_track(claim.track_id, track)
            self._call_complete(claim.job_id, result, error)
        return Standing.HELD

    def _call_complete(self, job_id: str, result: dict[str, Any] | None, error: str | None) -> None:
        names = self._dialect.complete
        self._transport.scalar("complete_job", dict(zip(names, (job_id, result, error), strict=True)))

    def _write_track(self, track_id: str, track: Mapping[str, Any]) -> None:
        """Only the columns that are there: a missing `preview_url` must not cost a finished order."""
        wanted = {**track, "updated_at": "now"}  # the database's own now: Postgres reads the word as a time
        for name in wanted.keys() - self._track_columns:
            if self._transport.has_column("tracks", name):
                self._track_columns.add(name)
        values = {name: value for name, value in wanted.items() if name in self._track_columns}
        if values:
            self._transport.update("tracks", values, where={"id": track_id})

    def _put_back(self, claim: Claim, delay_s: float, attempt: int, crashes: int, code: str) -> Standing:
        notes = {"worker": {"attempt": attempt, "crashes": crashes, "code": code}}
        if delay_s <= 0:
            return self._to_pending(claim, {"result": notes})
        if not self._transport.update(
            TABLE, {"result": notes, "progress": 0, "stage": _WAITING}, where=self._own(claim)
        ):
            return self.standing(claim)
        with self._lock:
            now = self._clock()
            self._parked.append(_Parked(claim, due=now + delay_s, touched=now))
        return Standing.HELD

    def _to_pending(self, claim: Claim, more: Mapping[str, Any] | None = None) -> Standing:
        back = {"status": "pending", "started_at": None, "progress": 0, "stage": None, **(more or {})}
        if self._transport.update(TABLE, back, where=self._own(claim)):
            return Standing.HELD
        return self.standing(claim)

    def _tend(self) -> None:
        """Put back the parked orders that are due; touch the others."""
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


def _notes(row: Row) -> dict[str, Any]:
    result = row.get("result")
    notes = result.get("worker") if isinstance(result, dict) else None
    return notes if isinstance(notes, dict) else {}


def _moment(value: object) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
