"""PCM on its way to FFmpeg and back, through pipes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

# PCM goes to FFmpeg as WAV without an end, since that demuxer can be told to make large packets: FFmpeg 9 hands them
# from thread to thread, and with those of raw PCM (`-f f32le`) its `time` is a twentieth longer, for the same bytes.
PCM_INPUT = ("-ignore_length", "1", "-max_size", "65536", "-f", "wav", "-i", "pipe:0")
FRAME_BYTES = 8
_FLOAT, _UNKNOWN_BYTES = 3, 0xFFFFFFFF


def endless_wav(sample_rate: int) -> bytes:
    """Header of a WAV stream of float32 stereo whose length is not told."""
    form = struct.pack("<HHIIHH", _FLOAT, 2, sample_rate, sample_rate * FRAME_BYTES, FRAME_BYTES, 32)
    riff = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_BYTES, b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", _UNKNOWN_BYTES)


def float_blocks(chunks: Iterable[bytes], *, channels: int = 2) -> Iterator[NDArray[np.float32]]:
    """Cut raw little-endian float32 into arrays of whole frames, shape (frames, channels)."""
    frame_bytes = 4 * channels
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) // frame_bytes * frame_bytes
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data, "<f4", whole // 4).reshape(-1, channels)
