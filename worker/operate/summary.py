"""The whole queue, as the page shows it; what costs more to read is read seldom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from worker.operate.changes import Choice, command
from worker.operate.view import as_document, as_object, bounded, cause_as_object, view
from worker.queue.claims import JobRow
from worker.queue.service import Queue
from worker.queue.words import GROUPS
from worker.service.state import State

LISTED: Final = 25  # jobs of each group
_FAILURES: Final = 500  # that are grouped by their cause
_ROWS_OF_WORKERS: Final = 200
_LEAST_PROGRESS: Final = 5  # percent, before which the time left would be a guess
_SELDOM_S: Final = 30.0
_READING: Final = 0.02  # most of the time that is spent on what is read seldom
_PLAIN: Final = (
    "Plain mode: the database does not say which worker has a job, how an attempt ended, or what other workers' parked "
    "jobs wait for; it has no pause and no priority. `mindscript-worker migrate` brings all of these."
)
Value = TypeVar("Value")


@dataclass(frozen=True)
class FailureGroup:
    """Failed jobs of one error code, or of one message where the database keeps no codes; `newest` is the last one."""

    code: str | None
    jobs: int
    newest: JobRow


class Summary:
    """Reads the queue for the page.

    Parameters
    ----------
    state : State
        Of the worker that this process is.
    """

    def __init__(self, queue: Queue, state: State, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._state = state
        self._completed = _Seldom(self._read_completed, clock)
        self._failures = _Seldom(lambda: group_failures(queue.failures(limit=_FAILURES)), clock)
        self._workers = _Seldom(lambda: queue.signs_of_life(limit=_ROWS_OF_WORKERS), clock)

    def read(self) -> dict[str, Any]:
        """The queue now, for JSON.

        Raises
        ------
        WorkerError
            If the database does not answer.
        """
        queue, state = self._queue, self._state
        seen = view(queue, GROUPS, LISTED)
        failed = seen.counts["failed"]
        return {
            **as_document(seen),
            "now": seen.now,
            "jobs": {
                group: [{**as_object(job), "left_s": left_s(job.row, seen.now)} for job in jobs]
                for group, jobs in seen.jobs.items()
            },
            "causes": [cause_as_object(cause) for cause in queue.causes()],
            "own_causes": [cause_as_object(cause) for cause in state.own.causes],
            "failures": {
                "groups": [_group_as_object(each) for each in self._failures.read(of=failed)],
                "at_most": _FAILURES,
            },
            "completed": self._completed.read(of=None),
            "workers": self._workers_as_objects(running=seen.counts["running"]),
            "mode": queue.mode,
            "transport": queue.transport,
            "unknown": _PLAIN if queue.mode == "plain" else None,
        }

    def _read_completed(self) -> dict[str, int]:
        return {name: self._queue.completed_within(time) for name, time in _PERIODS.items()}

    def _workers_as_objects(self, *, running: int) -> list[dict[str, Any]]:
        """Those that the rows name, and this one, which is seen to live."""
        state = self._state
        here = {"worker": state.name, "seen_at": None, "running": len(state.running), "here": True}
        others = [
            {"worker": bounded(each.worker), "seen_at": each.seen_at, "running": each.running, "here": False}
            for each in self._workers.read(of=running) or ()
            if each.worker != state.name
        ]
        return [here, *others]


_PERIODS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


class _Seldom(Generic[Value]):
    """A value that is read anew when what it is of has changed, or some time after it was read, but seldom enough."""

    def __init__(self, read: Callable[[], Value], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._known: tuple[Value, object] | None = None
        self._not_before = 0.0  # not at all
        self._until = 0.0  # good as long as nothing has changed

    def read(self, *, of: object) -> Value:
        began = self._clock()
        if self._known is not None:
            value, was_of = self._known
            if began < self._not_before or (was_of == of and began < self._until):
                return value
        value = self._read()
        self._known = value, of
        now = self._clock()
        self._not_before = now + (now - began) / _READING
        self._until = max(self._not_before, now + _SELDOM_S)
        return value


def group_failures(rows: Iterable[JobRow]) -> list[FailureGroup]:
    """Failed jobs, newest first, by what they failed of; the largest group first."""
    groups: dict[tuple[str | None, str | None], list[JobRow]] = {}
    for row in rows:
        groups.setdefault((row.error_code, None if row.error_code else bounded(row.error)), []).append(row)
    found = [FailureGroup(code, len(jobs), jobs[0]) for (code, _), jobs in groups.items()]
    return sorted(found, key=lambda group: -group.jobs)


def left_s(row: JobRow, now: datetime) -> float | None:
    """About how long a running job still takes, if it goes on as it went; None where the row does not tell."""
    if row.status != "processing" or row.started_at is None or not _LEAST_PROGRESS <= row.progress <= 100:
        return None
    gone_s = (now - row.started_at).total_seconds()
    return None if gone_s < 0 else round(gone_s * (100 - row.progress) / row.progress, 1)


def _group_as_object(group: FailureGroup) -> dict[str, Any]:
    choice = None if group.code is None else Choice(code=group.code)
    return {
        "code": group.code,
        "jobs": group.jobs,
        "newest": group.newest.job_id,
        "newest_at": group.newest.completed_at,
        "error": bounded(group.newest.error),
        "command": None if choice is None else command("retry", choice),
    }
