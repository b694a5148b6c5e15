"""The speech cache: no piece of speech is paid for twice. Its key is the hash of all that decides how it sounds."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Protocol

from worker.disk_cache import DiskCache

_MIB = 1 << 20


class RemoteCache(Protocol):
    """A store shared by all workers, such as a bucket. It may lose objects, and its failures cost no job."""

    def get(self, key: str) -> bytes | None:
        """Read an object; None where it cannot be had."""

    def put(self, key: str, data: bytes) -> None:
        """Keep an object."""

    def remove(self, key: str) -> None:
        """Remove an object."""


class SpeechCache:
    """Pieces of speech on disk, and in a shared store where there is one.

    Parameters
    ----------
    folder : Path
        Made when needed.
    max_mb : int
        Of all pieces on disk.
    remote : RemoteCache, optional

    Attributes
    ----------
    hits, misses : int
        Pieces that were found, and that had to be spoken.
    """

    def __init__(self, folder: Path, max_mb: int, remote: RemoteCache | None = None) -> None:
        self._disk = DiskCache(folder, max_bytes=max_mb * _MIB)
        self._remote = remote
        self.hits = self.misses = 0

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
        path = self._disk.find(_name(key))
        if path is None and self._remote is not None and (data := self._remote.get(key)):
            self._disk.keep(_name(key), data)
            path = self._disk.find(_name(key))
        self.hits += path is not None
        self.misses += path is None
        return path

    def keep(self, key: str, spoken: Path) -> None:
        """Keep a piece that has just arrived."""
        self._disk.keep(_name(key), spoken)
        if self._remote is not None:
            self._remote.put(key, spoken.read_bytes())

    def recall(self, key: str) -> bytes | None:
        """Read a small fact that `remember` has kept; no hit, no miss."""
        with contextlib.suppress(OSError):
            return (self._disk.folder / _name(key)).read_bytes()
        return self._remote.get(key) if self._remote is not None else None

    def remember(self, key: str, fact: bytes) -> None:
        """Keep a small fact beside the pieces."""
        self._disk.keep(_name(key), fact)
        if self._remote is not None:
            self._remote.put(key, fact)

    def holds(self, key: str) -> bool:
        """Whether a piece is here or in the shared store; no hit, no miss."""
        if (self._disk.folder / _name(key)).exists():
            return True
        return self._remote is not None and bool(self._remote.get(key))

    def drop(self, key: str) -> None:
        """Remove a damaged piece everywhere; it was no hit."""
        self._disk.drop(_name(key))
        if self._remote is not None:
            self._remote.remove(key)
        self.hits -= 1
        self.misses += 1


def _name(key: str) -> str:
    return f"{key[:2]}/{key}"
