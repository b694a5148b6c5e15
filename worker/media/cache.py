"""Downloads kept on disk by URL and ETag, up to a size; any number of processes may share the folder.

One file per URL and version: ``<hash of the URL>-<the ETag, base64url>``. The name says all, so that a file
appears whole, by one rename, and nothing can disagree with it. A job gets a hard link of its own, which lasts
however soon the cache drops the file.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

_LONGEST_ETAG = 128
_STALE_S = 3600.0


@dataclass(frozen=True)
class Kept:
    """One version of one URL's content."""

    path: Path
    etag: str


class MediaCache:
    """Least recently used goes first.

    Parameters
    ----------
    folder : Path
        Made when it is first written to.
    max_bytes : int
        0 keeps nothing.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def find(self, url: str) -> Kept | None:
        """The newest version kept of a URL."""
        found = [kept for path in self._files(f"{_hashed(url)}-*") if (kept := _kept(path))]
        return max(found, key=lambda kept: _used_at(kept.path), default=None)

    def hand_out(self, kept: Kept, to: Path) -> bool:
        """Give a job its own link; False if another process has just dropped the file."""
        try:
            os.utime(kept.path)
            _link_or_copy(kept.path, to)
        except FileNotFoundError:
            return False
        return True

    def keep(self, file: Path, url: str, etag: str) -> None:
        """Take a whole file in; where it does not fit, or has no usable ETag, nothing happens."""
        size = file.stat().st_size
        if not etag or len(etag) > _LONGEST_ETAG or not etag.isascii() or size > self._max_bytes:
            return
        with contextlib.suppress(OSError):  # a full or unwritable cache costs the next job a download, not this one
            self._take_in(file, url, etag)
            self._make_room()

    def _take_in(self, file: Path, url: str, etag: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        encoded = base64.urlsafe_b64encode(etag.encode()).decode().rstrip("=")
        place = self._folder / f"{_hashed(url)}-{encoded}"
        coming = self._folder / f"{uuid.uuid4().hex}.part"
        try:
            _link_or_copy(file, coming)
            coming.replace(place)
        finally:
            coming.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process made room meanwhile
            os.utime(place)
        for path in self._files(f"{_hashed(url)}-*"):
            if path != place:
                path.unlink(missing_ok=True)

    def _make_room(self) -> None:
        newest = max((_used_at(path) for path in self._files("*")), default=0.0)
        for path in self._files("*.part"):
            if _used_at(path) < newest - _STALE_S:  # its process was killed
                path.unlink(missing_ok=True)
        sizes = {path: _size(path) for path in self._files("*-*")}
        total = sum(sizes.values())
        for path in sorted(sizes, key=_used_at):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= sizes[path]

    def _files(self, pattern: str) -> list[Path]:
        return list(self._folder.glob(pattern)) if self._folder.is_dir() else []


def _hashed(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def _kept(path: Path) -> Kept | None:
    encoded = path.name.partition("-")[2]
    try:
        etag = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("ascii")
    except ValueError:
        return None
    return Kept(path, etag)


def _used_at(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _link_or_copy(source: Path, to: Path) -> None:
    try:
        to.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, to)
