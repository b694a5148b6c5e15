"""Recorded sound on the track's time line: pieces of speech where they are placed, and music that loops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, Clip, amplify


@dataclass(frozen=True)
class Placed:
    """Clips at given frames, with silence between them.

    Raises `ValueError` if the lengths differ or a placement begins before the one before it has ended.

    Parameters
    ----------
    starts : tuple of int
        First frame of each placement, increasing.
    which : tuple of int
        Index into `clips` of each placement. Placements must not overlap.
    """

    clips: tuple[Clip, ...]
    starts: tuple[int, ...]
    which: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.which):
            raise ValueError(f"{len(self.starts)} starts for {len(self.which)} placements; as many of each")
        if len(self.starts) > 1 and bool(np.any(self._stops[:-1] > self._starts[1:])):
            raise ValueError("placements overlap; each must end before the next begins")

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.array(self.starts, dtype=np.int64)

    @cached_property
    def _stops(self) -> NDArray[np.int64]:
        return self._starts + np.array([self.clips[index].frames for index in self.which], dtype=np.int64)

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        block = np.zeros((stop - start, 2), np.float32)
        first = int(np.searchsorted(self._stops, start, side="right"))
        last = int(np.searchsorted(self._starts, stop, side="left"))
        for number in range(first, last):
            begins = self.starts[number]
            clip = self.clips[self.which[number]]
            here, there = max(start, begins), min(stop, begins + clip.frames)
            if here < there:
                clip.read(here - begins, there - begins, block[here - start : there - start])
        return block

    def silent(self, start: int, stop: int) -> bool:
        """Whether nothing is placed within `[start, stop)`."""
        return bool(np.searchsorted(self._stops, start, "right") >= np.searchsorted(self._starts, stop, "left"))


@dataclass(frozen=True)
class Looped:
    """A clip over and over, each end crossfaded at equal power into the next beginning.

    The first pass starts clean at frame 0; the clip begins again every ``clip.frames - crossfade_frames``. A track
    no longer than the clip has it once, without a seam.

    Parameters
    ----------
    clip : Clip
        At least one frame.
    crossfade_frames : int
        At least 0 and at most half the clip.
    """

    clip: Clip
    crossfade_frames: int

    def __post_init__(self) -> None:
        if self.clip.frames < 1:
            raise ValueError("a loop needs a clip of at least 1 frame; this one has 0")
        if not 0 <= self.crossfade_frames <= self.clip.frames // 2:
            raise ValueError(
                f"crossfade of {self.crossfade_frames} frames; 0 to half the clip ({self.clip.frames // 2}) is allowed"
            )

    @property
    def period_frames(self) -> int:
        """Distance from one pass to the next."""
        return self.clip.frames - self.crossfade_frames

    @cached_property
    def _rise(self) -> NDArray[np.float32]:
        """Gains of a beginning in the crossfade; backwards they are those of the end."""
        angle = (np.pi / 2) * (np.arange(self.crossfade_frames) + 0.5) / self.crossfade_frames
        return np.sin(angle).astype(np.float32)

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        block = np.empty((stop - start, 2), np.float32)
        frame = start
        while frame < stop:
            number, offset = divmod(frame, self.period_frames)
            in_seam = number > 0 and offset < self.crossfade_frames
            until = self.crossfade_frames if in_seam else self.period_frames
            last = min(stop, frame + until - offset)
            samples = self.clip.read(offset, offset + last - frame, block[frame - start : last - start])
            if in_seam:
                seam = slice(offset, offset + last - frame)
                ending = np.empty_like(samples)
                self.clip.read(self.period_frames + seam.start, self.period_frames + seam.stop, ending)
                amplify(samples, self._rise[seam])
                samples += amplify(ending, self._rise[::-1][seam])
            frame = last
        return block
