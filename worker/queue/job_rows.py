"""Reading the table: lists of jobs, counts, and a customer's jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from worker.errors import ConfigurationError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Backlog, Cause, CustomerJob, JobRow
from worker.queue.transport import TABLE, AsText, Differs, Row, StatementRefusedError, Transport, moment, text_of

_NO_SUCH_WORD = "22P02"  # the column is an enum that lacks the status
_OLDEST = 200  # of them some may not be due yet, since they are tried again later
_STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
_TIMES = ("created_at", "started_at", "completed_at")
_COLUMNS = ("id", "status", "progress", "stage", "error", "track_id", "user_id", *_TIMES)
_LEASE_TIMES = ("run_after", "purged_at")
_LEASE_VALUES = ("error_code", "attempt", "claimed_by", "parked_cause", "priority", "length_s")


class JobRows:
    """The reading part of `Queue`."""

    mode: ClassVar[Literal["leased", "plain"]]
    _transport: Transport

    def job(self, job_id: str) -> JobRow | None:
        """One job; None when there is none of that id."""
        return next(iter(self._job_rows({"id": job_id}, 1)), None)

    def titles(self, track_ids: Sequence[str]) -> dict[str, str]:
        """Titles of tracks, by id; none where this role may not read `tracks`."""
        if not track_ids:
            return {}
        try:
            rows = self._transport.select("tracks", ["id", "title"], where={"id": tuple(track_ids)})
        except ConfigurationError:
            return {}
        return {str(row["id"]): str(row["title"]) for row in rows if row["title"]}

    def depth(self) -> dict[str, int]:
        """Count the jobs of each status. A job that plain mode keeps here counts as pending.

        In leased mode more than 20,000 ended ones of a status are an estimate.
        """
        return {status: self._count(status) for status in _STATUSES}

    def backlog(self, causes: Sequence[Cause]) -> Backlog:
        """Count the jobs that have not ended, of which those of `causes` are parked; ended ones may be millions."""
        parked = sum(cause.jobs for cause in causes)
        pending, processing = self._count("pending"), self._count("processing")
        if self.mode == "plain":  # what waits here has the status processing
            return Backlog(pending, max(0, processing - parked), parked, self._oldest_due_s())
        return Backlog(max(0, pending - parked), processing, parked, self._oldest_due_s())

    def _oldest_due_s(self) -> float:
        """Of the oldest jobs, how long the first one has been due; 0 where none is."""
        where: dict[str, Any] = {"status": "pending"}
        columns = ["created_at"]
        if self.mode == "leased":
            where["parked_cause"] = None
            columns.append("run_after")
        rows = self._transport.select(TABLE, columns, where=where, oldest_first=True, limit=_OLDEST)
        if not rows:
            return 0.0
        now = self._transport.now()
        due = [max(filter(None, (moment(row[name]) for name in columns)), default=now) for row in rows]
        return max((now - each).total_seconds() for each in (*due, now))

    def _count(self, status: str) -> int:
        try:
            return self._transport.count(TABLE, where={"status": status})
        except StatementRefusedError as error:
            if error.sqlstate == _NO_SUCH_WORD:
                return 0
            raise

    def _job_rows(self, where: Mapping[str, Any], limit: int, *, oldest_first: bool = False) -> list[JobRow]:
        columns = _COLUMNS if self.mode == "plain" else (*_COLUMNS, *_LEASE_VALUES, *_LEASE_TIMES)
        try:
            rows = self._transport.select(
                TABLE, columns, where=where, newest_first=not oldest_first, oldest_first=oldest_first, limit=limit
            )
        except StatementRefusedError as error:
            if error.sqlstate == _NO_SUCH_WORD:
                return []
            raise
        return [_job_row(row) for row in rows]

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table of the contract has a column."""
        return self._transport.has_column(table, column)

    def payload_of(self, job_id: str) -> tuple[str | None, int | None]:
        """A job's payload as text; its size in bytes where that is over the limit."""
        return next((found for name in self.payload_columns if any(found := self._json(name, job_id))), (None, None))

    def result_of(self, job_id: str) -> str | None:
        """A job's result as text; None where there is none, or one over the limit."""
        return self._json("result", job_id)[0]

    def _json(self, column: str, job_id: str) -> tuple[str | None, int | None]:
        text, size = self._transport.json_text(TABLE, column, row_id=job_id, limit_bytes=PAYLOAD_LIMIT_BYTES)
        return (None if text == "null" else text), size

    @cached_property
    def payload_columns(self) -> list[str]:
        """The columns with a payload: older databases have job_data, some have both."""
        return [name for name in ("payload", "job_data") if self.has_column(TABLE, name)]

    def customer_jobs(self, user_id: str, *, limit: int = 200) -> list[CustomerJob]:
        unpurged = {"purged_at": None} if self.mode == "leased" else {self.payload_columns[0]: Differs({})}
        names: list[str | AsText] = ["id", "status", "track_id"]
        rows = self._transport.select(TABLE, names, where={"user_id": user_id, **unpurged}, limit=limit)
        return [self._customer_job(row) for row in rows]

    def _customer_job(self, row: Row) -> CustomerJob:
        job_id = str(row["id"])
        track: Row = {}
        if row["track_id"] is not None:
            wanted = [name for name in ("audio_url", "preview_url") if self.has_column("tracks", name)]
            track = next(iter(self._transport.select("tracks", wanted, where={"id": row["track_id"]}, limit=1)), {})
        return CustomerJob(
            job_id=job_id,
            status=str(row["status"]),
            track_id=text_of(row["track_id"]),
            payload_text=self.payload_of(job_id)[0],
            result_text=self.result_of(job_id),
            audio_url=track.get("audio_url"),
            preview_url=track.get("preview_url"),
        )


def _job_row(row: Row) -> JobRow:
    values: dict[str, Any] = {name: moment(row.get(name)) for name in (*_TIMES, *_LEASE_TIMES)}
    values |= {name: row.get(name) for name in _LEASE_VALUES}
    return JobRow(
        job_id=str(row["id"]),
        status=str(row["status"]),
        progress=int(row["progress"] or 0),
        stage=row["stage"],
        error=row["error"],
        track_id=text_of(row["track_id"]),
        user_id=text_of(row["user_id"]),
        **values,
    )
