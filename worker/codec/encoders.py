"""The encoders that a track's pieces go through, side by side; and what they gave, decoded again.

To start an FFmpeg of many libraries takes as long as to encode some ten seconds. So an encoder takes piece after
piece where silence between them makes it forget what it had before: what it gives is then, byte for byte, what a new
one would give, and the file does not depend on how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np

from dsp.blocks import Block
from worker.codec.coded import EncodedFrames
from worker.codec.encoder import FRAME_BYTES, encoder
from worker.codec.parallel import parallel_map
from worker.codec.pieces import Coder, Segment, Track, cut, segment_of
from worker.errors import TransientError
from worker.ffmpeg.pipe import Pipe

_SILENCE = bytes(1 << 16)


def encode_segments(track: Track, coder: Coder) -> Iterator[EncodedFrames]:
    """Encode a track piece by piece, several at a time; what is written of one is heard before the next.

    Yields
    ------
    coded : Coded
        The frames of each piece, in order.

    Raises
    ------
    WorkerError
        If an encoder fails. Whatever the track's functions raise comes through; no process or thread is left.
    """
    pieces = cut(track.frames, coder)
    total = sum(piece.stop - piece.start for piece in pieces)
    before: list[EncodedFrames] = []  # the last frames of the piece before
    heard = 0
    with Encoders(track, coder, pieces=len(pieces)) as encoders:

        def tell() -> None:
            if track.on_progress is not None:
                track.on_progress(track.frames * encoders.taken // total)

        for coded in parallel_map(
            pieces, encoders.encode, threads=track.threads, while_waiting=tell, at_the_end=encoders.stop
        ):
            yield coded
            parts = [*before, coded]
            skip = len(before[0]) * coder.frame_samples if before else coder.delay
            before = [coded.last(coder.overlap)]
            del coded  # not kept while the next is waited for
            if track.on_decoded is not None:
                for block in coder.decode(track.ffmpeg, parts, skip):
                    wanted = block[: track.frames - heard]
                    heard += len(wanted)
                    with encoders.turn:
                        track.on_decoded(wanted)
            parts.clear()


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
    with Encoders(track, coder, pieces=1) as encoders:
        coded = encoders.encode(segment_of(begin, first - begin, last, track.frames, coder))
    wanted = stop - start
    for block in coder.decode(track.ffmpeg, [coded], start + coder.delay - first * coder.frame_samples):
        yield block[:wanted]
        wanted -= min(wanted, len(block))


class _Stopped(Exception):  # noqa: N818 - nobody sees it: the piece is not wanted any more
    pass


class Encoders:
    """The encoders of one track; a context manager that leaves none behind.

    Parameters
    ----------
    track : Track
    coder : Coder
    pieces : int
        How many will be encoded: an encoder ends when there is none left to begin.

    Attributes
    ----------
    turn : semaphore
        Held while a block is made or heard: by half as many threads as there are, so that they do not all need the
        memory for it at a time. An encoder has three seconds of sound in its pipe meanwhile.
    taken : int
        PCM frames taken in so far.
    """

    def __init__(self, track: Track, coder: Coder, *, pieces: int) -> None:
        self._track = track
        self._coder = coder
        self._to_begin = pieces
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._running: set[Pipe] = set()
        self._idle: list[Pipe] = []
        self._stopped = False
        self.turn = threading.Semaphore(max(1, track.threads // 2))
        self.taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._open.close()

    def stop(self) -> None:
        """End all processes now, and with them the threads that wait for them."""
        with self._lock:
            self._stopped = True
            for pipe in self._running:
                pipe.kill()

    def encode(self, piece: Segment) -> EncodedFrames:
        """Encode one piece and keep what is wanted of it; may be called from several threads."""
        coder = self._coder
        with self._lock:
            self._to_begin -= 1
            pipe = self._idle.pop() if self._idle else None
        if pipe is None:
            pipe = self._started()
            _rest(pipe, coder.rest * coder.frame_samples)
        self._feed(pipe, piece)
        if coder.rest and self._to_begin:
            data = self._at_rest(pipe, piece)
        else:
            with pipe:
                data = pipe.finish()
            with self._lock:
                self._running.discard(pipe)
        drop = coder.rest + piece.drop
        kept = coder.split(data).part(drop, drop + piece.keep)
        if len(kept) < piece.keep:
            raise TransientError(f"FFmpeg gave {len(kept)} of {piece.keep} coded frames", code="ffmpeg.failed")
        return kept

    def _at_rest(self, pipe: Pipe, piece: Segment) -> bytes:
        """Let an encoder rest after a piece, and take what it gave, from the rest before on.

        The rest also drives the piece out of the encoder: whatever FFmpeg keeps back is shorter.
        """
        coder = self._coder
        turn = coder.aligned(piece.drop + piece.keep + coder.run_on)
        _rest(pipe, (turn + coder.rest) * coder.frame_samples - (piece.stop - piece.start))
        data = pipe.take((coder.rest + turn) // coder.align * coder.align_bytes)
        with self._lock:
            self._idle.append(pipe)
        return data

    def _feed(self, pipe: Pipe, piece: Segment) -> None:
        """Give a piece's sound to an encoder."""
        for block in self._in_turn(self._track.pcm(piece.start, piece.stop)):
            if self._stopped:
                raise _Stopped
            if not len(block):
                continue
            pipe.write(np.ascontiguousarray(block, "<f4").data)
            with self._lock:
                self.taken += len(block)

    def _in_turn(self, blocks: Iterator[Block]) -> Iterator[Block]:
        while True:
            with self.turn:
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _started(self) -> Pipe:
        pipe = encoder(self._track.ffmpeg, self._coder.arguments, self._track.sample_rate)
        with self._lock:
            self._open.push(pipe)
            self._running.add(pipe)
            if self._stopped:
                pipe.kill()
        return pipe


def _rest(pipe: Pipe, frames: int) -> None:
    """Feed so many frames of silence."""
    size = frames * FRAME_BYTES
    for _ in range(size // len(_SILENCE)):
        pipe.write(_SILENCE)
    pipe.write(_SILENCE[: size % len(_SILENCE)])
