"""The speech cache: no piece of speech is paid for twice. Its key is the hash of all that decides how it sounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worker.disk_cache import DiskCache
from worker.errors import WorkerError
from worker.storage.base import SmallFiles

T = TypeVar("T")
_MIB = 1 << 20


class SpeechCache:
    """Pieces of speech in a folder, up to so many MB, and in a store that all workers share where there is one.

    The shared store may lose files, and its failures cost money, not the job.
    """

    def __init__(self, folder: Path, max_mb: int, shared: SmallFiles | None = None) -> None:
        self._disk = DiskCache(folder, max_bytes=max_mb * _MIB)
        self._shared = shared

    @staticmethod
    def key(*parts: str) -> str:
        """Hash what decides how a piece sounds: the voice's fingerprint and the text."""
        digest = hashlib.sha256()
        for part in parts:
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def find(self, key: str) -> Path | None:
        """Look a piece up, here and then in the shared store."""
        path = self._disk.find(_name(key))
        if path is None and (data := self._in_shared(lambda shared: shared.get(f"speech/{key}"))):
            self._disk.keep(_name(key), data)
            path = self._disk.find(_name(key))
        return path

    def read(self, key: str) -> bytes | None:
        """Read a small fact that was kept beside the pieces."""
        data = self._disk.read(_name(key))
        return self._in_shared(lambda shared: shared.get(f"speech/{key}")) if data is None else data

    def keep(self, key: str, content: Path | bytes) -> None:
        """Keep a piece that has just arrived, or a small fact."""
        self._disk.keep(_name(key), content)
        data = content if isinstance(content, bytes) else content.read_bytes()
        self._in_shared(lambda shared: shared.put(f"speech/{key}", data))

    def drop(self, key: str) -> bool:
        """Remove a piece everywhere; whether it was in the folder."""
        was_here = self._disk.drop(_name(key))
        self._in_shared(lambda shared: shared.remove(f"speech/{key}"))
        return was_here

    def _in_shared(self, action: Callable[[SmallFiles], T]) -> T | None:
        try:
            return None if self._shared is None else action(self._shared)
        except WorkerError as error:
            from loguru import logger  # it loads asyncio and ssl, which a render without speech does not need

            logger.warning("TTS_CACHE_BUCKET: {}", error.message)
            return None


def _name(key: str) -> str:
    return f"{key[:2]}/{key}"
