"""Folders for the files of jobs: one for each worker, in it one for each job. All are removed, whoever dies."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "mindscript-worker-"
_LOCK = "in-use"


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a folder for this worker, removed at the end. The folders of workers that were killed are removed now.

    A living worker holds a lock on a file in its folder. The kernel drops the lock when the worker dies.
    """
    root = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    with (folder / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for other in root.glob(f"{_PREFIX}*"):
            if other != folder:
                _remove_if_dead(other)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def job_folder(workspace: Path) -> Iterator[Path]:
    """Yield a folder for one job; it is removed at the end.

    Raises
    ------
    OSError
        If the disk is full.
    """
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=workspace))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_dead(folder: Path) -> None:
    """Remove the folder of a worker that has died."""
    # A worker may have made its folder and not yet its lock file: such a folder is left alone.
    with suppress(OSError), (folder / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
