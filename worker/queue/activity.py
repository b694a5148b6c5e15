"""What the rows tell of the work that is done: jobs that were completed lately, and the workers' signs of life."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.queue.job_rows import JobRows
from worker.queue.transport import TABLE, moment


@dataclass(frozen=True)
class SignOfLife:
    """The last thing that a worker wrote to a row, as far as that was looked at; `running` are jobs that it holds."""

    worker: str
    seen_at: datetime
    running: int


class Activity(JobRows):
    """The part of `Queue` that looks at what was done."""

    def completed_within(self, time: timedelta) -> int:
        """How many jobs were completed so lately. It may read every completed row."""
        since = ("completed_at", (self._transport.now() - time).isoformat())
        return self._transport.count(TABLE, where={"status": "completed"}, since=since)

    def signs_of_life(self, *, limit: int) -> list[SignOfLife] | None:
        """The workers that hold a job, or have ended one of the newest `limit`; None in plain mode, which names none.

        A worker writes to the row that it holds with each heartbeat. One that has no job writes nothing.
        """
        if self.mode == "plain":
            return None
        names = ["claimed_by", "completed_at", "updated_at"]
        held = self._transport.select(TABLE, names, where={"status": "processing"}, limit=limit)
        where = {"status": ("completed", "failed")}
        ended = self._transport.select(TABLE, names, where=where, newest_first=True, limit=limit)
        signs: dict[str, SignOfLife] = {}
        for worker, seen_at, running in (*_seen(held, "updated_at", 1), *_seen(ended, "completed_at", 0)):
            known = signs.get(worker, SignOfLife(worker, seen_at, 0))
            signs[worker] = SignOfLife(worker, max(known.seen_at, seen_at), known.running + running)
        return sorted(signs.values(), key=lambda sign: sign.seen_at, reverse=True)


def _seen(rows: Iterable[dict[str, Any]], column: str, running: int) -> Iterable[tuple[str, datetime, int]]:
    for row in rows:
        seen_at = moment(row[column])
        if row["claimed_by"] and seen_at is not None:
            yield str(row["claimed_by"]), seen_at, running
