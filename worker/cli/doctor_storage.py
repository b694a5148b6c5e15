"""What `mindscript-worker doctor` finds about storage: each bucket, and whether it takes what goes there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from worker.backoff import RetryPolicy
from worker.cli.doctor_finding import Finding
from worker.config import Config
from worker.errors import TransientError, WorkerError
from worker.formats import FORMATS
from worker.service_limits import SERVICE_LIMITS
from worker.storage.base import CONTENT_TYPES, RENDERS
from worker.storage.choose import chosen_storage, open_storage
from worker.supabase_access import supabase_of

if TYPE_CHECKING:
    from worker.storage.supabase_storage import BucketLimits

_LIMITS = replace(
    SERVICE_LIMITS, connect_s=4.0, short_storage_silence_s=5.0, short_storage_retries=RetryPolicy(failures=1)
)
_MISSING = "the bucket is missing; create it in Supabase under Storage"
_LYRICS = ("lrc", "vtt")
_EXTEND = "extend its allowed MIME types"

Verdict = tuple[bool | None, str]  # what `Finding` calls good, and says


def examine_storage(config: Config) -> Iterator[Finding]:
    """Ask storage for each bucket that the settings name; where it does not answer, once."""
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

    with closing(SupabaseStorage(supabase, limits=_LIMITS, short=True)) as storage:
        for name, check in _checks(config):
            try:
                yield Finding(name, *check(storage.bucket_limits(name)))
            except WorkerError as error:
                hint = "; look at SUPABASE_URL" if isinstance(error, TransientError) else ""
                yield Finding("storage", False, f"{error.message}{hint}; no other bucket was checked")
                break
    # Buckets that payloads may name although they hold all customers' files.
    closed = {RENDERS: "finished tracks", config.tts_cache_bucket: "spoken scripts"}
    for name in config.media_buckets:
        if name in config.voice_buckets or name in closed:
            held = closed.get(name, "recordings")
            yield Finding("MEDIA_BUCKETS", False, f"lists {name!r}: any job could then play other customers' {held}")


def _checks(config: Config) -> list[tuple[str, Callable[[BucketLimits | None], Verdict]]]:
    checks: list[tuple[str, Callable[[BucketLimits | None], Verdict]]] = [
        (RENDERS, _renders_bucket),
        (config.preview_bucket, partial(_preview_bucket, must_be_public=config.preview_url == "public")),
        *((name, _media_bucket) for name in config.media_buckets),
        *((name, _voice_bucket) for name in config.voice_buckets),
    ]
    if config.tts_cache_bucket is not None:
        checks.append((config.tts_cache_bucket, _speech_bucket))
    return checks


def _renders_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return False, _MISSING
    refused = [name for name, format_ in FORMATS.items() if not limits.takes(format_.content_type)]
    if len(refused) == len(FORMATS):
        return False, f"the bucket takes no audio at all, so no track can be delivered; {_EXTEND}"
    refused += [name for name in _LYRICS if not limits.takes(CONTENT_TYPES[name])]
    if refused:
        types = dict.fromkeys(CONTENT_TYPES[name] for name in refused)
        says = f"{_size_limit(limits)}; refuses {', '.join(refused)}: {_EXTEND} by {', '.join(types)} to deliver those"
        return None, says
    return True, _size_limit(limits)


def _preview_bucket(limits: BucketLimits | None, *, must_be_public: bool) -> Verdict:
    if limits is None:
        return None, f"{_MISSING} (PREVIEW_BUCKET); until then tracks have no preview"
    if must_be_public and not limits.public:
        return None, "the bucket is private, so tracks have no preview; make it public, or set PREVIEW_URL=path"
    if not limits.takes(FORMATS["mp3"].content_type):
        return None, f"the bucket takes no audio/mpeg, so tracks have no preview; {_EXTEND}"
    return True, _size_limit(limits)


def _media_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return False, "the bucket is missing; jobs that name an object in it fail (MEDIA_BUCKETS)"
    return True, _size_limit(limits)


def _voice_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return None, "the bucket is missing; jobs that name an object in it fail (VOICE_BUCKETS)"
    if limits.public:
        return None, "the bucket is public; it holds customers' recordings (VOICE_BUCKETS): make it private"
    return True, _size_limit(limits)


def _speech_bucket(limits: BucketLimits | None) -> Verdict:
    if limits is None:
        return False, f"{_MISSING} (TTS_CACHE_BUCKET)"
    if limits.public:
        return False, "the bucket is public; it holds customers' scripts, spoken (TTS_CACHE_BUCKET): make it private"
    if not limits.takes("application/octet-stream"):
        return False, f"the bucket takes no application/octet-stream, the type of spoken pieces; {_EXTEND}"
    return True, _size_limit(limits)


def _size_limit(limits: BucketLimits) -> str:
    return "no limit" if limits.largest_bytes is None else f"{limits.largest_bytes >> 20} MB a file"
