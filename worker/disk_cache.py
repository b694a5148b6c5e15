"""The disk cache: whole files by name up to a size, the least recently used go first; processes may share a folder.

CACHE_DIR may lie in a temporary folder that all users write to. So the folder must be this user's own, and closed to
all others; it is opened once for each use, and all is done from there, through no link. What else it finds under the
names of its files it leaves alone, or removes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PART = ".part"
_STALE_S = 3600.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class DiskCache:
    """Files in one folder. A cache that is full, damaged, not writable or not ours costs time or money, never a job.

    The folder is made when it is first written to, for this user only; `max_bytes` is of all files together, and 0
    keeps nothing. A name may have one folder before it.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def find(self, name: str) -> Path | None:
        """The file of that name, which now counts as just used; None where there is none."""
        with _reading(), self._opened(name) as (place, last, _):
            os.utime(last, dir_fd=place, follow_symlinks=False)
            return self.folder / name
        return None

    def read(self, name: str) -> bytes | None:
        """The content of a small file, which does not count as used; None where it cannot be read."""
        with _reading(), self._opened(name) as (_, _, file):
            return file.read()
        return None

    def names(self, start: str) -> list[tuple[str, float]]:
        """The files without a folder whose names begin so, and when each was used last."""
        found = []
        with contextlib.suppress(OSError), _opened(self.folder) as place, os.scandir(place) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process has just dropped it
                    if entry.name.startswith(start) and entry.is_file(follow_symlinks=False):
                        found.append((entry.name, entry.stat(follow_symlinks=False).st_mtime))
        return found

    def hand_out(self, name: str, to: Path) -> bool:
        """Give the caller a link of its own, which stays when the cache drops the file; False if it is gone."""
        with _reading(), self._opened(name) as (place, last, file):
            os.utime(last, dir_fd=place, follow_symlinks=False)
            try:
                os.link(last, to, src_dir_fd=place, follow_symlinks=False)
            except FileNotFoundError:
                return False
            except OSError:  # another file system, or one without links
                with to.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
            return True
        return False

    def keep(self, name: str, content: Path | bytes) -> bool:
        """Take a file or some bytes in; they appear whole or not at all. False where they cannot be kept."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > self._max_bytes:
            return False
        part = f"{uuid.uuid4().hex}{_PART}"
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
            with _opened(self.folder) as top, _beside(top, name, make=True) as (place, last):
                os.fchmod(top, 0o700)  # an older one may be open to readers
                try:
                    _take_in(content, top, part)
                    os.utime(part, dir_fd=top)
                    os.replace(part, last, src_dir_fd=top, dst_dir_fd=place)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(part, dir_fd=top)
                self._make_room(top)
        except OSError as error:
            _warn("written", error.strerror)
            return False
        return True

    def drop(self, name: str) -> bool:
        """Remove a file; False if it was not there, or cannot be removed."""
        try:
            with _opened(self.folder) as top, _beside(top, name) as (place, last):
                os.unlink(last, dir_fd=place)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, str, BinaryIO]]:
        """Open a file: the folder that it is in, its name there, and the file itself."""
        with (
            _opened(self.folder) as top,
            _beside(top, name) as (place, last),
            os.fdopen(os.open(last, _FILE, dir_fd=place), "rb") as file,
        ):
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise PermissionError(errno.EACCES, f"{name} is no file of this user's")
            yield place, last, file

    def _make_room(self, top: int) -> None:
        files = []
        for root, _, names, place in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # another process makes room, too
                    status = os.stat(name, dir_fd=place, follow_symlinks=False)
                    path = os.path.join(root, name)  # noqa: PTH118 - from the folder that is open
                    if stat.S_ISREG(status.st_mode):
                        files.append((status.st_mtime, status.st_size, path))
                    else:
                        os.unlink(path, dir_fd=top)
        files.sort()
        total = sum(size for _, size, path in files if not path.endswith(_PART))
        for used_at, size, path in files:
            with contextlib.suppress(FileNotFoundError):
                if path.endswith(_PART):
                    if used_at < files[-1][0] - _STALE_S:  # its process was killed
                        os.unlink(path, dir_fd=top)
                elif total > self._max_bytes:
                    total -= size
                    os.unlink(path, dir_fd=top)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a cache's folder: this user's own, for nobody else to write to, in one of this user's or root's."""
    for status in (folder.parent.lstat(), folder.parent.stat()):
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EACCES, f"{folder.parent} belongs to another user")
    top = os.open(folder, _FOLDER)
    try:
        status = os.fstat(top)
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EACCES, f"{folder} belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EACCES, f"others may write to {folder}: empty it, then chmod 700")
        yield top
    finally:
        os.close(top)


@contextlib.contextmanager
def _beside(top: int, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder that a name has before it, if it has one; and the rest of the name."""
    between, _, last = name.rpartition("/")
    if not between:
        yield top, last
        return
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(between, 0o700, dir_fd=top)
    place = os.open(between, _FOLDER, dir_fd=top)
    try:
        yield place, last
    finally:
        os.close(place)


def _take_in(content: Path | bytes, top: int, part: str) -> None:
    """Write a new file, or link to one that is there."""
    if isinstance(content, Path):
        try:
            os.link(content, part, dst_dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without links
            with content.open("rb") as source, os.fdopen(os.open(part, _NEW_FILE, 0o600, dir_fd=top), "wb") as copy:
                shutil.copyfileobj(source, copy)
    else:
        with os.fdopen(os.open(part, _NEW_FILE, 0o600, dir_fd=top), "wb") as file:
            file.write(content)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Make nothing of a file that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        _warn("read", error.strerror)


@functools.cache
def _warn(what: str, why: str) -> None:
    """Log a cause, once."""
    from loguru import logger  # it loads asyncio and ssl, which a render without speech does not need

    logger.warning("CACHE_DIR cannot be {}: {}", what, why)
