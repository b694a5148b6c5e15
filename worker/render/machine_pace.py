"""How much longer than expected this machine takes for its work, remembered from job to job."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from worker.disk_cache import DiskCache

_NAME: Final = "machine"
_FILE_BYTES: Final = 100
_PACES: Final = (0.1, 100.0)  # anything else is damage


class MachinePace:
    """One number in a small file; a lost or damaged one costs the exactness of a progress bar, and no more.

    Parameters
    ----------
    folder : Path
        Shared by all processes; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._disk = DiskCache(folder, max_bytes=_FILE_BYTES)

    def read(self) -> float:
        """The pace of the latest job; 1 where none is known."""
        with contextlib.suppress(ValueError):
            pace = float(self._disk.read(_NAME) or b"1")
            if _PACES[0] <= pace <= _PACES[1]:
                return pace
        return 1.0

    def keep(self, pace: float) -> None:
        """Remember the pace of a job."""
        if _PACES[0] <= pace <= _PACES[1]:
            self._disk.keep(_NAME, f"{pace:.2f}".encode())
