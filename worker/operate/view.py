"""The queue at one moment, as the command line and the page show it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.json_times import as_json
from worker.masks import masked_value
from worker.queue.claims import Cause, QueueState
from worker.queue.listing import ListedJob
from worker.queue.service import Queue
from worker.queue.words import Group

_LONGEST_WORDS = 2000


@dataclass(frozen=True)
class View:
    """The queue at one moment."""

    now: datetime
    state: QueueState
    counts: Mapping[Group, int]
    jobs: Mapping[Group, Sequence[ListedJob]]


def view(queue: Queue, groups: Sequence[Group], limit: int) -> View:
    """Read counts and jobs."""
    state = queue.queue_state()
    parked = sum(cause.jobs for cause in queue.causes())
    counts: dict[Group, int] = {
        "running": state.counts["processing"],
        "failed": state.counts["failed"],
        "waiting": max(0, state.counts["pending"] - parked),
        "parked": parked,
        "done": state.counts["completed"],
        "cancelled": state.counts["cancelled"],
    }
    # a count is of a moment before: a group is not left out for it
    return View(queue.now(), state, counts, {group: queue.listed(group, limit=limit) for group in groups})


def as_object(job: ListedJob) -> dict[str, Any]:
    """A job for JSON; the keys are an interface."""
    row = job.row
    return {
        "id": row.job_id,
        "status": job.group,
        "title": bounded(job.title),
        "track_id": row.track_id,
        "user_id": row.user_id,
        "length_s": job.length_s,
        "characters": job.characters,
        "cents": job.cents,
        "path": bounded(job.path),
        "progress": row.progress,
        "stage": bounded(row.stage),
        "worker": row.claimed_by,
        "attempt": row.attempt,
        "priority": row.priority,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "run_after": row.run_after,
        "parked_cause": row.parked_cause,
        "error_code": row.error_code,
        "error": bounded(row.error),
        "purged_at": row.purged_at,
    }


def bounded(text: str | None) -> str | None:
    """A customer's words, as long as any sensible ones."""
    return None if text is None else text[:_LONGEST_WORDS]


def as_document(seen: View) -> dict[str, Any]:
    """The view for JSON; the keys are an interface."""
    return {
        "counts": dict(seen.counts),
        "paused": paused_as_object(seen.state),
        "oldest_waiting_at": seen.state.oldest_waiting_at,
        "jobs": [as_object(job) for jobs in seen.jobs.values() for job in jobs],
    }


def paused_as_object(state: QueueState) -> dict[str, Any] | None:
    """Since when the queue is paused, for JSON; None: it is not."""
    if state.paused_at is None:
        return None
    return {"since": state.paused_at, "by": state.paused_by, "reason": state.reason}


def cause_as_object(cause: Cause) -> dict[str, Any]:
    """What parked jobs wait for, for JSON."""
    return {"cause": cause.name, "message": cause.message, "since": cause.since, "jobs": cause.jobs}


def json_text(document: Mapping[str, Any], *, as_it_is: Mapping[str, Any] | None = None) -> str:
    """A document as it may leave this process: in ASCII, its times in ISO 8601 and UTC, the secrets in it masked.

    What stands in `as_it_is` is not masked.
    """
    masked = masked_value(json.loads(json.dumps(document, default=as_json)))
    return json.dumps({**masked, **(as_it_is or {})})
