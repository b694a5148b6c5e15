"""FFmpeg as an encoder of finished PCM, through pipes: started when it is needed, or ahead."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

from worker.errors import WorkerError
from worker.ffmpeg.pipe import Pipe
from worker.ffmpeg.program import Ffmpeg

# PCM goes to FFmpeg as WAV without an end, since that demuxer can be told to make large packets: FFmpeg 9 hands them
# from thread to thread, and with those of raw PCM (`-f f32le`) its `time` is a twentieth longer, for the same bytes.
PCM_INPUT = ("-ignore_length", "1", "-max_size", "65536", "-f", "wav", "-i", "pipe:0")
FRAME_BYTES = 8
_FLOAT, _UNKNOWN_BYTES = 3, 0xFFFFFFFF
_OUTPUT_BYTES = 16384  # what FFmpeg keeps back: less than the shortest frames of a rest


def encoder(ffmpeg: Ffmpeg, arguments: tuple[str, ...], sample_rate: int) -> Pipe:
    """Start an encoder of float32 stereo, or take one that `encoders_ahead` has started.

    Parameters
    ----------
    ffmpeg : Ffmpeg
    arguments : tuple of str
        FFmpeg's, for its output: bare frames on standard output.
    sample_rate : int
        In Hz.

    Raises
    ------
    WorkerError
        As of `Pipe`.
    """
    waiting = _ready.get((ffmpeg.path, arguments, sample_rate))
    if waiting:
        with contextlib.suppress(IndexError):  # another thread took the last
            return waiting.pop()
    return _started(ffmpeg, arguments, sample_rate)


@contextlib.contextmanager
def encoders_ahead(ffmpeg: Ffmpeg, arguments: tuple[str, ...], sample_rate: int, count: int) -> Iterator[None]:
    """Have so many encoders ready, those counted that have been started ahead before; the unused ones are ended.

    Nothing is said here of what is wrong with FFmpeg: it is, when they are needed.
    """
    ready = _ready.setdefault((ffmpeg.path, arguments, sample_rate), [])
    mine: list[Pipe] = []
    with contextlib.ExitStack() as started:
        with contextlib.suppress(WorkerError):
            for _ in range(count - len(ready)):
                mine.append(started.enter_context(_started(ffmpeg, arguments, sample_rate)))
        ready += mine
        try:
            yield
        finally:
            ready[:] = [pipe for pipe in ready if pipe not in mine]


_ready: dict[tuple[Path, tuple[str, ...], int], list[Pipe]] = {}


def _started(ffmpeg: Ffmpeg, arguments: tuple[str, ...], sample_rate: int) -> Pipe:
    pipe = Pipe(ffmpeg, (*PCM_INPUT, *arguments), feed=True, collect=True)
    with contextlib.ExitStack() as failed:
        failed.push(pipe)
        pipe.write(_endless_wav(sample_rate))
        failed.pop_all()
    return pipe


def mp3_arguments(bitrate_kbps: int, *, reservoir: bool) -> tuple[str, ...]:
    """Have LAME give bare frames at a constant bit rate."""
    return (
        *("-c:a", "libmp3lame", "-b:a", f"{bitrate_kbps}k", "-reservoir", str(int(reservoir))),
        *("-write_xing", "0", "-id3v2_version", "0", "-flush_packets", "0"),
        *("-f", "mp3", "-blocksize", str(_OUTPUT_BYTES), "pipe:1"),
    )


def _endless_wav(sample_rate: int) -> bytes:
    """Header of a WAV stream of float32 stereo whose length is not told."""
    form = struct.pack("<HHIIHH", _FLOAT, 2, sample_rate, sample_rate * FRAME_BYTES, FRAME_BYTES, 32)
    riff = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_BYTES, b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", _UNKNOWN_BYTES)
