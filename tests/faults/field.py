"""Real workers on a real queue, and triggers that write every end of a job down."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from database import execute
from figures import tell
from psycopg.types.json import Jsonb
from standins.worker_process import WorkerProcess

from worker.embedded.postgres import EmbeddedPostgres
from worker.service.heartbeat import WorkerTimings

# Triggers record every write that ends a job or publishes a track, so a second one is seen. In plain mode one
# transaction ends the row and then completes its result.
_BOOK = """
CREATE TABLE public.book (
    job uuid, what text, worker text,
    at timestamptz DEFAULT clock_timestamp(), transaction xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'tracks' THEN
        INSERT INTO public.book (job, what) VALUES ((NEW.title)::uuid, 'published');
    ELSIF NEW.status IN ('completed', 'failed', 'cancelled') THEN
        INSERT INTO public.book VALUES (NEW.id, 'ended', to_jsonb(NEW) ->> 'claimed_by');
    ELSIF NEW.status <> OLD.status THEN
        INSERT INTO public.book
        VALUES (NEW.id, NEW.status, coalesce(to_jsonb(NEW) ->> 'claimed_by', to_jsonb(OLD) ->> 'claimed_by'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER zz_note AFTER UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER zz_note AFTER UPDATE OF audio_url ON tracks FOR EACH ROW EXECUTE FUNCTION note();
"""

# Leases of a few seconds, for tests that do not depend on their length.
BRISK = WorkerTimings(heartbeat_s=0.6, check_s=0.3, lost_after_s=2.2, rescue_s=0.5, finish_within_s=1.0)
BRISK_LEASE_S = 3.0


@dataclass
class Field:
    """A database and its workers.

    Parameters
    ----------
    dsn : str
    folder : Path
    server : EmbeddedPostgres
    mode : str
        leased or plain.
    """

    dsn: str
    folder: Path
    server: EmbeddedPostgres
    mode: str = "leased"
    workers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(_BOOK)

    def worker(
        self,
        *,
        timings: WorkerTimings | None = None,
        lease_s: float = 60.0,
        dsn: str | None = None,
        drain: bool = False,
        **settings: object,
    ) -> WorkerProcess:
        """Start a worker; production's timings by default."""
        number = len(self.workers)
        environment = {
            "DATABASE_URL": dsn or self.dsn,
            "STORAGE_DIR": str(self.folder / "out"),
            "TMPDIR": str(self.folder),
            "WORKER_NAME": f"w{number}",
            **{name.upper(): str(value) for name, value in settings.items()},
        }
        worker = WorkerProcess(environment, timings or WorkerTimings(), lease_s, drain, self.folder).start()
        self.workers.append(worker)
        return worker

    def brisk(self, **settings: object) -> WorkerProcess:
        """Start a worker with a lease of a few seconds."""
        return self.worker(timings=BRISK, lease_s=BRISK_LEASE_S, **settings)  # type: ignore[arg-type]

    def enqueue(self, count: int = 1, **payload: object) -> list[str]:
        """Insert jobs in one statement, each with a track; return their ids."""
        rows = execute(
            self.dsn,
            "WITH fresh AS (SELECT gen_random_uuid() AS id FROM generate_series(1, %s)),"
            " shelf AS (INSERT INTO tracks (title) SELECT id::text FROM fresh RETURNING id, title)"
            " INSERT INTO audio_job_queue (id, track_id, payload)"
            " SELECT fresh.id, shelf.id, %s FROM fresh JOIN shelf ON shelf.title = fresh.id::text RETURNING id",
            count,
            Jsonb(payload),
        )
        return [str(row["id"]) for row in rows]

    def status(self, job: str) -> str:
        return str(execute(self.dsn, "SELECT status FROM audio_job_queue WHERE id = %s", job)[0]["status"])

    def crashes(self, job: str) -> int:
        """How many crashes its row has been charged with; plain mode notes them in `result` until the job has ended."""
        row = execute(self.dsn, "SELECT to_jsonb(q) AS q FROM audio_job_queue q WHERE id = %s", job)[0]["q"]
        noted = (row["result"] or {}).get("worker", {}).get("crashes", 0)
        return int(row.get("crash_count", noted))

    def stage(self, job: str) -> str | None:
        stage = execute(self.dsn, "SELECT stage FROM audio_job_queue WHERE id = %s", job)[0]["stage"]
        return str(stage) if stage is not None else None

    def left(self) -> int:
        """Count the jobs that have not ended."""
        unfinished = "SELECT count(*) n FROM audio_job_queue WHERE status IN ('pending', 'processing')"
        return int(execute(self.dsn, unfinished)[0]["n"])

    def started(self, *workers: WorkerProcess) -> None:
        """Wait until they have started."""
        for worker in workers:
            worker.wait_for("started")

    def wait_until_all_ended(self, timeout_s: float) -> None:
        eventually(lambda: self.left() == 0, timeout_s)

    def count(self, *, say: str, must: str, **more: object) -> dict[str, int]:
        """Count how the jobs ended, print it, and check that each ended once."""
        rows = execute(
            self.dsn,
            "SELECT q.status, coalesce(e.n, 0) AS ended, coalesce(p.n, 0) AS published FROM audio_job_queue q"
            " LEFT JOIN (SELECT job, count(DISTINCT transaction) n FROM book WHERE what = 'ended'"
            " GROUP BY job) e ON e.job = q.id"
            " LEFT JOIN (SELECT job, count(DISTINCT transaction) n FROM book WHERE what = 'published'"
            " GROUP BY job) p ON p.job = q.id",
        )
        counts = {
            "jobs in": len(rows),
            "ended once": sum(row["ended"] == 1 for row in rows),
            "ended twice": sum(row["ended"] > 1 or row["published"] > 1 for row in rows),
            "lost": sum(row["ended"] == 0 for row in rows),
        }
        tell(say, must=must, **counts, **more)
        assert counts["ended twice"] == 0
        assert counts["lost"] == 0
        assert all(row["published"] == (row["status"] == "completed") for row in rows)
        return counts

    def clear(self) -> None:
        """End the workers that still run."""
        for worker in self.workers:
            if worker.process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
        stay = descendants_left(self.folder)
        for process in stay:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not stay, f"processes stayed behind: {stay}"


def eventually(condition: Callable[[], object], timeout_s: float = 30.0, *, every_s: float = 0.05) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(every_s)


def descendants_left(folder: Path, *, retry_for_s: float = 10.0) -> list[psutil.Process]:
    """List the processes with this TMPDIR (all that our workers start) that still live after a while."""
    deadline = time.monotonic() + retry_for_s
    while True:
        found = [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and _tmpdir(process) == str(folder)
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _tmpdir(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("TMPDIR")
    except (psutil.Error, OSError):
        return None
