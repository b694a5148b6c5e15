"""The buckets as folders: ``STORAGE_DIR/<bucket>/<key>``."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from worker.config import Config
from worker.errors import MachineError, ResourceError, TransientError
from worker.os_errors import disk_is_full
from worker.storage.base import Stored

_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_COMING = ".incoming"
_STALE_S = 3600.0


class LocalStorage:
    """A tree of finished files on this machine, below STORAGE_DIR."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @classmethod
    def of(cls, config: Config) -> LocalStorage:
        """Open the tree under STORAGE_DIR."""
        return cls(config.storage_dir)

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
        """See `Storage.put`. The file appears under its name only when all of it is on disk."""
        del content_type, within_s  # a file system keeps no type, and there is no service to wait for
        size = path.stat().st_size
        place = self._place(bucket, key)
        try:
            already_there = not self._take(path, place)
        except PermissionError as error:
            raise MachineError(f"STORAGE_DIR: {place.parent} cannot be written", code="storage.folder") from error
        except OSError as error:
            if not disk_is_full(error):
                raise
            raise ResourceError(f"STORAGE_DIR: the disk of {self._root} is full", code="resource.disk") from error
        if on_progress:
            on_progress(size)
        return Stored(f"{bucket}/{key}", self.public_url(bucket, key), size, already_there)

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """See `Storage.remove`."""
        for key in keys:
            self._place(bucket, key).unlink(missing_ok=True)

    def is_public(self, bucket: str) -> bool | None:
        """See `Storage.is_public`."""
        del bucket
        return True

    def public_url(self, bucket: str, key: str) -> str:
        """See `Storage.public_url`."""
        return self._place(bucket, key).as_uri()

    def link(self, bucket: str, key: str, *, valid_s: int) -> str | None:
        """See `Storage.link`."""
        del valid_s
        place = self._place(bucket, key)
        return str(place) if place.is_file() else None

    def names_in(self, bucket: str, folder: str, *, most: int) -> list[str]:
        """See `Storage.names_in`."""
        place = self._place(bucket, folder)
        names = [path.name for path in place.iterdir() if path.is_file()] if place.is_dir() else []
        return sorted(names)[:most]

    def small_files(self, bucket: str) -> None:
        """See `Storage.small_files`."""

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"local folder {self._root} (STORAGE_DIR)"

    def close(self) -> None:
        """See `Storage.close`."""

    def _take(self, path: Path, place: Path) -> bool:
        """Put the file in place; False if the same file was there."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())  # before the database has the job as done
        linked = self._link(path, path, place)
        return self._copy(path, place) if linked is None else linked

    def _link(self, path: Path, source: Path, place: Path) -> bool | None:
        """Link `source` into place: False if `path` was there already, None where there can be no links."""
        try:
            place.hardlink_to(source)  # never replaces an existing file
        except FileExistsError:
            return not self._same(path, place)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return None
        return True

    def _copy(self, path: Path, place: Path) -> bool:
        """From another file system: copy the file beside the tree first, then move it in."""
        coming = self._root / _COMING
        coming.mkdir(exist_ok=True)
        for old in coming.iterdir():  # of a process that was killed
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _STALE_S:
                    old.unlink()
        part = coming / uuid.uuid4().hex
        try:
            shutil.copyfile(path, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            linked = self._link(path, part, place)
            if linked is None and place.exists():
                linked = not self._same(path, place)
            elif linked is None:
                part.rename(place)
            return linked is not False
        finally:
            part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another process is copying, too
                coming.rmdir()

    def _same(self, path: Path, place: Path) -> bool:
        if filecmp.cmp(path, place, shallow=False):
            return True
        raise TransientError(
            f"STORAGE_DIR: {place} is another file already, and nothing is overwritten; take it away",
            code="storage.taken",
        )

    def _place(self, bucket: str, key: str) -> Path:
        place = self._root / bucket / key
        if ".." in place.parts or not place.is_relative_to(self._root / bucket) or "/" in bucket:
            raise ValueError(f"expected a key inside its bucket, received {bucket}/{key}")
        return place
