"""FFmpeg processes that encode a track's segments side by side, and the decoding of what they give.

To start an FFmpeg of many libraries takes as long as encoding some ten seconds. So an encoder takes segment after
segment where silence between them (the flush) makes it forget the one before: its output is then, byte for byte, that
of a new encoder (but for the stuffing of `worker.codec.reservoir`), and the file does not depend on how many there are.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import numpy as np

from dsp.blocks import Block
from worker.codec.frames import EncodedFrames
from worker.codec.parallel import Stopped, parallel_map
from worker.codec.segments import Segment, SegmentCoder, Track, cut
from worker.errors import TransientError
from worker.ffmpeg.pipe import Pipe

# PCM goes to FFmpeg as WAV without an end, since that demuxer can be told to make large packets: FFmpeg 9 hands them
# from thread to thread, and with those of raw PCM (`-f f32le`) its `time` is a twentieth longer, for the same bytes.
PCM_INPUT = ("-ignore_length", "1", "-max_size", "65536", "-f", "wav", "-i", "pipe:0")

_FRAME_BYTES = 8
_FLOAT, _UNKNOWN_BYTES = 3, 0xFFFFFFFF


class Encoders(ExitStack):
    """The encoder processes of one track; a context manager that leaves none behind.

    Parameters
    ----------
    segments : int
        How many will be encoded: an encoder ends when there is none left to begin.

    Attributes
    ----------
    turn : semaphore
        Held while a block is rendered or measured: by half as many threads as there are, so that they do not all need
        the memory for it at a time. An encoder has three seconds of sound in its pipe meanwhile.
    taken : int
        PCM frames taken in so far.
    """

    def __init__(self, track: Track, coder: SegmentCoder, *, segments: int) -> None:
        super().__init__()
        self._track = track
        self._coder = coder
        self._to_begin = segments
        self._lock = threading.Lock()
        self._running: set[Pipe] = set()
        self._idle: list[Pipe] = []
        self._stopped = False
        self.turn = threading.Semaphore(max(1, track.threads // 2))
        self.taken = 0

    def stop(self) -> None:
        """End all processes now, and with them the threads that wait for them."""
        with self._lock:
            self._stopped = True
            for pipe in self._running:
                pipe.kill()

    def encode(self, segment: Segment) -> EncodedFrames:
        """Encode one segment: its kept frames and those it shares; may be called from several threads."""
        coder = self._coder
        with self._lock:
            self._to_begin -= 1
            pipe = self._idle.pop() if self._idle else None
        if pipe is None:
            pipe = self._started()
        for block in self._blocks(segment):
            pipe.write(np.ascontiguousarray(block, "<f4").data)
            with self._lock:
                self.taken += len(block)
        if coder.flush and self._to_begin > 0:
            # the silence also drives the segment out of the encoder: what FFmpeg keeps back is shorter
            length = coder.aligned(segment.drop + segment.keep + coder.postroll)
            silent_frames = (length + coder.flush) * coder.frame_samples - (segment.stop - segment.start)
            pipe.write(bytes(silent_frames * _FRAME_BYTES))
            data = pipe.take((coder.flush + length) // coder.align * coder.align_bytes)
            with self._lock:
                self._idle.append(pipe)
        else:
            with pipe:
                data = pipe.finish()
            with self._lock:
                self._running.discard(pipe)
        drop = coder.flush + segment.drop
        wanted = segment.keep + segment.shared
        given = coder.split(data).part(drop, drop + wanted)
        if len(given) < wanted:
            raise TransientError(f"FFmpeg gave {len(given)} of {wanted} encoded frames", code="ffmpeg.failed")
        return given

    def encode_once_more(self, segment: Segment) -> EncodedFrames:
        """Encode a segment beyond the number that was said."""
        with self._lock:
            self._to_begin += 1
        return self.encode(segment)

    def _blocks(self, segment: Segment) -> Iterator[Block]:
        blocks = self._track.pcm(segment.start, segment.stop)
        while True:
            with self.turn:
                block = next(blocks, None)
            if block is None:
                return
            if self._stopped:
                raise Stopped
            if len(block):
                yield block

    def _started(self) -> Pipe:
        pipe = Pipe(self._track.ffmpeg, (*PCM_INPUT, *self._coder.arguments), feed=True, collect=True)
        with self._lock:
            self.enter_context(pipe)
            self._running.add(pipe)
            if self._stopped:
                pipe.kill()
        silence = bytes(self._coder.flush * self._coder.frame_samples * _FRAME_BYTES)
        pipe.write(endless_wav(self._track.sample_rate) + silence)
        return pipe


def encode_segments(track: Track, coder: SegmentCoder) -> Iterator[EncodedFrames]:
    """Encode a track in segments, several at a time, and give its frames; they are decoded before the next are given.

    Raises `WorkerError` if an encoder fails. Whatever the track's functions raise comes through; no process or thread
    is left.
    """
    segments = cut(track.frames, coder)
    before: list[EncodedFrames] = []  # the last frames of those given before
    decoded = 0
    with Encoders(track, coder, segments=len(segments)) as encoders:
        for encoded in _joined_segments(encoders, segments, track, coder):
            yield encoded
            parts = [*before, encoded]
            skip = len(before[0]) * coder.frame_samples if before else coder.delay
            before = [encoded.last(coder.overlap)]
            del encoded  # not kept while the next is waited for
            if track.on_decoded is not None:
                for block in coder.decode(track.ffmpeg, parts, skip):
                    wanted = block[: track.frames - decoded]
                    decoded += len(wanted)
                    with encoders.turn:
                        track.on_decoded(wanted)
            parts.clear()


def _joined_segments(
    encoders: Encoders, segments: Sequence[Segment], track: Track, coder: SegmentCoder
) -> Iterator[EncodedFrames]:
    """Encode segments and give the frames of each as soon as they are final: all but those that the next one shares."""
    total = sum(segment.stop - segment.start for segment in segments)
    shared, previous = EncodedFrames(b"", ()), segments[0]
    encoding = parallel_map(
        segments,
        encoders.encode,
        threads=track.threads,
        while_waiting=lambda: track.on_progress(track.frames * min(encoders.taken, total) // total),
        at_the_end=encoders.stop,
    )
    with closing(encoding):
        for segment, encoded in zip(segments, encoding, strict=True):
            whole = coder.join(shared, encoded) if shared else encoded
            del encoded
            if whole is None:
                segment = segment.behind(previous)
                whole = coder.join(shared, encoders.encode_once_more(segment))
            if whole is None:
                raise TransientError("an encoder gave other frames when it encoded once more", code="ffmpeg.failed")
            shared, previous = whole.last(segment.shared), segment
            yield whole.part(0, len(whole) - segment.shared)
            del whole  # not kept while the next is waited for


def endless_wav(sample_rate: int) -> bytes:
    """Make the header of a WAV stream of float32 stereo of unknown length."""
    form = struct.pack("<HHIIHH", _FLOAT, 2, sample_rate, sample_rate * _FRAME_BYTES, _FRAME_BYTES, 32)
    riff = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_BYTES, b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", _UNKNOWN_BYTES)
