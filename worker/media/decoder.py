"""Runs FFmpeg on a stranger's file, confined.

The file is opened once, as a regular file; its first bytes tell its kind; FFmpeg gets that very file by its
descriptor, with the demuxer named, the sound alone mapped, no protocol but `file`, and limits of time, memory and
length. Nothing of the file's name or content chooses what FFmpeg does.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.errors import MediaError
from worker.ffmpeg.pipe import Limits, Pipe
from worker.ffmpeg.program import Ffmpeg
from worker.media.sniff import HEAD_BYTES, KINDS, demuxer_of, id3v2_bytes, missing_bytes

_MEMORY_BYTES = 512 << 20
# No video or image decoder is opened even to look at a cover.
_DECODERS = (
    "mp3,mp3float,mp2,mp2float,mp1,mp1float,aac,alac,flac,vorbis,opus,libopus,speex,libspeex,wavpack,"
    "pcm_s8,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,"
    "pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt"
)


class LogParser:
    """Finds codec and length of FFmpeg's input in its log."""

    def __init__(self) -> None:
        self.codec = "unknown"
        self._duration_seconds: float | None = None
        self._streams = 0
        self._over = False

    @property
    def promised_seconds(self) -> float | None:
        """Length of the sound by the file's header; None where that is missing, a guess, or of other streams too."""
        return self._duration_seconds if self._streams == 1 else None

    def line(self, line: str) -> None:
        """Parse the next line."""
        self._over = self._over or line.startswith("[info] Output #0")
        if self._over:
            return
        duration = re.match(r"\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+)", line)
        if duration:
            hours, minutes, seconds = duration.groups()
            self._duration_seconds = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        stream = re.match(r"\[info\]   Stream #0:\d+.*?: (Audio|Video): (\w+)", line)
        if stream and "(attached pic)" not in line:
            self._streams += 1
            if stream[1] == "Audio" and self.codec == "unknown":
                self.codec = stream[2]
        if "Estimating duration from bitrate" in line:
            self._streams += 1  # a guess


@contextlib.contextmanager
def decoder(ffmpeg: Ffmpeg, source: Path, *, timeout_s: float) -> Iterator[tuple[Pipe, LogParser]]:
    """Start to decode a file: to WAV of float32 at the file's own rate, of one or two channels.

    The log has codec and length once FFmpeg has read the file's header. Errors are those of `decode.decode`.
    """
    name, log = source.name, LogParser()
    with _regular_file(source) as descriptor:
        arguments = (
            *("-threads", "1", "-protocol_whitelist", "file", "-codec_whitelist", _DECODERS),
            *("-f", _demuxer(descriptor, name), "-i", f"file:/dev/fd/{descriptor}"),
            *("-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-bitexact"),
            *("-af", "aformat=channel_layouts=mono|stereo", "-c:a", "pcm_f32le"),
            *("-flush_packets", "0", "-f", "wav", "pipe:1"),
        )
        with Pipe(
            ffmpeg,
            arguments,
            limits=Limits(seconds=timeout_s, memory_bytes=_MEMORY_BYTES),
            pass_fd=descriptor,
            blame=lambda errors: _error_of(name, errors),
            on_line=log.line,
        ) as pipe:
            yield pipe, log


def _error_of(name: str, errors: Sequence[str]) -> MediaError:
    if any("matches no streams" in error for error in errors):
        return MediaError(f"{name} holds no sound", code="media.empty")
    unread = [match for error in errors if (match := re.search(r"Codec \((\w+)\) not on whitelist", error))]
    if unread and any("opening decoder" in error for error in errors):
        return MediaError(f"{name} is coded as {unread[-1][1]}, which is not read", code="media.invalid")
    others = [error for error in errors if "not on whitelist" not in error]
    return MediaError(f"{name} cannot be decoded: {others[0] if others else errors[0]}", code="media.damaged")


@contextlib.contextmanager
def _regular_file(source: Path) -> Iterator[int]:
    try:
        # Without O_NONBLOCK the opening of a named pipe would wait for ever.
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise MediaError(f"{source.name} cannot be read: {error.strerror}", code="media.missing") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MediaError(f"{source.name} is not a regular file", code="media.invalid")
        yield descriptor
    finally:
        os.close(descriptor)


def _demuxer(descriptor: int, name: str) -> str:
    """Choose FFmpeg's demuxer for an open file."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        raise MediaError(f"{name} is empty (0 bytes)", code="media.empty")
    start = id3v2_bytes(os.pread(descriptor, 10, 0))
    head = os.pread(descriptor, HEAD_BYTES, start)
    demuxer = demuxer_of(head, whole=start + len(head) >= size)
    if demuxer is None:
        raise MediaError(f"{name} is not an audio file: {KINDS} are read", code="media.invalid")
    missing = missing_bytes(lambda count, at: os.pread(descriptor, count, at), demuxer, size)
    if missing:
        raise MediaError(
            f"{name} is cut short: {missing} bytes that its header speaks of are not there", code="media.truncated"
        )
    return demuxer
