"""Where jobs keep their files: a folder a worker, in it a folder a job. Nothing stays behind, whoever dies."""

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
    """Give a folder of this worker's own; removed at the end, and so are those of workers that were killed.

    A worker that lives holds a lock on a file in its folder; the kernel drops it however the worker dies.
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
    """Give a folder for one job; removed at the end.

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
    """Remove the folder of a worker that is no more."""
    # A worker that has made its folder and not yet its lock has no lock to be seen: it is left alone.
    with suppress(OSError), (folder / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
