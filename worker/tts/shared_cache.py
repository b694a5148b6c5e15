"""A bucket in which all workers share their speech cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from worker.config import Config
from worker.errors import WorkerError
from worker.storage.base import Storage
from worker.tts.cache import RemoteCache

if TYPE_CHECKING:
    from worker.storage.supabase_storage import SupabaseStorage


def speech_store(config: Config, storage: Storage) -> RemoteCache | None:
    """The shared speech cache, where TTS_CACHE_BUCKET names a bucket and Supabase is configured; else None."""
    if config.tts_cache_bucket is None:
        return None
    from worker.storage.supabase_storage import SupabaseStorage

    if not isinstance(storage, SupabaseStorage):
        return None
    return _Bucket(storage, config.tts_cache_bucket)


@dataclass(frozen=True)
class _Bucket:
    """A bucket as a cache: its failures cost money, not the job."""

    storage: SupabaseStorage
    name: str

    def get(self, key: str) -> bytes | None:
        try:
            return self.storage.get_bytes(self.name, f"speech/{key}")
        except WorkerError as error:
            logger.warning("TTS_CACHE_BUCKET: {}", error.message)
            return None

    def put(self, key: str, data: bytes) -> None:
        try:
            self.storage.put_bytes(data, f"speech/{key}", bucket=self.name, content_type="application/octet-stream")
        except WorkerError as error:
            logger.warning("TTS_CACHE_BUCKET: {}", error.message)

    def remove(self, key: str) -> None:
        try:
            self.storage.remove(self.name, [f"speech/{key}"])
        except WorkerError as error:
            logger.warning("TTS_CACHE_BUCKET: {}", error.message)
