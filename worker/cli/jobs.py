"""`mindscript-worker enqueue`, `jobs` and `migrate`: the queue by hand."""

from __future__ import annotations

import json
import time
from contextlib import closing

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worker.cli.database import with_database
from worker.cli.doctor_database import exposure_lines
from worker.cli.files import read_job
from worker.config import Config
from worker.errors import ConfigurationError
from worker.payload.parse import parse_job
from worker.queue.service import JobRow, Queue, open_queue

_REFRESH_S = 1.0
_LONGEST_TITLE = 30
_COLOURS = {"completed": "green", "failed": "red", "processing": "cyan", "cancelled": "yellow", "parked": "magenta"}


def enqueue(config: Config, *, job: str) -> int:
    """Check a job file and put it into the queue; prints the row's id."""
    text = read_job(job)
    parse_job(text, max_script_characters=config.max_script_characters, max_duration_min=config.max_duration_min)
    payload = json.loads(text)
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-enqueue")) as queue:
        print(queue.enqueue(payload))
    return 0


def jobs(config: Config, *, watch: bool) -> int:
    """Show the newest jobs, once or continually until Ctrl-C."""
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        if not watch:
            Console().print(_table(queue))
            return 0
        with Live(_table(queue), auto_refresh=False) as live:
            while True:
                time.sleep(_REFRESH_S)
                live.update(_table(queue), refresh=True)


def migrate(config: Config, *, only_print: bool, release: bool) -> int:
    """Bring the database up to date, or print the SQL that would."""
    from worker.queue.migrate import migrate as run_scripts
    from worker.queue.migrate import migration_sql

    if only_print:
        print(migration_sql())
        return 0
    if release and config.database_url is None:
        # A release phase must not fail for a set-up that is meant: plain mode, or a schema pasted by hand.
        print(
            "DATABASE_URL is not set: the database is left as it is (mindscript-worker migrate --print shows the SQL)"
        )
        return 0
    if config.database_url is None and config.supabase_url is not None:
        raise ConfigurationError(
            "DATABASE_URL is not set, and through SUPABASE_URL no schema can be changed: "
            "set it, or paste what `mindscript-worker migrate --print` prints into Supabase's SQL editor",
            code="configuration.variable",
        )
    with with_database(config) as config:
        if config.database_url is not None:
            dsn = config.database_url.get_secret_value()
            for name in run_scripts(dsn):
                print(f"ran {name}")
            exposed = exposure_lines(dsn)
            if exposed:
                print("anybody with the anon key may call these functions of the app's; to end that, run:")
                print("\n".join(exposed))
    return 0


def _table(queue: Queue) -> Table:
    depth = queue.depth()
    parked = sum(cause.jobs for cause in queue.causes())
    counts = {"parked": parked, **depth, "pending": max(0, depth["pending"] - parked)}
    title = "  ".join(f"{count} {status}" for status, count in counts.items() if count) or "no jobs"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("job", "title", "status", "%", "stage", "try", "worker", "age", "error"):
        table.add_column(heading)
    rows = queue.jobs(limit=30)
    titles = queue.titles([row.track_id for row in rows if row.track_id is not None])
    for row in rows:
        table.add_row(*_cells(row, titles.get(row.track_id or "", "")))
    return table


def _cells(row: JobRow, title: str) -> tuple[str | Text, ...]:
    """One line; what customers wrote is text, never markup."""
    is_parked = row.parked_cause is not None and row.status == "pending"
    status = "parked" if is_parked else row.status
    colour = _COLOURS.get(status, "default")
    age_s = time.time() - row.created_at.timestamp() if row.created_at is not None else 0.0
    return (
        row.job_id[:8],
        Text(title[:_LONGEST_TITLE]),
        f"[{colour}]{status}[/]",
        str(row.progress),
        Text(row.stage or ""),
        "" if row.attempt is None else str(row.attempt),
        Text(row.claimed_by or ""),
        _age(age_s),
        Text((row.parked_cause if is_parked else row.error or row.error_code) or ""),
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
