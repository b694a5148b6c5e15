"""Finished PCM out: a file in the format that was asked for, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dsp.blocks import Block
from worker.codec import encoder, encoders, wav
from worker.codec.aac import aac_coder, write_adts, write_m4a
from worker.codec.encoding import Encoding
from worker.codec.flac import FULL_SCALE, to_int24, write_flac
from worker.codec.mp3 import mp3_coder, write_mp3
from worker.codec.pieces import Coder, Pcm, Track, cut
from worker.codec.tags import Tags
from worker.errors import ResourceError
from worker.ffmpeg.program import Ffmpeg


def encode(
    pcm: Pcm,
    frames: int,
    out: Path,
    *,
    encoding: Encoding,
    sample_rate: int,
    tags: Tags,
    ffmpeg: Ffmpeg,
    threads: int = 1,
    on_progress: Callable[[int], None] | None = None,
    on_decoded: Callable[[Block], None] | None = None,
) -> None:
    """Encode a track; `out` appears only when it is whole.

    Parameters
    ----------
    pcm : callable
        ``pcm(start, stop)`` yields the finished float32 blocks of any stretch; called from several threads.
    frames : int
        Length of the track; at least 1.
    out : Path
        An older file of this name is replaced, at the end and in one step.
    encoding : Encoding
    sample_rate : int
        In Hz.
    tags : Tags
    ffmpeg : Ffmpeg
    threads : int
        Pieces of the track rendered and encoded at a time; the file does not depend on it.
    on_progress : callable, optional
        Called with the number of frames taken in so far.
    on_decoded : callable, optional
        Called with what was written, decoded: float32 blocks that add up to the track, in order, while later
        pieces are still being encoded. Both are called by the calling thread, and what they raise ends the
        work.

    Raises
    ------
    ResourceError
        If the disk is full or memory ran out.
    ConfigurationError
        If this FFmpeg cannot be run or lacks the encoder.
    TransientError
        If FFmpeg fails otherwise, or stalls.
    """
    if frames < 1:
        raise ValueError(f"a track of {frames} frames; at least 1 is needed")
    track = Track(pcm, frames, sample_rate, tags, ffmpeg, threads, on_progress, on_decoded)
    with _appearing(out) as file:
        if encoding.format == "wav":
            wav.write_wav(track, file)
        elif encoding.format == "flac":
            write_flac(track, file)
        else:
            write = {"mp3": write_mp3, "m4a": write_m4a, "aac": write_adts}[encoding.format]
            write(track, file, bitrate_kbps=encoding.kbps)
    if on_progress is not None:
        on_progress(frames)


def try_stretch(
    pcm: Pcm,
    frames: int,
    start: int,
    stop: int,
    *,
    encoding: Encoding,
    sample_rate: int,
    ffmpeg: Ffmpeg,
) -> Iterator[Block]:
    """Hear a stretch of a track as its file will hold it, without making the file.

    A long track's MP3 holds these very samples, since its pieces do not depend on one another; AAC, and an MP3 that
    is made in one piece, come close.

    Parameters
    ----------
    pcm, frames, encoding, sample_rate, ffmpeg
        As of `encode`.
    start, stop : int
        The stretch, ``0 <= start < stop <= frames``; a second or so costs as much as half a second more.

    Yields
    ------
    block : float32 array, shape (n, 2)
        ``stop - start`` frames in total.

    Raises
    ------
    WorkerError
        As of `encode`.
    """
    if not 0 <= start < stop <= frames:
        raise ValueError(f"frames {start} to {stop} of a track of {frames}")
    if encoding.format == "wav":
        yield from wav.quantised(pcm(start, stop), start)
        return
    if encoding.format == "flac":
        for block in pcm(start, stop):
            yield to_int24(block).astype(np.float32) / np.float32(FULL_SCALE)
        return
    track = Track(pcm, frames, sample_rate, Tags(), ffmpeg)
    yield from encoders.try_stretch(track, _coder(frames, encoding, sample_rate), start, stop)


def ready_to_encode(
    frames: int, *, encoding: Encoding, sample_rate: int, ffmpeg: Ffmpeg, threads: int
) -> contextlib.AbstractContextManager[None]:
    """Start the processes that `encode` will begin with, while it is not known yet what it gets."""
    if encoding.format in ("wav", "flac"):
        return contextlib.nullcontext()
    coder = _coder(frames, encoding, sample_rate)
    return encoder.encoders_ahead(ffmpeg, coder.arguments, sample_rate, min(threads, len(cut(frames, coder))))


def _coder(frames: int, encoding: Encoding, sample_rate: int) -> Coder:
    if encoding.format == "mp3":
        return mp3_coder(sample_rate, encoding.kbps, frames)
    return aac_coder(sample_rate, encoding.kbps)


@contextlib.contextmanager
def _appearing(out: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `out`, and give it that name when it is whole and on disk."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb+") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(f"the disk is full: {out.name} cannot be written", code="resource.disk") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)
