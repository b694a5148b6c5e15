"""Nothing is paid twice: every spoken piece is kept by the hash of all that decides how it sounds."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_MIB = 1 << 20


class RemoteCache(Protocol):
    """A store shared by all workers, such as a bucket. It may forget, and it may fail quietly, but never lie."""

    def get(self, key: str) -> bytes | None:
        """Read an object; None when there is none, or it cannot be had now."""

    def put(self, key: str, data: bytes) -> None:
        """Keep an object; a failure is not the caller's concern."""

    def remove(self, key: str) -> None:
        """Forget an object; a failure is not the caller's concern."""


@dataclass
class SpeechCache:
    """Spoken pieces on disk, and in a shared store where there is one.

    Parameters
    ----------
    folder : Path
        Made when needed.
    max_mb : int
        The least recently used pieces go when the folder is larger.
    remote : RemoteCache, optional
    """

    folder: Path
    max_mb: int
    remote: RemoteCache | None = None
    hits: int = 0
    misses: int = 0

    @staticmethod
    def key(*parts: str) -> str:
        """Hash what decides how a piece sounds: the voice's fingerprint and the text."""
        digest = hashlib.sha256()
        for part in parts:
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def find(self, key: str) -> Path | None:
        """Look a piece up, here and then in the shared store; counts a hit or a miss."""
        path = self._path(key)
        try:
            if not path.exists() and self.remote is not None:
                data = self.remote.get(key)
                if data:
                    self._write(path, data)
            os.utime(path)  # used just now
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _warn("spoken pieces cannot be had from CACHE_DIR", error)
            self.misses += 1
            return None
        self.hits += 1
        return path

    def keep(self, key: str, spoken: Path) -> None:
        """Keep a piece that has just arrived; it appears whole or not at all, and a full disk fails no job."""
        data = spoken.read_bytes()
        try:
            self._write(self._path(key), data)
            self._trim()
        except OSError as error:
            _warn("spoken pieces cannot be kept in CACHE_DIR", error)
        if self.remote is not None:
            self.remote.put(key, data)

    def recall(self, key: str) -> bytes | None:
        """Read a small fact that `remember` has kept; it is no piece, and counts as neither hit nor miss."""
        path = self._path(key)
        with contextlib.suppress(OSError):
            return path.read_bytes()
        return self.remote.get(key) if self.remote is not None else None

    def remember(self, key: str, fact: bytes) -> None:
        """Keep a small fact beside the pieces; that it cannot be kept fails no job."""
        with contextlib.suppress(OSError):
            self._write(self._path(key), fact)
        if self.remote is not None:
            self.remote.put(key, fact)

    def holds(self, key: str) -> bool:
        """Whether a piece is here or in the shared store; counts nothing."""
        if self._path(key).exists():
            return True
        return self.remote is not None and bool(self.remote.get(key))

    def drop(self, key: str) -> None:
        """Forget a piece that turned out to be damaged, here and for all others; it was no hit."""
        self._path(key).unlink(missing_ok=True)
        if self.remote is not None:
            self.remote.remove(key)
        self.hits -= 1
        self.misses += 1

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _trim(self) -> None:
        pieces = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another worker trims, too
                status = path.stat()
                pieces.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in pieces)
        for _, size, path in sorted(pieces):
            if total <= self.max_mb * _MIB:
                return
            path.unlink(missing_ok=True)
            total -= size


def _warn(words: str, error: OSError) -> None:
    from loguru import logger  # it brings asyncio and ssl along, and a render without speech needs none of them

    logger.warning("{}: {}", words, error.strerror)
