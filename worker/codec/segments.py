"""A track cut into segments that are encoded side by side and join without a trace.

An encoder remembers a little of what went before. So each segment but the first is encoded with a preroll that is
dropped, and each but the last with a postroll. Where frames lean on those before, neighbours have some frames in
common, and are joined within them. Where a track is cut depends on its length alone, so the file is the same however
many segments are encoded at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block, spans
from worker.codec.frames import EncodedFrames
from worker.codec.parallel import parallel_map
from worker.codec.tags import Tags
from worker.ffmpeg.program import Ffmpeg

Pcm = Callable[[int, int], Iterator[Block]]
"""Finished PCM of frames [start, stop), as float32 blocks of any length; called from several threads."""

_LEAST_PREROLLS = 2  # a remainder shorter than so many, shared frames included, is no segment of its own
_SPAN_FRAMES = 4 * BLOCK_FRAMES  # of a lossless track that one thread renders at a time


@dataclass(frozen=True)
class Track:
    """A track to write, and the means.

    Parameters
    ----------
    frames : int
        At least 1.
    sample_rate : int
        In Hz.
    threads : int
        Segments rendered and encoded at a time; the file does not depend on it.
    on_progress : callable
        Called with the number of PCM frames taken in so far.
    on_decoded : callable or None
        Called with the sound of the written file, decoded: float32 blocks that add up to the track, in order, while
        later segments are still being encoded. Both are called by the thread that writes; what they raise ends the
        work.
    first_frame : int
        Where this begins in a longer track, so that its dither is that of the whole; its PCM counts from 0.
    """

    pcm: Pcm
    frames: int
    sample_rate: int
    tags: Tags
    ffmpeg: Ffmpeg
    threads: int = 1
    on_progress: Callable[[int], None] = lambda _: None
    on_decoded: Callable[[Block], None] | None = None
    first_frame: int = 0


@dataclass(frozen=True)
class SegmentCoder:
    """How one encoder is run, and what its frames need to join.

    Parameters
    ----------
    arguments : tuple of str
        FFmpeg's, for its output: bare frames on standard output.
    decode : callable
        ``decode(ffmpeg, parts, skip)`` gives the sound of encoded frames without the first `skip` PCM frames. It may
        empty the list of parts, to let go of them.
    frame_samples : int
        PCM frames in one encoded frame.
    delay : int
        PCM frames by which the decoded sound is late.
    preroll, postroll : int
        Encoded frames before and after a segment that are dropped.
    shared : int
        Encoded frames that a segment gives beyond its end, and the next one from its start: `join` chooses among them.
    join : callable
        ``join(before, after)`` puts a segment behind the one before it, of which it gets the shared frames; returns
        them and the segment as one, or None where the two do not fit: then the segment is encoded with all of the
        one before as its preroll.
    overlap : int
        Encoded frames that must be decoded before one that is to come out right.
    align : int
        Segments start at multiples of so many encoded frames.
    longest, shortest : int
        Encoded frames in a segment; a track of less than twice the shortest is one segment. Those at the end may be
        shorter.
    weights : tuple of int
        Proportions of the last segments, the largest first; those before are as long as the first of these, and where
        the last would be less than half of the shortest, they are left out. Each segment costs something, so there
        should be few, but the last should be short, so that all cores end at the same time.
    flush : int
        Encoded frames of silence, a multiple of `align`, that make the encoder as new for the next segment; 0 where
        nothing does, and each segment takes an encoder of its own.
    align_bytes : int
        Of `align` encoded frames, where there is a flush.
    """

    arguments: tuple[str, ...]
    split: Callable[[bytes], EncodedFrames]
    decode: Callable[[Ffmpeg, list[EncodedFrames], int], Iterator[Block]]
    frame_samples: int
    delay: int
    preroll: int
    postroll: int
    overlap: int
    align: int
    longest: int
    shortest: int
    weights: tuple[int, ...]
    flush: int = 0
    align_bytes: int = 0
    shared: int = 0
    join: Callable[[EncodedFrames, EncodedFrames], EncodedFrames | None] = lambda _, after: after

    def encoded_frame_count(self, frames: int) -> int:
        """Count the encoded frames that hold a track of `frames` PCM frames; at least 2, or readers see no stream."""
        return max(2, -(-(self.delay + frames) // self.frame_samples))

    def aligned(self, encoded_frames: int) -> int:
        """Round a number of encoded frames up to a multiple of `align`."""
        return -(-encoded_frames // self.align) * self.align


@dataclass(frozen=True)
class Segment:
    """PCM frames [start, stop) to encode: `drop` encoded frames are left out, then come `keep`, and `shared` more."""

    start: int
    stop: int
    drop: int
    keep: int
    shared: int = 0

    def behind(self, other: Segment) -> Segment:
        """The same with all of another segment before it, so that its encoder comes to it as the other's did."""
        return replace(self, start=other.start, drop=other.drop + other.keep)


def cut(frames: int, coder: SegmentCoder) -> tuple[Segment, ...]:
    """Cut a track of `frames` PCM frames; the kept frames of all segments together are one encoding of it."""
    count = coder.encoded_frame_count(frames)
    if count < 2 * coder.shortest:
        return (Segment(0, frames, 0, count),)
    segments, first = [], 0
    for length in _lengths(count, coder):
        drop = coder.preroll if first else 0
        stop = first + length + coder.preroll
        if count - stop < _LEAST_PREROLLS * (coder.preroll + coder.shared):
            stop = count
        last = min(frames, (stop + coder.postroll) * coder.frame_samples)
        shared = coder.shared if stop < count else 0
        segments.append(Segment(first * coder.frame_samples, last, drop, stop - first - drop, shared))
        if stop == count:
            break
        first += length
    return tuple(segments)


def _lengths(count: int, coder: SegmentCoder) -> Iterator[int]:
    """Lengths in encoded frames, multiples of `align`, that cover so many."""
    largest, last = coder.weights[0], coder.weights
    while True:
        more = max(0, math.ceil(count / coder.longest - sum(last) / largest))
        weights = (largest,) * more + last
        unit = count / sum(weights)
        if unit * last[-1] >= coder.shortest / 2 or len(last) == 2:
            break
        last = last[:-2]
    ends = [coder.align * round(unit * total / coder.align) for total in accumulate(weights[:-1], initial=0)]
    yield from (stop - start for start, stop in pairwise([*ends, coder.aligned(count)]))


def converted_blocks(track: Track, convert: Callable[[Block, int], NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Render a track in spans of twelve seconds side by side, and give its converted blocks in order.

    ``convert(block, start)`` is called from several threads, never with an empty block; `start` is a frame of the
    whole track.
    """

    def converted(span: tuple[int, int]) -> list[NDArray[Any]]:
        start, blocks = track.first_frame + span[0], []
        for block in track.pcm(*span):
            if len(block):
                blocks.append(convert(block, start))
                start += len(block)
        return blocks

    done = 0
    for blocks in parallel_map(list(spans(0, track.frames, _SPAN_FRAMES)), converted, threads=track.threads):
        for block in blocks:
            yield block
            done += len(block)
        track.on_progress(done)
