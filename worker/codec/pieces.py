"""A track cut into pieces that are encoded side by side and join without a trace.

An encoder remembers a little of what went before. So each piece but the first is started some frames early
and those frames are dropped; each but the last is fed a little beyond its end. Where the pieces are cut
depends on the length of the track alone, so the file is the same however many are encoded at once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from dsp.blocks import Block
from worker.codec.ffmpeg import Ffmpeg
from worker.codec.parallel import side_by_side
from worker.codec.pcm import PCM_INPUT, endless_wav
from worker.codec.pipe import Pipe
from worker.codec.tags import Tags
from worker.errors import TransientError

Pcm = Callable[[int, int], Iterator[Block]]
"""Finished PCM of any stretch [start, stop), as float32 blocks of any length; called from several threads."""

Frame = bytes | memoryview
"""One coded frame."""

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
        ``decode(ffmpeg, coded, skip)`` gives the sound of coded frames, the first `skip` PCM frames left out.
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
    longest, shortest : int
        Coded frames in a piece; a track of less than twice the shortest is encoded in one. Those at the end may be
        shorter.
    shares : tuple of int
        Proportions of the last pieces, the largest first; those before are as long as the first of these. Encoders
        cost something to start, so there should be few, but the last should be short and all cores end at a time.
    """

    arguments: tuple[str, ...]
    split: Callable[[bytes], list[memoryview]]
    decode: Callable[[Ffmpeg, Sequence[Frame], int], Iterator[Block]]
    frame_samples: int
    delay: int
    run_up: int
    run_on: int
    overlap: int
    align: int
    longest: int
    shortest: int
    shares: tuple[int, ...]

    def coded_frames(self, frames: int) -> int:
        """Count the coded frames that hold a track of `frames` PCM frames; two at least, or readers see no stream."""
        return max(2, -(-(self.delay + frames) // self.frame_samples))


@dataclass(frozen=True)
class Piece:
    """PCM frames [start, stop) to encode; `drop` coded frames are left out, then `keep` are kept."""

    start: int
    stop: int
    drop: int
    keep: int


def cut(frames: int, coder: Coder) -> tuple[Piece, ...]:
    """Cut a track of `frames` PCM frames; what is kept of all pieces together is one encoding of it."""
    coded = coder.coded_frames(frames)
    if coded < 2 * coder.shortest:
        return (Piece(0, frames, 0, coded),)
    pieces, first = [], 0
    for length in _lengths(coded, coder):
        drop = coder.run_up if first else 0
        stop = first + length + coder.run_up
        if coded - stop < _LEAST_RUN_UPS * coder.run_up:
            stop = coded
        pieces.append(_piece(first, drop, stop, frames, coder))
        if stop == coded:
            break
        first += length
    return tuple(pieces)


def _lengths(coded: int, coder: Coder) -> Iterator[int]:
    """Lengths in coded frames, multiples of `align`, that cover so many."""
    largest = coder.shares[0]
    more = max(0, math.ceil(coded / coder.longest - sum(coder.shares) / largest))
    shares = (largest,) * more + coder.shares
    unit = coded / sum(shares)
    if unit * shares[-1] < coder.shortest / 2:  # then all have the same length
        unit, shares = max(coded / len(coder.shares), coder.shortest), (1,) * len(coder.shares)
    for share in shares:
        yield coder.align * math.ceil(unit * share / coder.align)


def _piece(begin: int, drop: int, stop: int, frames: int, coder: Coder) -> Piece:
    """Make the piece that is encoded from coded frame `begin` and kept up to `stop`."""
    last = min(frames, (stop + coder.run_on) * coder.frame_samples)
    return Piece(begin * coder.frame_samples, last, drop, stop - begin - drop)


def encode_pieces(track: Track, coder: Coder) -> Iterator[list[memoryview]]:
    """Encode a track piece by piece, several at a time; what is written of one is heard before the next.

    Yields
    ------
    frames : list of memoryview
        Each piece's coded frames, in order.

    Raises
    ------
    WorkerError
        If an encoder fails. Whatever the track's functions raise comes through; no process or thread is left.
    """
    pieces = cut(track.frames, coder)
    work, total = _Work(track, coder), sum(piece.stop - piece.start for piece in pieces)

    def tell() -> None:
        if track.on_progress is not None:
            track.on_progress(track.frames * work.taken // total)

    before: list[Frame] = []  # the last frames of the piece before
    heard = 0
    for coded in side_by_side(pieces, work.encode, threads=track.threads, while_waiting=tell, at_the_end=work.stop):
        yield coded
        if track.on_decoded is not None:
            skip = len(before) * coder.frame_samples if before else coder.delay
            for block in coder.decode(track.ffmpeg, [*before, *coded], skip):
                wanted = block[: track.frames - heard]
                heard += len(wanted)
                track.on_decoded(wanted)
        before = [bytes(frame) for frame in coded[-coder.overlap :]]  # copies, which do not hold on to the piece
        del coded  # not kept while the next is waited for


def try_stretch(track: Track, coder: Coder, start: int, stop: int) -> Iterator[Block]:
    """Encode PCM frames [start, stop) as a part of the whole, and decode them.

    Yields
    ------
    block : float32 array, shape (frames, 2)
        ``stop - start`` frames in total.
    """
    first = max(0, (start + coder.delay) // coder.frame_samples - coder.overlap)
    begin = max(0, first - coder.run_up) // coder.align * coder.align
    last = (stop - 1 + coder.delay) // coder.frame_samples + 1
    coded = _Work(track, coder).encode(_piece(begin, first - begin, last, track.frames, coder))
    wanted = stop - start
    for block in coder.decode(track.ffmpeg, coded, start + coder.delay - first * coder.frame_samples):
        yield block[:wanted]
        wanted -= min(wanted, len(block))


class _Stopped(Exception):  # noqa: N818 - nobody sees it: the piece is not wanted any more
    pass


class _Work:
    """What the encoding threads share: the count of frames taken in, and the order to stop."""

    def __init__(self, track: Track, coder: Coder) -> None:
        self._track = track
        self._coder = coder
        self._lock = threading.Lock()
        self._running: set[Pipe] = set()
        self._stopped = False
        self.taken = 0

    def stop(self) -> None:
        """End all processes now, and with them the threads that wait for them."""
        with self._lock:
            self._stopped = True
            for pipe in self._running:
                pipe.kill()

    def encode(self, piece: Piece) -> list[memoryview]:
        """Encode one piece and keep what is wanted of it."""
        with self._process() as pipe:
            pipe.write(endless_wav(self._track.sample_rate))
            for block in self._track.pcm(piece.start, piece.stop):
                if self._stopped:
                    raise _Stopped
                if not len(block):
                    continue
                pipe.write(np.ascontiguousarray(block, "<f4").data)
                with self._lock:
                    self.taken += len(block)
            data = pipe.finish()
        kept = self._coder.split(data)[piece.drop : piece.drop + piece.keep]
        if len(kept) < piece.keep:
            raise TransientError(f"FFmpeg gave {len(kept)} of {piece.keep} coded frames", code="ffmpeg.failed")
        return kept

    @contextmanager
    def _process(self) -> Iterator[Pipe]:
        with Pipe(self._track.ffmpeg, (*PCM_INPUT, *self._coder.arguments), feed=True, collect=True) as pipe:
            with self._lock:
                if self._stopped:
                    raise _Stopped
                self._running.add(pipe)
            try:
                yield pipe
            finally:
                with self._lock:
                    self._running.discard(pipe)
