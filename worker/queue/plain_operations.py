"""Operators' commands in plain mode: statements on the table, as the app itself writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from worker.queue.claims import Attempt, Handled, QueueState
from worker.queue.job_rows import JobRows
from worker.queue.operations import ENDED, NeedsMigrationError, Operations
from worker.queue.transport import TABLE, Differs, StatementRefusedError, moment

_PAGE = 200
_WAITING = ("pending", "processing")
_AGAIN: Mapping[str, Any] = {
    "status": "pending",
    "progress": 0,
    "stage": None,
    "result": None,
    "error": None,
    "started_at": None,
    "completed_at": None,
}


class PlainOperations(JobRows, Operations):
    """See `Operations`. A write names the statuses that it may end, so one that comes too late changes nothing."""

    def attempts(self, job_id: str) -> list[Attempt]:
        raise NeedsMigrationError("a list of a job's attempts")

    def cancel(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        return self._operate(ids, {"status": "cancelled"}, _WAITING)

    def retry(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        return self._operate(ids, _AGAIN, ("failed", "cancelled"))

    def purge(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        return self._operate(ids, {column: {} for column in self.payload_columns}, ENDED)

    def purge_older(self, than: timedelta, *, at_most: int | None = None) -> int:
        before = ("updated_at", (self._transport.now() - than).isoformat())
        purged = 0
        for column in self.payload_columns:
            while at_most is None or purged < at_most:
                limit = _PAGE if at_most is None else min(_PAGE, at_most - purged)
                where = {"status": ENDED, column: Differs({})}
                rows = self._transport.select(TABLE, ["id"], where=where, before=before, limit=limit)
                done = sum(each.done for each in self.purge([str(row["id"]) for row in rows]).values())
                purged += done
                if not done:
                    break
        return purged

    def set_priority(self, ids: Sequence[str], priority: int) -> Mapping[str, Handled]:
        raise NeedsMigrationError("a priority")

    def pause_queue(self, reason: str, *, by: str) -> None:
        raise NeedsMigrationError("a pause of the queue")

    def resume_queue(self) -> bool:
        raise NeedsMigrationError("a pause of the queue")

    def queue_state(self) -> QueueState:
        where = {"status": "pending"}
        rows = self._transport.select(TABLE, ["created_at"], where=where, oldest_first=True, limit=1)
        return QueueState(None, None, None, self.depth(), moment(rows[0]["created_at"]) if rows else None)

    def _operate(self, ids: Sequence[str], values: Mapping[str, Any], statuses: tuple[str, ...]) -> dict[str, Handled]:
        handled: dict[str, Handled] = {}
        for job_id in dict.fromkeys(ids):
            status: str | None = None
            refused = None
            done = 0
            rows = self._transport.select(TABLE, ["status"], where={"id": job_id}, limit=1)
            if rows and (status := str(rows[0]["status"])) in statuses:
                try:
                    done = self._transport.update(TABLE, values, where={"id": job_id, "status": status})
                except StatementRefusedError as error:
                    refused = error.sqlstate
                else:
                    if not done:  # it has changed meanwhile
                        rows = self._transport.select(TABLE, ["status"], where={"id": job_id}, limit=1)
                        status = str(rows[0]["status"]) if rows else None
            handled[job_id] = Handled(bool(done), status, refused)
        return handled
