"""Supabase Storage: finished files into buckets, by streaming from disk, never overwriting.

Through storage3, the storage client of supabase-py, on its own: `import supabase` brings auth, realtime and
functions for some 15 MB more. Resumable uploads, which storage3 does not know, go over the same httpx client
(worker/storage/tus.py). storage3's `upload` of a path streams (multipart over an open file), and `x-upsert: false` is
its default. Whether Storage has the file already is asked first, so that no body is sent in vain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from loguru import logger
from pydantic import ValidationError
from storage3 import SyncStorageClient
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions, ListBucketFilesOptions

from worker.backoff import with_retries
from worker.config import Config
from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.service_limits import SERVICE_LIMITS, ServiceLimits
from worker.storage.base import FOREVER_S, SmallFiles, Stored
from worker.storage.storage_errors import (
    BUCKET_MISSING,
    TOO_LARGE,
    Answer,
    ObjectMissing,
    ObjectTaken,
    read_answer,
    sort_answer,
    unanswered,
)
from worker.storage.tus import PIECE_BYTES, ResumableUpload
from worker.storage.upload_http import upload_client
from worker.supabase_access import Supabase, supabase_of

T = TypeVar("T")

_SMALL_S = 60.0
# An upload may take this long, and besides as long as a line of 2 Mbit/s needs.
_UPLOAD_S = 300.0
_UPLOAD_BYTES_PER_S = 250_000


@dataclass(frozen=True)
class BucketLimits:
    """What a bucket takes.

    `largest_bytes` is None where only the project's own limit holds; `content_types` are as they stand in the bucket,
    such as ``audio/*``, and empty where every type is taken.
    """

    name: str
    public: bool
    largest_bytes: int | None
    content_types: tuple[str, ...]

    def takes(self, content_type: str) -> bool:
        """Whether a file of this type may come in."""
        family = content_type.partition("/")[0] + "/*"
        return not self.content_types or content_type in self.content_types or family in self.content_types


class SupabaseStorage:
    """One project's buckets; `short` for calls that a job must not wait for."""

    def __init__(self, supabase: Supabase, *, limits: ServiceLimits = SERVICE_LIMITS, short: bool = False) -> None:
        self._supabase = supabase
        self._limits = limits
        self._short = short
        self._url = f"{supabase.origin}/storage/v1"
        self._headers = supabase.headers()
        self._retry_policy = limits.short_storage_retries if short else limits.storage_retries
        silence_s = limits.short_storage_silence_s if short else limits.storage_silence_s
        self._http = upload_client(httpx.Timeout(silence_s, connect=min(limits.connect_s, silence_s / 2)))
        self._storage = SyncStorageClient(f"{self._url}/", self._headers, http_client=self._http)

    @classmethod
    def of(cls, config: Config) -> SupabaseStorage:
        """Open the project that a configuration names.

        Raises
        ------
        ConfigurationError
            If a setting of it is missing or wrong.
        """
        supabase = supabase_of(config)
        if supabase is None:
            raise ConfigurationError("SUPABASE_URL is not set", code="configuration.variable")
        return cls(supabase, limits=config.service_limits)

    def put(
        self,
        path: Path,
        key: str,
        *,
        bucket: str,
        content_type: str,
        on_progress: Callable[[int], None] | None = None,
        within_s: float | None = None,
    ) -> Stored:
        """See `Storage.put`. Over 6 MB in resumable pieces."""
        how: dict[str, Any] = {"bucket": bucket, "content_type": content_type, "on_progress": on_progress}
        if within_s is not None and not self._short:
            with closing(SupabaseStorage(self._supabase, limits=self._limits, short=True)) as short:
                return short.put(path, key, **how, within_s=within_s)
        size = path.stat().st_size
        within_s = within_s or _UPLOAD_S + size / _UPLOAD_BYTES_PER_S
        if size > PIECE_BYTES:
            upload = ResumableUpload(self._http, f"{self._url}/upload/resumable", self._headers, path, key=key, **how)
            already_there = self._place(upload.run, bucket, key, size, within_s, progress=lambda: upload.furthest)
        else:
            already_there = self._place(self._whole(path, bucket, key, content_type), bucket, key, size, within_s)
        if on_progress:
            on_progress(size)
        return Stored(f"{bucket}/{key}", self.public_url(bucket, key), size, already_there)

    def put_bytes(self, data: bytes, key: str, *, bucket: str, content_type: str) -> bool:
        """Store a small object; False if one of the same size was there."""
        return not self._place(self._whole(data, bucket, key, content_type), bucket, key, len(data), _UPLOAD_S)

    def get_bytes(self, bucket: str, key: str) -> bytes | None:
        """Read a small object whole; None where there is none."""
        try:
            return self._retried(lambda: self._storage.from_(bucket).download(key), bucket, key)
        except ObjectMissing:
            return None

    def names_in(self, bucket: str, folder: str, *, most: int) -> list[str]:
        """See `Storage.names_in`.

        Storage takes a folder's name without regard to case: an object in ``Calm/`` is listed for ``calm``, too.
        """
        options: ListBucketFilesOptions = {"limit": most, "offset": 0}

        def ask() -> list[str]:
            rows = self._storage.from_(bucket).list(folder, options)
            return [str(row["name"]) for row in rows if row["id"] is not None]  # a folder within has none

        try:
            return self._retried(ask, bucket, folder)
        except ObjectMissing:
            return []

    def link(self, bucket: str, key: str, *, valid_s: int) -> str | None:
        """See `Storage.link`."""
        try:
            signed = self._retried(lambda: self._storage.from_(bucket).create_signed_url(key, valid_s), bucket, key)
        except ObjectMissing:
            return None
        return signed["signedUrl"]

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """See `Storage.remove`."""
        if keys:
            self._retried(lambda: self._storage.from_(bucket).remove(list(keys)), bucket)

    def public_url(self, bucket: str, key: str) -> str:
        """See `Storage.public_url`."""
        return f"{self._url}/object/public/{quote(bucket, safe='')}/{quote(key)}"

    def is_public(self, bucket: str) -> bool | None:
        """See `Storage.is_public`."""
        with closing(SupabaseStorage(self._supabase, limits=self._limits, short=True)) as short:
            try:
                return short._call(lambda: short._storage.get_bucket(bucket), bucket).public
            except (WorkerError, ObjectMissing):
                return None

    def bucket_limits(self, bucket: str) -> BucketLimits | None:
        """What a bucket takes; None where there is no such bucket."""
        try:
            found = self._retried(lambda: self._storage.get_bucket(bucket), bucket)
        except ConfigurationError as error:
            if error.code == BUCKET_MISSING:
                return None
            raise
        except ObjectMissing:
            return None
        return BucketLimits(found.name, found.public, found.file_size_limit, tuple(found.allowed_mime_types or ()))

    def small_files(self, bucket: str) -> SmallFiles:
        """See `Storage.small_files`."""
        return _SmallFiles(self, bucket)

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"Supabase at {self._supabase.origin} (SUPABASE_URL)"

    def close(self) -> None:
        """See `Storage.close`."""
        self._http.close()

    def _whole(self, file: Path | bytes, bucket: str, key: str, content_type: str) -> Callable[[], object]:
        options: FileOptions = {"content-type": content_type, "cache-control": str(FOREVER_S), "upsert": "false"}
        return lambda: self._call(
            lambda: self._storage.from_(bucket).upload(key, file, options), bucket, key, content_type
        )

    def _place(
        self,
        send: Callable[[], object],
        bucket: str,
        key: str,
        size: int,
        within_s: float,
        *,
        progress: Callable[[], object] | None = None,
    ) -> bool:
        """Send until the file is in place; True if it was there already, which is checked before each attempt."""

        def once() -> bool:
            if self._is_there(bucket, key, size):
                return True
            try:
                send()
            except ObjectTaken as error:
                if self._is_there(bucket, key, size):
                    return True
                # a resumable upload is at another offset, or another client is finishing it
                raise TransientError(f"Storage, {bucket}/{key}: {error}", code="storage.upload") from error
            return False

        try:
            return with_retries(
                once, retry_policy=self._retry_policy, deadline=time.monotonic() + within_s, progress=progress
            )
        except ConfigurationError as error:
            if error.code == TOO_LARGE:
                raise self._too_large(bucket, size) from error
            raise

    def _is_there(self, bucket: str, key: str, size: int) -> bool:
        """Whether a file of this size is there already; another one is an error, since nothing is overwritten."""
        try:
            there = self._call(lambda: self._storage.from_(bucket).info(key), bucket, key).get("size")
        except ObjectMissing:
            return False
        if there is None:
            raise TransientError(f"Storage does not know the size of {bucket}/{key} yet", code="storage.upload")
        if int(there) != size:
            raise TransientError(
                f"Storage has another file at {bucket}/{key}: {there} bytes, not {size}; nothing is overwritten, take "
                "it away",
                code="storage.taken",
            )
        return True

    def _too_large(self, bucket: str, size: int) -> ConfigurationError:
        """Find out which of the two limits it was."""
        where = "the project's limit; raise it: dashboard, Storage, Settings, Global file size limit (50 MB at most on "
        where += "the free plan)"
        try:
            limits = self.bucket_limits(bucket)
        except WorkerError as error:
            logger.debug("the limits of bucket {} are not known: {}", bucket, error)
        else:
            if limits and limits.largest_bytes is not None and size > limits.largest_bytes:
                where = f"the limit of bucket {bucket!r}, {limits.largest_bytes / 1e6:.1f} MB; raise it: dashboard, "
                where += "Storage, the bucket, Edit, Restrict file size"
        return ConfigurationError(
            f"Storage: the file of {size / 1e6:.1f} MB is over {where}", code=TOO_LARGE, about=(bucket,)
        )

    def _retried(self, action: Callable[[], T], bucket: str, key: str = "") -> T:
        return with_retries(
            lambda: self._call(action, bucket, key),
            retry_policy=self._retry_policy,
            deadline=time.monotonic() + _SMALL_S,
        )

    def _call(self, action: Callable[[], T], bucket: str, key: str = "", content_type: str = "") -> T:
        """Make a call; every failure becomes one of ours."""
        try:
            return action()
        except StorageApiError as error:
            raise sort_answer(_answer(error), bucket=bucket, key=key, content_type=content_type) from error
        except httpx.TransportError as error:
            raise unanswered(error) from error
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            # An answer with 200 that is not Storage's JSON, such as a gateway's page.
            raise TransientError(
                f"Storage, {bucket}/{key}: not understood: {type(error).__name__}", code="storage.unexpected"
            ) from error


@dataclass(frozen=True)
class _SmallFiles:
    storage: SupabaseStorage
    bucket: str

    def get(self, key: str) -> bytes | None:
        return self.storage.get_bytes(self.bucket, key)

    def put(self, key: str, data: bytes) -> None:
        self.storage.put_bytes(data, key, bucket=self.bucket, content_type="application/octet-stream")

    def remove(self, key: str) -> None:
        self.storage.remove(self.bucket, [key])


def _answer(error: StorageApiError) -> Answer:
    """The answer itself where storage3 still holds it: storage3 drops the newer code and the Retry-After."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.HTTPStatusError):
            return read_answer(cause.response.status_code, cause.response.headers, cause.response.content)
        cause = cause.__cause__ or cause.__context__
    status = str(error.status)
    return Answer(int(status) if status.isdecimal() else 0, str(error.code), str(error.message))
