"""Finished PCM out: a file in the format that was asked for, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from worker.codec.aac import write_adts, write_m4a
from worker.codec.encoding import Encoding
from worker.codec.lossless import write_flac, write_wav
from worker.codec.mp3 import write_mp3
from worker.codec.segments import Track
from worker.errors import ResourceError
from worker.os_errors import disk_is_full, in_words


def encode(track: Track, out: Path, encoding: Encoding) -> None:
    """Encode a track; `out` appears only when it is whole.

    An older file of this name is replaced, at the end and in one step.

    Raises
    ------
    ResourceError
        If the disk is full or memory ran out.
    ConfigurationError
        If this FFmpeg cannot be run or lacks the encoder.
    TransientError
        If FFmpeg fails otherwise, or stalls.
    """
    if track.frames < 1:
        raise ValueError(f"a track of {track.frames} frames; at least 1 is needed")
    writers: dict[str, Callable[[Track, BinaryIO], None]] = {
        "mp3": partial(write_mp3, bitrate_kbps=encoding.kbps),
        "m4a": partial(write_m4a, bitrate_kbps=encoding.kbps),
        "aac": partial(write_adts, bitrate_kbps=encoding.kbps),
        "wav": write_wav,
        "flac": write_flac,
    }
    with _appearing(out) as file:
        writers[encoding.format](track, file)
    track.on_progress(track.frames)


@contextlib.contextmanager
def _appearing(out: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `out`, and give it that name when it is whole and on disk."""
    temporary = out.with_name(f".mindscript-{os.getpid()}.part")  # however long the name
    try:
        with temporary.open("wb+") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    except OSError as error:
        if disk_is_full(error):
            raise ResourceError(f"{out.name}: {in_words(error)}", code="resource.disk") from None
        error.filename = str(out)  # not the temporary one
        raise
    finally:
        temporary.unlink(missing_ok=True)
