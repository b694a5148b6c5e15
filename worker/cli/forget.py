"""`mindscript-worker forget`: remove what is kept of a customer, but for delivered tracks; say what is left."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from worker.cli.database import with_database
from worker.cli.jobs_change import confirmed
from worker.cli.terminal import print_json, words
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.operate.changes import why_refused
from worker.payload.album import is_album, parse_album
from worker.payload.aliases import load_payload
from worker.payload.parse import parse_job
from worker.payload.track_row import completed_payload
from worker.plan.layer_jobs import speech_jobs
from worker.queue.claims import CustomerJob
from worker.queue.operations import ENDED
from worker.queue.service import Queue, open_queue
from worker.queue.transport import Row
from worker.storage.base import RENDERS, Storage
from worker.storage.choose import open_storage
from worker.tts.cache import SpeechCache
from worker.tts.cached_pieces import drop_pieces

_MOST_FILES = 1000  # of a track; a render has five at most
_LEFT = (
    "the rows of the ended jobs, with status, result and error; the app's own rows, such as tracks and notifications",
    "recordings that the customer has uploaded: in their buckets, and in CACHE_DIR/media of each worker until its "
    "MEDIA_CACHE_MAX_MB is reached",
    "cached speech on other machines: it goes with their CACHE_DIR (on a dyno with each restart), or when "
    "TTS_CACHE_MAX_MB is reached there, the least used first",
    "cached speech of jobs that were purged before, or that was spoken under settings that have changed since",
    "logs, e-mails, backups of the database",
)


@dataclass
class Report:
    """What was removed, what was kept on purpose, and what could not be removed."""

    jobs: int = 0
    cancelled: int = 0
    pieces: int = 0
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def forget(config: Config, *, user: str, dry_run: bool, yes: bool, as_json: bool = False) -> int:
    """Forget a customer; 1 if something could not be removed."""
    user = customer_id(user)
    report = Report()
    with (
        with_database(config) as config,
        closing(open_queue(config, worker_name="mindscript-forget")) as queue,
        closing(open_storage(config)) as storage,
    ):
        tracks, jobs = queue.tracks_of(user), queue.customer_jobs(user)
        if dry_run:
            report.jobs = len(jobs)
            busy: Collection[str] = {job.job_id for job in jobs if job.status not in ENDED}
        else:
            if not yes and not confirmed(f"forget customer {user}, who has {len(tracks)} tracks?"):
                if as_json:
                    print_json(_document(report, dry_run=False))
                else:
                    print("nothing was changed")
                return 1
            busy = _forget_jobs(queue, user, config, storage, report)
        for track in tracks:
            _sort_files(track, busy, queue, storage, config, report, removes=not dry_run)
    if as_json:
        print_json(_document(report, dry_run=dry_run))
    else:
        _print(report, dry_run=dry_run)
    return int(bool(report.failures))


def customer_id(text: str) -> str:
    """What `--user` names. Raises `JobError` where that is no id."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise JobError(f"--user: found {text[:40]!r}, expected an account's id, a UUID") from None


def _forget_jobs(queue: Queue, user: str, config: Config, storage: Storage, report: Report) -> Collection[str]:
    """Purge all jobs, and remove their speech; the ids of those that could not be."""
    forgotten = queue.forget(user)
    report.jobs = len(forgotten.purged)
    report.cancelled = sum(each.done for each in forgotten.cancelled.values())
    report.failures += [f"job {job_id}: {why_refused('purge', each)}" for job_id, each in forgotten.left.items()]
    shared = storage.small_files(config.tts_cache_bucket) if config.tts_cache_bucket else None
    cache = SpeechCache(config.cache_dir / "speech", config.tts_cache_max_mb, shared)
    unknown: set[str] = set()
    for job in forgotten.jobs:
        unknown.update(_drop_speech(job, user, queue, config, cache, report))
    report.failures += [f"cached speech: {each}" for each in sorted(unknown)]
    return forgotten.left


def _drop_speech(
    job: CustomerJob, user: str, queue: Queue, config: Config, cache: SpeechCache, report: Report
) -> tuple[str, ...]:
    """Remove what was spoken for a job; a payload that cannot be parsed has been spoken by nobody."""
    row = None if job.track_id is None else queue.saved_track(job.track_id, user)
    try:
        payload = completed_payload(load_payload(job.payload_text or "{}"), row).payload
        limits: dict[str, Any] = {"max_script_characters": 1_000_000, "max_duration_min": config.max_duration_min}
        jobs = parse_album(payload, **limits).jobs if is_album(payload) else (parse_job(payload, **limits),)
    except WorkerError:
        return ()
    unknown: list[str] = []
    for each in chain.from_iterable(map(speech_jobs, jobs)):
        if each.voice.provider != "uploaded":
            dropped = drop_pieces(each, config, cache)
            report.pieces += dropped.pieces
            unknown += dropped.unknown
    return tuple(unknown)


def _sort_files(
    track: Row,
    busy: Collection[str],
    queue: Queue,
    storage: Storage,
    config: Config,
    report: Report,
    *,
    removes: bool,
) -> None:
    """Remove the files that the track's row does not point to; those of jobs that have not ended stay."""
    track_id = str(track["id"])
    delivered = str(track.get("audio_url") or "")
    for bucket, folder in ((RENDERS, f"tracks/{track_id}"), (config.preview_bucket, track_id)):
        try:
            names = storage.names_in(bucket, folder, most=_MOST_FILES)
            in_use = f"{delivered} {track.get('preview_url') or ''} {_result(names, delivered, queue)}"
            kept = [name for name in names if f"{folder}/{name}" in in_use or any(name.startswith(job) for job in busy)]
            gone = [name for name in names if name not in kept]
            if removes:
                storage.remove(bucket, [f"{folder}/{name}" for name in gone])
        except WorkerError as error:
            report.failures.append(f"files in {bucket}/{folder}: {error.message}")
            continue
        report.kept += [f"{bucket}/{folder}/{name}" for name in kept]
        report.removed += [f"{bucket}/{folder}/{name}" for name in gone]


def _result(names: list[str], delivered: str, queue: Queue) -> str:
    """The result of the job that made the delivered file: it names what belongs to it, such as lyrics."""
    file = next((name for name in names if delivered.endswith(f"/{name}")), None)
    return "" if file is None else queue.result_of(file[: len(str(uuid.UUID(int=0)))]) or ""


def _document(report: Report, *, dry_run: bool) -> dict[str, Any]:
    """The report for JSON; the keys are an interface."""
    return {"dry_run": dry_run, **asdict(report), "never_removed": list(_LEFT)}


def _print(report: Report, *, dry_run: bool) -> None:
    said = "would be removed" if dry_run else "removed"
    cancelled = f", {report.cancelled} of them cancelled before" if report.cancelled else ""
    print(f"{said}: payloads and attempts of {report.jobs} jobs{cancelled}")
    if not dry_run:
        print(f"{said}: {report.pieces} pieces of cached speech on this machine, and theirs in TTS_CACHE_BUCKET")
    for path in report.removed:
        print(f"{said}: {words(path)}")
    for path in report.kept:
        print(f"left: {words(path)}, which is in use")
    for each in _LEFT:
        print(f"left: {each}")
    for each in report.failures:
        print(f"not removed: {words(each)}")
