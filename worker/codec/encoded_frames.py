"""Encoded frames, one after another in one buffer: cutting, joining and writing them copies none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

Frame = bytes | memoryview
"""One encoded frame."""


@dataclass(frozen=True)
class EncodedFrames:
    """Some frames of a stream.

    Attributes
    ----------
    data : bytes or memoryview
    sizes : sequence of int
        Bytes of each frame; they add up to the length of `data`.
    """

    data: bytes | memoryview
    sizes: Sequence[int]

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for size, end in zip(self.sizes, accumulate(self.sizes), strict=True):
            yield view[end - size : end]

    def part(self, first: int, stop: int) -> EncodedFrames:
        """Frames `[first, stop)`, as far as there are any, as a view."""
        sizes = self.sizes[first:stop]
        begin = sum(self.sizes[:first])
        return EncodedFrames(memoryview(self.data)[begin : begin + sum(sizes)], sizes)

    def last(self, count: int) -> EncodedFrames:
        """A copy of the last frames, which does not hold on to the others."""
        part = self.part(max(0, len(self) - count), len(self))
        return EncodedFrames(bytes(part.data), part.sizes)


def split(data: bytes, size_at: Callable[[bytes, int], int | None], name: str) -> EncodedFrames:
    """Cut a stream into its frames.

    Parameters
    ----------
    data : bytes
    size_at : callable
        ``size_at(data, at)``: bytes of the frame whose header is at byte `at`; None where there is no header.
    name : str
        Of such frames, for the error.

    Raises
    ------
    ValueError
        If anything but whole frames is in `data`.
    """
    sizes, at = [], 0
    while at < len(data):
        size = size_at(data, at)
        if size is None or at + size > len(data):
            raise ValueError(f"no whole {name} frame at byte {at} of {len(data)}")
        sizes.append(size)
        at += size
    return EncodedFrames(data, sizes)
