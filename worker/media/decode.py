"""Decodes audio files through FFmpeg (`worker.media.decoder`): to raw float32 on disk, or block by block."""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from dsp.blocks import Block
from worker.errors import MediaError, ResourceError
from worker.ffmpeg.pipe import Pipe
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import SAMPLE_BYTES, FileClip
from worker.media.decoder import LogParser, decoder

Samples = NDArray[np.float32]  # (frames, 1 or 2)

_RATES_HZ = (4_000, 384_000)
_LARGEST_SAMPLE = 2.0**32  # float files may go far beyond full scale; more than this is no sound
_MISSING_SECONDS = 0.25  # a file may be so much shorter than its header says
_MOST_NAN_SHARE = 1e-3


def decode(
    ffmpeg: Ffmpeg,
    source: Path,
    into: Path,
    *,
    sample_rate: int,
    max_seconds: float,
    timeout_s: float,
) -> FileClip:
    """Decode a recording of any provenance once, resample it, and keep it on disk for random access.

    Parameters
    ----------
    into : Path
        The raw float32 file to write; mono stays one channel. Removed again on failure.
    sample_rate : int
        In Hz, of the clip.
    max_seconds : float
        Longer recordings are refused.
    timeout_s : float
        For the whole decoding.

    Returns
    -------
    FileClip
        Its length at the new rate rounded, and never nothing; the encoder's padding is left out.

    Raises
    ------
    MediaError
        If the file is missing, not audio, empty, damaged, cut short or too long; names it.
    ResourceError
        If the disk is full or FFmpeg ran out of memory.
    TransientError
        If it took longer than `timeout_s`.
    """
    try:
        with (
            decoder(ffmpeg, source, timeout_s=timeout_s) as (pipe, log),
            into.open("wb") as file,
        ):
            stream = SoundStream(source.name, pipe, log, max_seconds)
            for samples in _resampled(stream, sample_rate):
                file.write(samples.data)
        return FileClip(into, channels=stream.channels)
    except BaseException as error:
        into.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(f"the disk is full: {source.name} cannot be decoded", code="resource.disk") from None
        raise


@contextlib.contextmanager
def opened_sound(ffmpeg: Ffmpeg, source: Path, *, max_seconds: float = 24 * 3600.0) -> Iterator[SoundStream]:
    """Decode a file block by block at its own rate; errors as of `decode`."""
    with decoder(ffmpeg, source, timeout_s=60.0 + max_seconds) as (pipe, log):
        yield SoundStream(source.name, pipe, log, max_seconds)


class SoundStream:
    """The samples of one file at its own rate in Hz, of one or two channels, from FFmpeg's pipe; `frames` so far."""

    def __init__(self, name: str, pipe: Pipe, log: LogParser, max_seconds: float) -> None:
        self._pipe = pipe
        self._name = name
        self._max_seconds = max_seconds
        self._log = log
        self.sample_rate, self.channels, self._first = self._header()
        self.frames = 0
        self._not_numbers = 0

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks as float32 of shape (frames, 2); mono goes to both channels."""
        return (samples if self.channels == 2 else np.repeat(samples, 2, axis=1) for samples in self)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the coding, such as ``mp3``; known once the blocks are through."""
        return self._log.codec

    def __iter__(self) -> Iterator[Samples]:
        width = SAMPLE_BYTES * self.channels
        most = int(self._max_seconds * self.sample_rate)
        rest = b""
        for chunk in chain((self._first,), iter(self._pipe.read, b"")):
            data = rest + chunk
            whole = len(data) // width * width
            rest = data[whole:]
            if not whole:
                continue
            samples = np.frombuffer(data, "<f4", whole // SAMPLE_BYTES).reshape(-1, self.channels)
            self.frames += len(samples)
            if self.frames > most:
                raise MediaError(
                    f"{self._name} is longer than the {self._max_seconds:.0f} s that are allowed",
                    code="media.too_long",
                )
            yield self._finite(samples)
        self._pipe.finish()
        self._check_end()

    def _finite(self, samples: Samples) -> Samples:
        with np.errstate(invalid="ignore"):
            good = np.abs(samples) <= _LARGEST_SAMPLE  # false for NaN
        if good.all():
            return samples
        self._not_numbers += int(good.size - np.count_nonzero(good))
        return np.where(good, samples, np.float32(0))

    def _check_end(self) -> None:
        if self.frames == 0:
            raise MediaError(f"{self._name} holds no sound", code="media.empty")
        if self._not_numbers > _MOST_NAN_SHARE * self.frames * self.channels:
            raise MediaError(
                f"{self._name} is damaged: {self._not_numbers} of its samples are not numbers",
                code="media.damaged",
            )
        seconds = self.frames / self.sample_rate
        promised = self._log.promised_seconds
        if promised is not None and seconds < promised - _MISSING_SECONDS:
            raise MediaError(
                f"{self._name} is cut short: it says {promised:.2f} s, but only {seconds:.2f} s are there",
                code="media.truncated",
            )

    def _header(self) -> tuple[int, int, bytes]:
        """Sample rate and number of channels by the WAV header of FFmpeg's output, and the bytes after it."""
        data = b""
        while b"data" not in data[12:]:
            more = self._pipe.read()
            if not more:
                self._pipe.finish()
                raise MediaError(f"{self._name} holds no sound", code="media.empty")
            data += more
        channels, sample_rate = struct.unpack_from("<HI", data, data.index(b"fmt ") + 10)
        if not _RATES_HZ[0] <= sample_rate <= _RATES_HZ[1]:
            raise MediaError(
                f"{self._name} has a sample rate of {sample_rate} Hz; {_RATES_HZ[0]} to {_RATES_HZ[1]} are allowed",
                code="media.invalid",
            )
        return sample_rate, channels, data[data.index(b"data", 12) + 8 :]


def _resampled(stream: SoundStream, sample_rate: int) -> Iterator[Samples]:
    """Bring a stream to another rate, at its exact length."""
    if stream.sample_rate == sample_rate:
        yield from stream
        return
    resampler = soxr.ResampleStream(stream.sample_rate, sample_rate, stream.channels, dtype="float32", quality=soxr.VHQ)
    done = 0
    for samples in stream:
        out = resampler.resample_chunk(samples).reshape(-1, stream.channels)
        done += len(out)
        yield out
    last = resampler.resample_chunk(np.empty((0, stream.channels), np.float32), last=True).reshape(-1, stream.channels)
    length = max(1, round(stream.frames * sample_rate / stream.sample_rate))
    missing = length - done - len(last)
    yield last[:missing] if missing < 0 else np.pad(last, ((0, missing), (0, 0)))
