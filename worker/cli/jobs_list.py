"""`mindscript-worker jobs`: what runs, what has failed, what waits, what is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime

from rich.console import Group as Blocks
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worker.cli.database import with_database
from worker.cli.terminal import console, duration, length, print_json, since, words
from worker.config import Config
from worker.operate.view import View, as_document, view
from worker.queue.claims import QueueState
from worker.queue.listing import ListedJob
from worker.queue.service import open_queue
from worker.queue.words import GROUPS, Group
from worker.storage.choose import chosen_storage

REFRESH_S = 1.0
_LIMIT = 10  # jobs of each group
LONGEST_TITLE = 30
_LONGEST_ERROR = 120
_SHORT_ID = 8
_COLOURS: Mapping[Group, str] = {
    "running": "cyan",
    "failed": "red",
    "waiting": "default",
    "parked": "magenta",
    "done": "green",
    "cancelled": "yellow",
}


def jobs(
    config: Config, *, status: Group | None = None, limit: int = _LIMIT, as_json: bool = False, watch: bool = False
) -> int:
    """List jobs by group, once or continually until Ctrl-C; at most `limit` of each."""
    groups = GROUPS if status is None else (status,)
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        if as_json:
            print_json(as_document(view(queue, groups, limit)), one_line=watch)
            while watch:
                time.sleep(REFRESH_S)
                print_json(as_document(view(queue, groups, limit)), one_line=True)
        elif watch:
            with Live(_blocks(view(queue, groups, limit), config), console=console(), auto_refresh=False) as live:
                while True:
                    time.sleep(REFRESH_S)
                    live.update(_blocks(view(queue, groups, limit), config), refresh=True)
        else:
            console().print(_blocks(view(queue, groups, limit), config))
    return 0


def _blocks(seen: View, config: Config) -> Blocks:
    blocks: list[Text | Table] = [count_line(seen)]
    if seen.state.paused_at is not None:
        blocks.append(paused_line(seen.state, seen.now))
    for group, listed in seen.jobs.items():
        if listed:
            blocks += [Text(), _table(group, listed, seen, config)]
    return Blocks(*blocks)


def count_line(seen: View) -> Text:
    """How many jobs there are in each group."""
    return Text("  ".join(f"{count} {group}" for group, count in seen.counts.items() if count) or "no jobs")


def paused_line(state: QueueState, now: datetime) -> Text:
    """Say that no job is claimed, since when and why."""
    by = words(state.paused_by, longest=LONGEST_TITLE)
    reason = words(state.reason, longest=_LONGEST_ERROR)
    return Text.assemble(("paused", "bold red"), f" for {since(state.paused_at, now)} by ", by, ": ", reason)


def file_of(job: ListedJob, config: Config) -> str | None:
    """Where the track is: its path on this machine, or its bucket and key."""
    is_local = chosen_storage(config) == "local"
    return f"{config.storage_dir}/{job.path}" if is_local and job.path else job.path


_Cell = Callable[[ListedJob, datetime], "str | Text"]
_JOB: Mapping[str, _Cell] = {
    "job": lambda job, _: words(job.row.job_id[:_SHORT_ID]),
    "title": lambda job, _: words(job.title, longest=LONGEST_TITLE),
    "length": lambda job, _: length(job.length_s),
}
_ATTEMPT: Mapping[str, _Cell] = {"try": lambda job, _: words(job.row.attempt)}
_COLUMNS: Mapping[Group, Mapping[str, _Cell]] = {
    "running": {
        **_JOB,
        "%": lambda job, _: str(job.row.progress),
        "stage": lambda job, _: words(job.row.stage, longest=LONGEST_TITLE),
        **_ATTEMPT,
        "worker": lambda job, _: words(job.row.claimed_by, longest=LONGEST_TITLE),
        "for": lambda job, now: since(job.row.started_at, now),
    },
    "failed": {
        **_JOB,
        **_ATTEMPT,
        "ended": lambda job, now: since(job.row.completed_at, now),
        "code": lambda job, _: words(job.row.error_code, longest=LONGEST_TITLE),
        "error": lambda job, _: words(job.row.error, longest=_LONGEST_ERROR),
    },
    "waiting": {
        **_JOB,
        **_ATTEMPT,
        "priority": lambda job, _: words(job.row.priority or None),
        "since": lambda job, now: since(job.row.created_at, now),
        "for": lambda job, now: _wait(job, now),
    },
    "parked": {
        **_JOB,
        "since": lambda job, now: since(job.row.created_at, now),
        "for": lambda job, _: words(job.row.parked_cause, longest=_LONGEST_ERROR),
    },
    "done": {
        **_JOB,
        "characters": lambda job, _: words(job.characters),
        "cost": lambda job, _: "" if job.cents is None else f"{job.cents:.1f} ¢",
        "ended": lambda job, now: since(job.row.completed_at, now),
    },
    "cancelled": {**_JOB, "since": lambda job, now: since(job.row.created_at, now)},
}


def _wait(job: ListedJob, now: datetime) -> Text:
    """What a job waits for that may be claimed: its next attempt, or its turn."""
    row = job.row
    if row.run_after is None or row.run_after <= now:
        return Text("its turn")
    left = duration((row.run_after - now).total_seconds())
    return Text.assemble(f"its next attempt in {left} ", words(row.error_code, longest=LONGEST_TITLE))


def _table(group: Group, listed: Sequence[ListedJob], seen: View, config: Config) -> Table:
    total = max(seen.counts[group], len(listed))
    shown = f"{group}, {len(listed)} of {total}" if total > len(listed) else group
    style = f"bold {_COLOURS[group]}"
    table = Table(title=shown, title_style=style, title_justify="left", box=None, header_style="dim", pad_edge=False)
    columns = _COLUMNS[group]
    for heading in columns:
        table.add_column(
            heading, justify="right" if heading in ("length", "%", "try", "characters", "cost") else "left"
        )
    if group == "done":
        table.add_column("file", overflow="fold")
    for job in listed:
        cells = [cell(job, seen.now) for cell in columns.values()]
        if group == "done":
            cells.append(words(file_of(job, config)))
        table.add_row(*cells)
    return table
