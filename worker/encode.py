"""Finished PCM out: a file in the format that was asked for, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from dsp.blocks import Block

from worker.errors import ResourceError
from worker.ffmpeg import Ffmpeg
from worker.pipe import Limits, Pipe
from worker.tags import Tags

Format = Literal["mp3", "m4a", "aac", "wav", "flac"]
Quality = Literal["low", "medium", "high"]
Pcm = Callable[[int, int], Iterator[Block]]

_KBPS = {"low": 128, "medium": 192, "high": 320}
_MUXERS = {"mp3": "mp3", "m4a": "ipod", "aac": "adts", "wav": "wav", "flac": "flac"}
_CODECS = {"mp3": "libmp3lame", "m4a": "aac", "aac": "aac", "wav": "pcm_s16le", "flac": "flac"}


@dataclass(frozen=True)
class Encoding:
    """A format and, where it is lossy, its bit rate."""

    format: Format
    bitrate_kbps: int | None = None

    @classmethod
    def for_quality(cls, format: Format, quality: Quality) -> Self:
        """Choose the bit rate of a quality: 128, 192 or 320 kbit/s; none for lossless formats."""
        return cls(format, None if format in ("wav", "flac") else _KBPS[quality])


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
) -> None:
    """Encode a track; `out` appears only when it is whole."""
    rate = [] if encoding.bitrate_kbps is None else ["-b:a", f"{encoding.bitrate_kbps}k"]
    with _appearing(out) as file:
        arguments = [
            "-f", "f32le", "-ar", str(sample_rate), "-ac", "2", "-i", "pipe:0",
            "-c:a", _CODECS[encoding.format], *rate, "-y", "-f", _MUXERS[encoding.format], f"file:{file}",
        ]  # fmt: skip
        with Pipe(ffmpeg, arguments, feed=True, limits=Limits(writes_files=True)) as pipe:
            done = 0
            for block in pcm(0, frames):
                pipe.write(np.ascontiguousarray(block, np.float32).data)
                done += len(block)
                if on_progress is not None:
                    on_progress(done)
            pipe.finish()


@contextlib.contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a temporary name beside `out`, and rename it on success."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(
                f"the disk is full: {out.name} cannot be written", code="resource.disk"
            ) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)
