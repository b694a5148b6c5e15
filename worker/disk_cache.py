"""The disk cache: whole files by name up to a size, the least recently used go first; processes may share a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path

_PART = ".part"
_STALE_S = 3600.0


class DiskCache:
    """Files in one folder. A cache that is full, damaged or not writable costs time or money, never a job.

    The folder is made when it is first written to, for this user only; `max_bytes` is of all files together, and 0
    keeps nothing.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def find(self, name: str) -> Path | None:
        """The file of that name, which now counts as just used; None where there is none."""
        path = self.folder / name
        try:
            os.utime(path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _warn("read", error)
            return None
        return path

    def read(self, name: str) -> bytes | None:
        """The content of a small file, which does not count as used; None where it cannot be read."""
        with contextlib.suppress(OSError):
            return (self.folder / name).read_bytes()
        return None

    def hand_out(self, name: str, to: Path) -> bool:
        """Give the caller a link of its own, which stays when the cache drops the file; False if it is gone."""
        with contextlib.suppress(FileNotFoundError):
            if path := self.find(name):
                _link_or_copy(path, to)
                return True
        return False

    def keep(self, name: str, content: Path | bytes) -> bool:
        """Take a file or some bytes in; they appear whole or not at all. False where they cannot be kept."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > self._max_bytes:
            return False
        part = self.folder / f"{uuid.uuid4().hex}{_PART}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / name).parent.mkdir(exist_ok=True)
            try:
                if isinstance(content, bytes):
                    part.write_bytes(content)
                else:
                    _link_or_copy(content, part)
                os.utime(part)
                part.replace(self.folder / name)
            finally:
                part.unlink(missing_ok=True)
            self._make_room()
        except OSError as error:
            _warn("written", error)
            return False
        return True

    def drop(self, name: str) -> bool:
        """Remove a file; False if it was not there, or cannot be removed."""
        try:
            (self.folder / name).unlink()
        except OSError:
            return False
        return True

    def _make_room(self) -> None:
        files = []
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # another process makes room, too
                status = path.stat()
                if path.is_file():
                    files.append((status.st_mtime, status.st_size, path))
        files.sort()
        total = sum(size for _, size, path in files if path.suffix != _PART)
        for used_at, size, path in files:
            if path.suffix == _PART:
                if used_at < files[-1][0] - _STALE_S:  # its process was killed
                    path.unlink(missing_ok=True)
            elif total > self._max_bytes:
                path.unlink(missing_ok=True)
                total -= size


def _link_or_copy(source: Path, to: Path) -> None:
    try:
        to.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, to)


def _warn(what: str, error: OSError) -> None:
    from loguru import logger  # it loads asyncio and ssl, which a render without speech does not need

    logger.warning("CACHE_DIR cannot be {}: {}", what, error.strerror)
