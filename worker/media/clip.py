"""A decoded recording on disk, as raw float32: random access, nothing held in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import numpy as np

from dsp.blocks import Block

SAMPLE_BYTES = 4


class FileClip:
    """A decoded recording, read block by block with `pread`: any number of threads may read at once.

    On disk it is raw little-endian float32, interleaved, of 1 or 2 channels; mono goes to both. It is never mapped into
    memory, since its pages would count as this process's. The file is open only while it is read, since a script has
    as many clips as sentences, and a process may have about a thousand files open.
    """

    def __init__(self, path: Path, *, channels: int) -> None:
        if channels not in (1, 2):
            raise ValueError(f"channels is {channels}; 1 or 2 are allowed")
        self.path = path
        self.channels = channels
        self._closed = False
        self._frame_bytes = SAMPLE_BYTES * channels
        self._frames = path.stat().st_size // self._frame_bytes

    @property
    def frames(self) -> int:
        """Length in frames at the rate it was decoded to."""
        return self._frames

    def read(self, start: int, stop: int, out: Block | None = None) -> Block:
        """Read frames `[start, stop)`; requires ``0 <= start <= stop <= frames``.

        Parameters
        ----------
        out : float32 array, shape (stop - start, 2), contiguous, optional
            Where to; a new one by default, which is the caller's own.

        Raises
        ------
        ValueError
            If the span is not inside the clip, or the clip is closed.
        """
        if not 0 <= start <= stop <= self._frames:
            raise ValueError(f"frames {start} to {stop} of a clip of {self._frames}")
        if self._closed:
            raise ValueError("the clip is closed")
        both: Block = np.empty((stop - start, 2), np.float32) if out is None else out
        samples = both if self.channels == 2 else np.empty((stop - start, 1), np.float32)
        view = samples.data.cast("B") if samples.size else memoryview(b"")
        if view:
            self._read_into(view, start * self._frame_bytes)
        if self.channels == 1:
            both[:, 0] = both[:, 1] = samples[:, 0]  # one by one: far faster than to broadcast a column
        return both

    def _read_into(self, view: memoryview, offset: int) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while view:
                done = os.preadv(descriptor, [view], offset)
                if done == 0:
                    raise ValueError(f"{self.path.name} was cut short while it was in use")
                view, offset = view[done:], offset + done
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """End reading; the file stays on disk."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
