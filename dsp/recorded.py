"""Recorded sound on the track's time line: pieces of speech where they are placed, and music that loops."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
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
        block = np.empty((stop - start, 2), np.float32)
        first = int(np.searchsorted(self._stops, start, side="right"))
        last = int(np.searchsorted(self._starts, stop, side="left"))
        silent_from = start
        for number in range(first, last):
            begins = self.starts[number]
            clip = self.clips[self.which[number]]
            here, there = max(start, begins), min(stop, begins + clip.frames)
            if here < there:
                block[silent_from - start : here - start] = 0.0
                clip.read(here - begins, there - begins, block[here - start : there - start])
                silent_from = there
        block[silent_from - start :] = 0.0
        return block

    def silent(self, start: int, stop: int) -> bool:
        """Whether nothing is placed within `[start, stop)`."""
        return bool(np.searchsorted(self._stops, start, "right") >= np.searchsorted(self._starts, stop, "left"))


@dataclass(frozen=True)
class Looped:
    """A clip from its beginning, a part of it over and over; each end of that part is crossfaded into its beginning.

    All before ``stop - crossfade_frames`` is heard once as it is. From there on the part begins again every
    `period_frames`. A track that ends before has no seam.

    Parameters
    ----------
    clip : Clip
        At least one frame.
    crossfade_frames : int
        At least 0 and at most half the part.
    start, stop : int
        The part, in frames of the clip; the whole clip by default.
    likeness : float
        Correlation of the two sounds of the crossfade, above -1 and up to 1: the more alike they are, the less of both
        is taken, so that their sum keeps the power. At 0 these are the gains for sounds that have nothing in common.
    """

    clip: Clip
    crossfade_frames: int
    _: KW_ONLY
    start: int = 0
    stop: int = -1
    likeness: float = 0.0

    def __post_init__(self) -> None:
        if self.clip.frames < 1:
            raise ValueError("a loop needs a clip of at least 1 frame; this one has 0")
        if self.stop == -1:
            object.__setattr__(self, "stop", self.clip.frames)
        if not 0 <= self.start < self.stop <= self.clip.frames:
            raise ValueError(f"a loop of frames {self.start} to {self.stop} of a clip of {self.clip.frames} frames")
        half = (self.stop - self.start) // 2
        if not 0 <= self.crossfade_frames <= half:
            raise ValueError(f"crossfade of {self.crossfade_frames} frames; 0 to half the loop ({half}) is allowed")
        if not -1.0 < self.likeness <= 1.0:
            raise ValueError(f"likeness is {self.likeness}; above -1 and up to 1 is allowed")

    @property
    def period_frames(self) -> int:
        """Distance from one pass to the next."""
        return self.stop - self.start - self.crossfade_frames

    @property
    def first_seam(self) -> int:
        """Frame of the track where the first crossfade begins; the next ones follow every `period_frames`."""
        return self.stop - self.crossfade_frames

    @cached_property
    def _rise(self) -> NDArray[np.float32]:
        """Gains of a beginning in the crossfade; backwards they are those of the end."""
        angle = (np.pi / 2) * (np.arange(self.crossfade_frames) + 0.5) / self.crossfade_frames
        # the power of the sum of both is 1 + likeness * 2 sin cos
        return (np.sin(angle) / np.sqrt(1.0 + self.likeness * np.sin(2.0 * angle))).astype(np.float32)

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        block = np.empty((stop - start, 2), np.float32)
        frame = start
        while frame < stop:
            number, offset = divmod(frame - self.first_seam, self.period_frames)
            in_seam = number >= 0 and offset < self.crossfade_frames
            if number < 0:
                at, last = frame, min(stop, self.first_seam)
            else:
                until = self.crossfade_frames if in_seam else self.period_frames
                at, last = self.start + offset, min(stop, frame + until - offset)
            samples = self.clip.read(at, at + last - frame, block[frame - start : last - start])
            if in_seam:
                seam = slice(offset, offset + last - frame)
                ending = np.empty_like(samples)
                self.clip.read(self.first_seam + seam.start, self.first_seam + seam.stop, ending)
                amplify(samples, self._rise[seam])
                samples += amplify(ending, self._rise[::-1][seam])
            frame = last
        return block
