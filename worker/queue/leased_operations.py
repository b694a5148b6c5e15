"""Operators' commands in leased mode: each is a function in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from worker.queue.claims import Attempt, AttemptReport, Handled, QueueState
from worker.queue.operations import Operations
from worker.queue.transport import Transport, moment
from worker.queue.words import PRIORITIES

_AT_ONCE = 200  # jobs in a transaction


class LeasedOperations(Operations):
    """See `Operations`."""

    _transport: Transport

    def attempts(self, job_id: str) -> list[Attempt]:
        return [_attempt(row) for row in self._transport.scalar("worker_attempts_of", {"p_job_id": job_id})]

    def cancel(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        return self._operate("cancel", ids)

    def retry(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        return self._operate("retry", ids)

    def purge(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        return self._operate("purge", ids)

    def purge_older(self, than: timedelta, *, at_most: int | None = None) -> int:
        purged = 0
        while at_most is None or purged < at_most:
            limit = _AT_ONCE if at_most is None else min(_AT_ONCE, at_most - purged)
            arguments = {"p_older_s": than.total_seconds(), "p_limit": limit}
            found = int(self._transport.scalar("worker_purge_older", arguments))
            purged += found
            if not found:  # or the app's triggers refuse them all
                break
        return purged

    def set_priority(self, ids: Sequence[str], priority: int) -> Mapping[str, Handled]:
        if priority not in PRIORITIES:
            raise ValueError(f"a priority of {priority}: allowed is {PRIORITIES[0]} to {PRIORITIES[-1]}")
        return self._operate("priority", ids, priority)

    def pause_queue(self, reason: str, *, by: str) -> None:
        self._transport.scalar("worker_pause", {"p_reason": reason, "p_by": by})

    def resume_queue(self) -> bool:
        return bool(self._transport.scalar("worker_pause", {"p_reason": None, "p_by": None}))

    def queue_state(self) -> QueueState:
        row = self._transport.scalar("worker_state", {})
        times = {name: moment(row[name]) for name in ("paused_at", "oldest_waiting_at")}
        return QueueState(paused_by=row["paused_by"], reason=row["reason"], counts=row["counts"], **times)

    def _operate(self, action: str, ids: Sequence[str], value: int | None = None) -> dict[str, Handled]:
        handled: dict[str, Handled] = {}
        for at in range(0, len(ids), _AT_ONCE):
            arguments = {"p_action": action, "p_ids": list(ids[at : at + _AT_ONCE]), "p_value": value}
            handled |= {
                job_id: Handled(**each) for job_id, each in self._transport.scalar("worker_operate", arguments).items()
            }
        return handled


def _attempt(row: Mapping[str, Any]) -> Attempt:
    report = row["report"]
    parts = {name: report.get(name) or {} for name in ("stages", "versions", "figures")}
    return Attempt(
        number=row["number"],
        worker=row["worker"],
        started_at=moment(row["started_at"]),
        ended_at=moment(row["ended_at"]),  # type: ignore[arg-type]
        outcome=row["outcome"],
        code=row["code"],
        report=AttemptReport(error=row["error"], **parts),
    )
