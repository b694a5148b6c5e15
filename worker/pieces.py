"""A track cut into pieces that are encoded side by side and join without a trace.

An encoder remembers a little of what went before. So each piece but the first is started some frames early
and those frames are dropped; each but the last is fed a little beyond its end. Where the pieces are cut
depends on the length of the track alone, so the file is the same however many are encoded at once.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from dsp.blocks import Block
from worker.errors import TransientError
from worker.ffmpeg import Ffmpeg
from worker.pipe import Pipe
from worker.tags import Tags

PieceT = TypeVar("PieceT")
ResultT = TypeVar("ResultT")

Pcm = Callable[[int, int], Iterator[Block]]
"""Finished PCM of any stretch [start, stop), as float32 blocks of any length; called from several threads."""

_LOOK_SECONDS = 0.2
_LEAST_RUN_UPS = 4  # what is left over for a last piece is worth one of its own only if longer


@dataclass(frozen=True)
class Coder:
    """How one encoder is run, and what its frames need to join.

    Parameters
    ----------
    arguments : tuple of str
        FFmpeg's, for raw float32 stereo from standard input to bare frames on standard output.
    split : callable
        Cuts those bytes into frames.
    frame_samples : int
        PCM frames in one coded frame.
    run_up, run_on : int
        Coded frames that a piece is started early and fed beyond its end.
    align : int
        Pieces start at multiples of so many coded frames.
    longest, shortest : int
        Coded frames in a piece; a track of less than twice the shortest is encoded in one.
    """

    arguments: tuple[str, ...]
    split: Callable[[bytes], list[bytes]]
    frame_samples: int
    run_up: int
    run_on: int
    align: int
    longest: int
    shortest: int


@dataclass(frozen=True)
class Piece:
    """PCM frames [start, stop): `drop` coded frames are left out, then `keep` are kept (None: the rest)."""

    start: int
    stop: int
    drop: int
    keep: int | None


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


def cut(frames: int, coder: Coder) -> tuple[Piece, ...]:
    """Cut a track of `frames` PCM frames; what is kept of all pieces together is one encoding of it."""
    coded = math.ceil(frames / coder.frame_samples)
    if coded < 2 * coder.shortest:
        return (Piece(0, frames, 0, None),)
    # A multiple of four shares out evenly over two or four cores.
    count = 4 * math.ceil(coded / coder.longest / 4)
    length = max(math.ceil(coded / count), coder.shortest)
    length = coder.align * math.ceil(length / coder.align)
    pieces = []
    for first in range(0, coded, length):
        last = coded - (first + length) < _LEAST_RUN_UPS * coder.run_up
        pieces.append(
            Piece(
                start=first * coder.frame_samples,
                stop=frames if last else (first + length + coder.run_up + coder.run_on) * coder.frame_samples,
                drop=coder.run_up if first else 0,
                keep=None if last else length + (0 if first else coder.run_up),
            )
        )
        if last:
            break
    return tuple(pieces)


def encode_pieces(track: Track, pieces: Sequence[Piece], coder: Coder) -> Iterator[list[bytes]]:
    """Encode the pieces of a track, several at a time.

    Yields
    ------
    frames : list of bytes
        Each piece's coded frames, in order.

    Raises
    ------
    WorkerError
        If an encoder fails. Whatever `pcm` or `on_progress` raises comes through; no process or thread is
        left.
    """
    work, total = _Work(track, coder), sum(piece.stop - piece.start for piece in pieces)

    def tell() -> None:
        if track.on_progress is not None:
            track.on_progress(track.frames * work.taken // total)

    return side_by_side(pieces, work.encode, threads=track.threads, while_waiting=tell, at_the_end=work.stop)


def side_by_side(
    pieces: Sequence[PieceT],
    work: Callable[[PieceT], ResultT],
    *,
    threads: int,
    while_waiting: Callable[[], None] | None = None,
    at_the_end: Callable[[], None] | None = None,
) -> Iterator[ResultT]:
    """Work on several pieces at a time, and give the results in order.

    Parameters
    ----------
    pieces : sequence
    work : callable
        Called with each piece, from several threads.
    threads : int
    while_waiting : callable, optional
        Called a few times a second by the thread that iterates; what it raises ends the work.
    at_the_end : callable, optional
        Called before the threads are joined, however the iteration ends: makes the work that still runs stop.

    Yields
    ------
    result
        As many as there are pieces; no more than two for each thread are in memory at a time.
    """
    threads = max(1, min(threads, len(pieces)))
    todo = deque(pieces)
    doing: deque[Future[ResultT]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="piece")
    try:
        while todo or doing:
            while todo and len(doing) <= threads:  # one more than can run, so that none waits for the reader
                doing.append(pool.submit(work, todo.popleft()))
            while not doing[0].done():
                wait([doing[0]], timeout=_LOOK_SECONDS)
                if while_waiting is not None:
                    while_waiting()
            yield doing.popleft().result()
    finally:
        if at_the_end is not None:
            at_the_end()
        pool.shutdown(wait=True, cancel_futures=True)


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

    def encode(self, piece: Piece) -> list[bytes]:
        """Encode one piece and keep what is wanted of it."""
        with self._process() as pipe:
            for block in self._track.pcm(piece.start, piece.stop):
                if self._stopped:
                    raise _Stopped
                pipe.write(np.ascontiguousarray(block, "<f4").data)
                with self._lock:
                    self.taken += len(block)
            data = pipe.finish()
        frames = self._coder.split(data)[piece.drop :]
        if piece.keep is not None and len(frames) < piece.keep:
            raise TransientError(
                f"FFmpeg gave {len(frames)} of {piece.keep} coded frames", code="ffmpeg.failed"
            )
        return frames[: piece.keep]

    @contextmanager
    def _process(self) -> Iterator[Pipe]:
        with Pipe(self._track.ffmpeg, self._coder.arguments, feed=True, collect=True) as pipe:
            with self._lock:
                if self._stopped:
                    raise _Stopped
                self._running.add(pipe)
            try:
                yield pipe
            finally:
                with self._lock:
                    self._running.discard(pipe)
