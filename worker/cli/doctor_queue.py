"""What `mindscript-worker doctor` finds about the queue: whether it can be reached, which jobs wait, and for what."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from worker.cli.database import with_database
from worker.cli.doctor_database import examine_database
from worker.cli.doctor_finding import Finding, named_settings
from worker.cli.program import program
from worker.cli.terminal import at, since
from worker.config import Config
from worker.errors import TransientError, WorkerError
from worker.operate.view import view
from worker.queue.address import read
from worker.queue.claims import Cause
from worker.queue.listener import TIMINGS, ListenerTimings, why_polling
from worker.queue.service import Queue, open_queue
from worker.queue.transport import POSTGRES_LIMITS

_LIMITS = replace(POSTGRES_LIMITS, connect_s=5)
_MOST_SKEW_S = 5.0
_LONG_WAIT_S = 600.0  # a job that is due and has waited for longer: is there a worker?
_NEEDED_COLUMNS = ("id", "track_id", "user_id", "status", "progress", "stage", "result", "error", "started_at")
_TRACK_COLUMNS = ("audio_url", "preview_url", "duration_seconds", "status")


def examine_queue(config: Config) -> Iterator[Finding]:
    """Open the queue as the worker does, and look at it; nothing is changed."""
    try:
        with (
            with_database(config) as config,
            closing(open_queue(config, worker_name="mindscript-doctor", limits=_LIMITS)) as queue,
        ):
            yield Finding("queue", True, queue.description)
            yield from _each("columns", lambda: [_columns(queue)])
            yield from _each("waking", lambda: [waking(config, queue)])
            yield from _each("clock", lambda: [_clock(queue)])
            yield from _each("jobs", lambda: list(_jobs(queue)))
            yield from _each("parked", lambda: list(_parked(queue)))
            yield from examine_database(config, queue)
    except TransientError as error:
        setting = "SUPABASE_URL" if config.database_url is None else "DATABASE_URL"
        says = (
            f"{error.message}; look at {setting}, whether this machine may reach it, and whether the project is paused"
        )
        yield Finding("queue", False, says)
    except WorkerError as error:
        yield Finding("queue", False, error.message)


def _each(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except WorkerError as error:
        return [Finding(what, False, error.message)]


def _columns(queue: Queue) -> Finding:
    missing = [name for name in _NEEDED_COLUMNS if not queue.has_column("audio_job_queue", name)]
    if missing:
        says = f"audio_job_queue lacks {', '.join(missing)}; run `{program()} migrate`"
        return Finding("columns", False, says)
    lacking = [name for name in _TRACK_COLUMNS if not queue.has_column("tracks", name)]
    if lacking:
        return Finding("columns", None, f"tracks lacks {', '.join(lacking)}: left out when a track is finished")
    return Finding("columns", True, "all there")


def waking(config: Config, queue: Queue, timings: ListenerTimings = TIMINGS) -> Finding:
    """Find out whether the worker would be woken by NOTIFY."""
    if queue.mode == "plain":
        return Finding("waking", None, f"by polling; `{program()} migrate` adds leases and NOTIFY")
    if config.database_url is None:
        return Finding("waking", None, "by polling; set DATABASE_URL (port 5432) to be woken at once")
    dsn = config.database_url.get_secret_value()
    kind = read(dsn).kind
    if (reason := why_polling(dsn, application="mindscript-doctor", timings=timings)) is not None:
        return Finding("waking", None, reason)
    return Finding("waking", True, f"by NOTIFY, and by polling{'' if kind == 'other' else f' ({kind})'}")


def _clock(queue: Queue) -> Finding:
    """The worker needs no common clock; a large difference still confuses people who read logs."""
    skew_s = queue.now().timestamp() - time.time()
    good = True if abs(skew_s) <= _MOST_SKEW_S else None
    return Finding("clock", good, f"{skew_s:+.1f} s between the database's clock and this one's")


def _jobs(queue: Queue) -> Iterator[Finding]:
    """How many jobs wait, for how long, and whether any is handed out."""
    seen = view(queue, (), 0)
    waiting, running = seen.counts["waiting"], seen.counts["running"]
    if seen.state.paused_at is not None:
        by = f" by {seen.state.paused_by}" if seen.state.paused_by else ""
        why = f" ({seen.state.reason})" if seen.state.reason else ""
        says = f"since {at(seen.state.paused_at)}{by}{why}: no job is claimed until `{program()} queue resume`"
        yield Finding("paused", None, says)
    oldest = seen.state.oldest_waiting_at
    if oldest is None:
        yield Finding("jobs", True, f"{running} running, {waiting} waiting, none of them due")
        return
    says = f"{running} running, {waiting} waiting, the oldest that is due for {since(oldest, seen.now)}"
    waits_long = (seen.now - oldest).total_seconds() > _LONG_WAIT_S
    if waits_long and not running and seen.state.paused_at is None:
        says += f": no worker takes them; start one (`{program()} work`), or look at the log of the one that runs"
        yield Finding("jobs", None, says)
    else:
        yield Finding("jobs", None if waits_long else True, says)


def _parked(queue: Queue) -> Iterator[Finding]:
    """What jobs wait for; in plain mode only the workers know."""
    if queue.mode == "plain":
        yield Finding("parked", None, "in plain mode only the workers know what jobs wait for: ask each for /ready")
        return
    causes = queue.causes()
    if not causes:
        yield Finding("parked", True, "no job waits for something that must be fixed")
    for cause in causes:
        yield Finding("parked", None, _waits_for(cause))


def _waits_for(cause: Cause) -> str:
    since_when = f"{cause.since:%Y-%m-%d %H:%M} UTC"
    says = f"jobs that wait since {since_when} for {cause.name}: {cause.jobs}; {cause.message}"
    if named := named_settings(cause.message):
        says += f"; look at {' and '.join(named)} on every worker: the jobs go on by themselves once it is right"
    return says
