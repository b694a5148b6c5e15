"""Decodes audio files through FFmpeg (`worker.media.decoder`): to raw float32 on disk, or block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import soxr
from numpy.typing import NDArray

from dsp.blocks import Block
from worker.errors import MediaError, ResourceError
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import SAMPLE_BYTES, FileClip
from worker.media.decoder import Layout, Source, UnknownLayoutError, decoder, opened_source
from worker.media.pcm_stream import PcmStream
from worker.os_errors import disk_is_full
from worker.printable import printable

Samples = NDArray[np.float32]  # (frames, 1 or 2)

_RATES_HZ = (4_000, 384_000)
_LARGEST_SAMPLE = 2.0**32  # float files may go far beyond full scale; more than this is no sound
_TOLERANCE_S = 0.25  # of a file's sound may be missing, or damaged
_SHORTEST_GAP_S = 0.1  # what is less is jitter: recorders give their packets the times at which they came
_SILENCE_FRAMES = 1 << 16
_LONGEST_PADDING_FRAMES = 3 * 4096  # behind the sound: three packets, of the longest that there are in MP4 (ALAC)
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
    layouts: tuple[Layout, ...] = ("file", "stereo")
    try:
        for layout in layouts:
            with contextlib.suppress(_BecomesStereo), _opened(ffmpeg, source, max_seconds, timeout_s, layout) as stream:
                with into.open("wb") as file:
                    for samples in _resampled(stream, sample_rate):
                        file.write(samples.data)
                return FileClip(into, channels=stream.channels)
        raise AssertionError("a stream of two channels does not become one of two")
    except BaseException as error:
        into.unlink(missing_ok=True)
        if disk_is_full(error):
            raise ResourceError(
                f"the disk is full: {printable(source.name)} cannot be decoded", code="resource.disk"
            ) from None
        raise


@contextlib.contextmanager
def opened_sound(ffmpeg: Ffmpeg, source: Path, *, max_seconds: float = 24 * 3600.0) -> Iterator[SoundStream]:
    """Decode a file block by block at its own rate, in two channels; errors as of `decode`."""
    with _opened(ffmpeg, source, max_seconds, 60.0 + max_seconds, "stereo") as stream:
        yield stream


@contextlib.contextmanager
def _opened(ffmpeg: Ffmpeg, path: Path, max_seconds: float, timeout_s: float, layout: Layout) -> Iterator[SoundStream]:
    with opened_source(path) as source, contextlib.ExitStack() as stack:
        for way in (layout, None):
            try:
                stream = SoundStream(ffmpeg, source, max_seconds, timeout_s, way or layout)
                stack.enter_context(stream)
                break
            except UnknownLayoutError as error:
                if way is None or error.layout is None:
                    raise
                layout = error.layout
        yield stream


class _BecomesStereo(Exception):  # noqa: N818 - no failure: it is decoded again
    """A source of one channel has two from somewhere on."""


class SoundStream:
    """The samples of one file at its own rate in Hz, of one or two channels, from FFmpeg's pipe; `frames` so far.

    Gaps between the times of two packets are silence of that length.
    """

    def __init__(self, ffmpeg: Ffmpeg, source: Source, max_seconds: float, timeout_s: float, layout: Layout) -> None:
        self._ffmpeg = ffmpeg
        self._name = source.name
        self._source = source
        self._max_seconds = max_seconds
        self._timeout_s = timeout_s
        self._layout = layout
        self._running = contextlib.ExitStack()
        self.frames = 0
        self._packets = self._undecoded = 0
        self._lost_seconds = 0.0
        self._not_numbers = 0
        self.container = source.demuxer
        self.sample_rate = 0
        try:
            self.sample_rate, self.channels = self._start(0)
        except BaseException:
            self._running.close()
            raise
        self.codec, self.source_channels = self._log.codec, self._log.channels

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks as float32 of shape (frames, 2); mono goes to both channels."""
        return (samples if self.channels == 2 else np.repeat(samples, 2, axis=1) for samples in self)

    def __iter__(self) -> Iterator[Samples]:
        most = int(self._max_seconds * self.sample_rate)
        for samples in self._unpadded():
            self.frames += len(samples)
            if self.frames > most:
                raise MediaError(
                    f"{self._name} is longer than the {self._max_seconds:.0f} s that are allowed",
                    code="media.too_long",
                )
            yield self._finite(samples)
        self._check_end()

    def _unpadded(self) -> Iterator[Samples]:
        """The samples without what the encoder put behind the sound; more than that, and the index is not believed."""
        exact_s = self._source.structure.exact_s
        left = None if exact_s is None else round(exact_s * self.sample_rate) or None
        behind: list[Samples] = []
        for samples in self._spans():
            if left is None:
                yield samples
                continue
            if left:
                yield samples[:left]
            if len(samples) > left:
                behind.append(samples[left:])
            left = max(0, left - len(samples))
            if sum(map(len, behind)) > _LONGEST_PADDING_FRAMES:
                yield from behind
                left = None

    def _spans(self) -> Iterator[Samples]:
        """What was decoded, in spans without a gap, and silence in the gaps."""
        for link in range(len(self._source.structure.links)):
            if link:
                _, channels = self._start(link)
                if channels != self.channels:
                    raise _BecomesStereo
            yield from self._link()
            self._pipe.finish()
            self._undecoded += self._log.undecoded_packets

    def _link(self) -> Iterator[Samples]:
        width = SAMPLE_BYTES * self.channels
        end_s: float | None = None
        for packets in self._stream:
            self._pipe.wait_for_log()
            if self._log.graphs > 1 and self.channels == 1:
                raise _BecomesStereo
            self._packets += len(packets)
            joined: list[memoryview] = []
            for time_s, data in packets:
                gap_s = 0.0 if end_s is None else time_s - end_s
                if gap_s > _SHORTEST_GAP_S and time_s > self._source.structure.guessed_s + _SHORTEST_GAP_S:
                    if joined:
                        yield self._samples(joined)
                        joined = []
                    yield from self._silence(gap_s)
                joined.append(data)
                end_s = time_s + len(data) / width / self.sample_rate
            if joined:
                yield self._samples(joined)

    def _samples(self, packets: Sequence[memoryview]) -> Samples:
        return np.frombuffer(b"".join(packets), "<f4").reshape(-1, self.channels)

    def _silence(self, gap_s: float) -> Iterator[Samples]:
        """Silence in place of a gap; one that damage has left, and not the recorder, is sound that was lost."""
        if not self._source.timed or self._log.errors:
            self._lost_seconds += gap_s
        frames = round(gap_s * self.sample_rate)
        for first in range(0, frames, _SILENCE_FRAMES):
            yield np.zeros((min(_SILENCE_FRAMES, frames - first), self.channels), np.float32)

    def _finite(self, samples: Samples) -> Samples:
        with np.errstate(invalid="ignore"):
            good = np.abs(samples) <= _LARGEST_SAMPLE  # false for NaN
        if good.all():
            return samples
        self._not_numbers += int(good.size - np.count_nonzero(good))
        return np.where(good, samples, np.float32(0))

    def _check_end(self) -> None:
        if self.frames == 0:
            raise self._no_sound()
        if self._not_numbers > _MOST_NAN_SHARE * self.frames * self.channels:
            raise MediaError(
                f"{self._name} is damaged: {self._not_numbers} of its samples are not numbers",
                code="media.damaged",
            )
        structure, seconds = self._source.structure, self.frames / self.sample_rate
        if self._log.stopped and not structure.missing_bytes and structure.seconds is None:
            raise MediaError(f"{self._name} is damaged: it cannot be read to its end", code="media.damaged")
        per_byte_s = seconds / max(1, self._source.size - structure.stray_bytes)
        undecoded_s = self._undecoded * seconds / max(1, self._packets)
        if self._log.lost_place:  # then the container's length, which is often wrong in good files, counts as well
            self._lost_seconds = max(self._lost_seconds, self._log.container_seconds - seconds)
        lost_s = max(undecoded_s, self._lost_seconds, structure.stray_bytes * per_byte_s)
        if lost_s > _TOLERANCE_S:
            raise MediaError(
                f"{self._name} is damaged: {lost_s:.2f} s of its sound cannot be decoded", code="media.damaged"
            )
        missing_s = max(structure.missing_seconds, structure.missing_bytes * per_byte_s)
        if structure.seconds is not None:
            missing_s = structure.seconds - seconds
        if missing_s > _TOLERANCE_S:
            raise MediaError(
                f"{self._name} is cut short: it says {seconds + missing_s:.2f} s, but only {seconds:.2f} s are there",
                code="media.truncated",
            )

    def _no_sound(self) -> MediaError:
        if self._source.structure.missing_bytes:
            return MediaError(f"{self._name} is cut short: none of its sound is there", code="media.truncated")
        return MediaError(f"{self._name} holds no sound", code="media.empty")

    def _start(self, link: int) -> tuple[int, int]:
        """Start to decode a part of the file: sample rate and number of channels of FFmpeg's output."""
        self._running.close()
        self._pipe, self._log = self._running.enter_context(
            decoder(
                self._ffmpeg,
                self._source,
                timeout_s=self._timeout_s,
                layout=self._layout if not link or self._layout != "file" or self.channels == 1 else "stereo",
                link=link,
                sample_rate=self.sample_rate or None,
            )
        )
        self._stream = PcmStream(self._pipe.read)
        found = self._stream.format()
        if found is None:
            self._pipe.finish()
            raise self._no_sound()
        self._pipe.wait_for_log()
        if self._log.by_index not in (None, self._layout):
            error = UnknownLayoutError(f"{self._name} has channels of unusual names", code="media.invalid")
            error.layout = self._log.by_index
            raise error
        if not _RATES_HZ[0] <= found.sample_rate <= _RATES_HZ[1]:
            raise MediaError(
                f"{self._name} has a sample rate of {found.sample_rate} Hz; "
                f"{_RATES_HZ[0]} to {_RATES_HZ[1]} are allowed",
                code="media.invalid",
            )
        return found.sample_rate, found.channels


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
