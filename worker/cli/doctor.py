"""`mindscript-worker doctor`: check everything that the worker needs; a line each, with what to do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from worker.cli.database import with_database
from worker.cli.doctor_database import Finding, examine_database
from worker.cli.doctor_sandbox import examine_sandbox
from worker.cli.doctor_voices import examine_voices
from worker.config import Config
from worker.errors import WorkerError
from worker.ffmpeg.program import find_ffmpeg
from worker.formats import FORMATS
from worker.job.memory import job_memory_limit_bytes
from worker.masks import for_terminal
from worker.queue.address import read
from worker.queue.listener import TIMINGS, ListenerTimings, why_polling
from worker.queue.service import Queue, open_queue
from worker.storage.base import RENDERS
from worker.storage.choose import chosen_storage, open_storage
from worker.supabase_access import supabase_of
from worker.tts import available_voices

if TYPE_CHECKING:
    from worker.storage.supabase_storage import BucketLimits, SupabaseStorage

_LEAST_DISK_GB = 2.0  # the decoded inputs of a long track, and the track
_LEAST_MEMORY_MB = 256
_MOST_SKEW_S = 5.0
_NEEDED_COLUMNS = ("id", "track_id", "user_id", "status", "progress", "stage", "result", "error", "started_at")
_TRACK_COLUMNS = ("audio_url", "preview_url", "duration_seconds", "status")
_MISSING = "the bucket is missing; create it in Supabase under Storage"

Verdict = tuple[bool | None, str]  # what `Finding` calls good, and says


def doctor(config: Config, *, online: bool = False) -> int:
    """Print all findings; with `online` the voice services are asked, too. 1 when any keeps the worker from working."""
    console = Console()
    signs = {True: "[green]ok  [/]", None: "[yellow]note[/]", False: "[red]bad [/]"}
    failed = False
    for finding in examine(config, online=online):
        failed = failed or finding.good is False
        line = for_terminal(f"{finding.what:<17} {finding.says}")
        console.print(f"{signs[finding.good]} {escape(line)}", soft_wrap=True)
    return 1 if failed else 0


def examine(config: Config, *, online: bool = False) -> Iterator[Finding]:
    """Check one thing after the other; a check that fails never stops the next."""
    yield _finding("FFmpeg", lambda: _ffmpeg(config))
    yield from examine_sandbox(config)
    try:
        with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-doctor")) as queue:
            yield Finding("queue", True, queue.description)
            yield _finding("columns", lambda: _columns(queue))
            yield _finding("waking", lambda: waking(config, queue))
            yield _finding("clock", lambda: _clock(queue))
            yield from examine_database(config, queue)
    except WorkerError as error:
        yield Finding("queue", False, error.message)
    yield from _buckets(config)
    for voice in available_voices(config):
        yield Finding(f"voice {voice.provider}", True if voice.usable else None, voice.detail)
    yield from examine_voices(config, online=online)
    yield _finding("disk", lambda: _disk(config.cache_dir))
    limit_mb = job_memory_limit_bytes(config) >> 20
    yield Finding("memory", limit_mb >= _LEAST_MEMORY_MB, f"a job may take {limit_mb} MB (MEMORY_LIMIT_MB overrides)")
    if config.port is not None and config.worker_token is None:
        yield Finding("WORKER_TOKEN", None, "not set: there is no POST /process, and /ready says no more than a code")


def _finding(what: str, check: Callable[[], Verdict]) -> Finding:
    try:
        return Finding(what, *check())
    except WorkerError as error:
        return Finding(what, False, error.message)


def _ffmpeg(config: Config) -> Verdict:
    ffmpeg = find_ffmpeg(config.ffmpeg)
    return True, f"{ffmpeg.version} at {ffmpeg.path}"


def _columns(queue: Queue) -> Verdict:
    missing = [name for name in _NEEDED_COLUMNS if not queue.has_column("audio_job_queue", name)]
    if missing:
        return False, f"audio_job_queue lacks {', '.join(missing)}; run `mindscript-worker migrate`"
    lacking = [name for name in _TRACK_COLUMNS if not queue.has_column("tracks", name)]
    if lacking:
        return None, f"tracks lacks {', '.join(lacking)}: left out when a track is finished"
    return True, "all there"


def waking(config: Config, queue: Queue, timings: ListenerTimings = TIMINGS) -> Verdict:
    """Find out whether the worker would be woken by NOTIFY."""
    if queue.mode == "plain":
        return None, "by polling; `mindscript-worker migrate` adds leases and NOTIFY"
    if config.database_url is None:
        return None, "by polling; set DATABASE_URL (port 5432) to be woken at once"
    dsn = config.database_url.get_secret_value()
    kind = read(dsn).kind
    if (reason := why_polling(dsn, application="mindscript-doctor", timings=timings)) is not None:
        return None, reason
    return True, f"by NOTIFY, and by polling{'' if kind == 'other' else f' ({kind})'}"


def _clock(queue: Queue) -> Verdict:
    """The worker needs no common clock; a large difference still confuses people who read logs."""
    skew_s = queue.now().timestamp() - time.time()
    good = True if abs(skew_s) <= _MOST_SKEW_S else None
    return good, f"{skew_s:+.1f} s between the database's clock and this one's"


def _buckets(config: Config) -> Iterator[Finding]:
    try:
        supabase = supabase_of(config)
    except WorkerError as error:
        yield Finding("storage", False, error.message)
        return
    if supabase is None or chosen_storage(config) != "supabase":
        with closing(open_storage(config)) as other:
            yield Finding("storage", True, other.describe())
        return
    from worker.storage.supabase_storage import SupabaseStorage

    checks: list[tuple[str, Callable[[BucketLimits | None], Verdict]]] = [
        (RENDERS, _renders_bucket),
        (config.preview_bucket, partial(_preview_bucket, must_be_public=config.preview_url == "public")),
        *((name, _media_bucket) for name in config.media_buckets),
        *((name, _voice_bucket) for name in config.voice_buckets),
    ]
    if config.tts_cache_bucket is not None:
        checks.append((config.tts_cache_bucket, _speech_bucket))
    with closing(SupabaseStorage(supabase)) as storage:
        for name, check in checks:
            yield _finding(name, partial(_bucket, storage, name, check))
    # Buckets that payloads may name although they hold all customers' files.
    closed = {RENDERS: "finished tracks", config.tts_cache_bucket: "spoken scripts"}
    for name in config.media_buckets:
        if name in config.voice_buckets or name in closed:
            held = closed.get(name, "recordings")
            yield Finding("MEDIA_BUCKETS", False, f"lists {name!r}: any job could then play other customers' {held}")


def _bucket(storage: SupabaseStorage, name: str, check: Callable[[BucketLimits | None], Verdict]) -> Verdict:
    return check(storage.bucket_limits(name))


def _renders_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return False, _MISSING
    refused = [name for name, format_ in FORMATS.items() if not limits.takes(format_.content_type)]
    if refused:
        says = f"{_size_limit(limits)}; refuses {', '.join(refused)}: extend its allowed MIME types to deliver those"
        return None, says
    return True, _size_limit(limits)


def _preview_bucket(limits: BucketLimits | None, *, must_be_public: bool) -> Verdict:
    if limits is None:
        return None, f"{_MISSING} (PREVIEW_BUCKET); until then tracks have no preview"
    if must_be_public and not limits.public:
        return None, "the bucket is private, so tracks have no preview; make it public, or set PREVIEW_URL=path"
    if not limits.takes(FORMATS["mp3"].content_type):
        return None, "the bucket takes no audio/mpeg, so tracks have no preview; extend its MIME types"
    return True, _size_limit(limits)


def _media_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return False, "the bucket is missing; jobs that name an object in it fail (MEDIA_BUCKETS)"
    return True, _size_limit(limits)


def _voice_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return None, "the bucket is missing; jobs that name an object in it fail (VOICE_BUCKETS)"
    if limits.public:
        return None, "the bucket is public; it holds customers' recordings (VOICE_BUCKETS)"
    return True, _size_limit(limits)


def _speech_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return False, _MISSING
    if limits.public:
        return False, "the bucket is public; it holds customers' scripts, spoken (TTS_CACHE_BUCKET)"
    if not limits.takes("application/octet-stream"):
        return False, "the bucket takes no application/octet-stream; spoken pieces are of that type"
    return True, _size_limit(limits)


def _size_limit(limits: BucketLimits) -> str:
    return "no limit" if limits.largest_bytes is None else f"{limits.largest_bytes >> 20} MB a file"


def _disk(folder: Path) -> Verdict:
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    return True if free_gb >= _LEAST_DISK_GB else None, f"{free_gb:.1f} GB free under {folder}"
