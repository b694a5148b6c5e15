"""A track cut into pieces that are encoded side by side and join without a trace.

An encoder remembers a little of what went before. So each piece but the first is started some frames early
and those frames are dropped; each but the last is fed a little beyond its end. Where the pieces are cut
depends on the length of the track alone, so the file is the same however many are encoded at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from dsp.blocks import Block
from worker.codec.coded import EncodedFrames
from worker.codec.tags import Tags
from worker.ffmpeg.program import Ffmpeg

Pcm = Callable[[int, int], Iterator[Block]]
"""Finished PCM of any stretch [start, stop), as float32 blocks of any length; called from several threads."""

_LEAST_RUN_UPS = 2  # what is left over at the end is worth a piece of its own only if longer


@dataclass(frozen=True)
class Track:
    """What is written, and how.

    Parameters
    ----------
    pcm : Pcm
    frames : int
        At least 1.
    sample_rate : int
        In Hz.
    tags : Tags
    ffmpeg : Ffmpeg
    threads : int
        Pieces rendered and encoded at a time.
    on_progress : callable or None
        Called with the number of PCM frames taken in so far.
    on_decoded : callable or None
        Called with the sound of the written file, decoded, block by block and in order, while later pieces
        are still being encoded. Both are called by the thread that writes; what they raise ends the work.
    """

    pcm: Pcm
    frames: int
    sample_rate: int
    tags: Tags
    ffmpeg: Ffmpeg
    threads: int = 1
    on_progress: Callable[[int], None] | None = None
    on_decoded: Callable[[Block], None] | None = None


@dataclass(frozen=True)
class Coder:
    """How one encoder is run, and what its frames need to join.

    Parameters
    ----------
    arguments : tuple of str
        FFmpeg's, for its output: bare frames on standard output.
    split : callable
        Cuts those bytes into frames.
    decode : callable
        ``decode(ffmpeg, parts, skip)`` gives the sound of coded frames, the first `skip` PCM frames left out. It may
        empty the list of parts, to let go of them.
    frame_samples : int
        PCM frames in one coded frame.
    delay : int
        PCM frames by which the decoded sound is late.
    run_up, run_on : int
        Coded frames that a piece is started early and fed beyond its end.
    overlap : int
        Coded frames that must be decoded before one that is to come out right.
    align : int
        Pieces start at multiples of so many coded frames.
    rest : int
        Coded frames of silence, a multiple of `align`, after which the encoder is as new, so that it can take the next
        piece; 0 where it never is, and each piece takes an encoder of its own.
    align_bytes : int
        Of `align` coded frames, where there is a rest.
    longest, shortest : int
        Coded frames in a piece; a track of less than twice the shortest is encoded in one. Those at the end may be
        shorter.
    shares : tuple of int
        Proportions of the last pieces, the largest first; those before are as long as the first of these, and where the
        last would be less than half of the shortest, they are left out. Each piece costs something, so there should be
        few, but the last should be short and all cores end at a time.
    """

    arguments: tuple[str, ...]
    split: Callable[[bytes], EncodedFrames]
    decode: Callable[[Ffmpeg, list[EncodedFrames], int], Iterator[Block]]
    frame_samples: int
    delay: int
    run_up: int
    run_on: int
    overlap: int
    align: int
    longest: int
    shortest: int
    shares: tuple[int, ...]
    rest: int = 0
    align_bytes: int = 0

    def coded_frames(self, frames: int) -> int:
        """Count the coded frames that hold a track of `frames` PCM frames; two at least, or readers see no stream."""
        return max(2, -(-(self.delay + frames) // self.frame_samples))

    def aligned(self, coded_frames: int) -> int:
        """Round a number of coded frames up to a multiple of `align`."""
        return -(-coded_frames // self.align) * self.align


@dataclass(frozen=True)
class Segment:
    """PCM frames [start, stop) to encode; `drop` coded frames are left out, then `keep` are kept."""

    start: int
    stop: int
    drop: int
    keep: int


def cut(frames: int, coder: Coder) -> tuple[Segment, ...]:
    """Cut a track of `frames` PCM frames; what is kept of all pieces together is one encoding of it."""
    coded = coder.coded_frames(frames)
    if coded < 2 * coder.shortest:
        return (Segment(0, frames, 0, coded),)
    pieces, first = [], 0
    for length in _lengths(coded, coder):
        drop = coder.run_up if first else 0
        stop = first + length + coder.run_up
        if coded - stop < _LEAST_RUN_UPS * coder.run_up:
            stop = coded
        pieces.append(segment_of(first, drop, stop, frames, coder))
        if stop == coded:
            break
        first += length
    return tuple(pieces)


def _lengths(coded: int, coder: Coder) -> Iterator[int]:
    """Lengths in coded frames, multiples of `align`, that cover so many."""
    largest, last = coder.shares[0], coder.shares
    while True:
        more = max(0, math.ceil(coded / coder.longest - sum(last) / largest))
        shares = (largest,) * more + last
        unit = coded / sum(shares)
        if unit * last[-1] >= coder.shortest / 2 or len(last) == 2:
            break
        last = last[:-2]
    ends = [coder.align * round(unit * total / coder.align) for total in accumulate(shares[:-1], initial=0)]
    yield from (stop - start for start, stop in pairwise([*ends, coder.aligned(coded)]))


def segment_of(begin: int, drop: int, stop: int, frames: int, coder: Coder) -> Segment:
    """Make the piece that is encoded from coded frame `begin` and kept up to `stop`."""
    last = min(frames, (stop + coder.run_on) * coder.frame_samples)
    return Segment(begin * coder.frame_samples, last, drop, stop - begin - drop)
