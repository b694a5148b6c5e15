"""Downloads kept on disk by URL and ETag.

One file per URL and version: ``<hash of the URL>-<the ETag, base64url>``. The name holds everything, so that nothing
can disagree with it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from worker.disk_cache import DiskCache

_LONGEST_ETAG = 128


@dataclass(frozen=True)
class Kept:
    """One version of one URL's content."""

    path: Path
    etag: str
    used_at: float


class MediaCache:
    """The latest version of each URL, up to so many bytes; 0 keeps nothing."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._disk = DiskCache(folder, max_bytes=max_bytes)

    def find(self, url: str) -> Kept | None:
        """The newest version kept of a URL."""
        return max(filter(None, map(_kept, self._versions(url))), key=lambda kept: kept.used_at, default=None)

    def hand_out(self, kept: Kept, to: Path) -> bool:
        """Give a job its own link; False if another process has just dropped the file."""
        return self._disk.hand_out(kept.path.name, to)

    def keep(self, file: Path, url: str, etag: str) -> None:
        """Take a whole file in; where it does not fit, or has no usable ETag, nothing happens."""
        if not etag or len(etag) > _LONGEST_ETAG or not etag.isascii():
            return
        name = f"{_hashed(url)}-{base64.urlsafe_b64encode(etag.encode()).decode().rstrip('=')}"
        if self._disk.keep(name, file):
            for path in self._versions(url):
                if path.name != name:
                    self._disk.drop(path.name)

    def _versions(self, url: str) -> list[Path]:
        return list(self._disk.folder.glob(f"{_hashed(url)}-*"))


def _hashed(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def _kept(path: Path) -> Kept | None:
    encoded = path.name.partition("-")[2]
    with contextlib.suppress(ValueError, OSError):  # not of this cache, or just dropped
        etag = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("ascii")
        return Kept(path, etag, path.stat().st_mtime)
    return None
