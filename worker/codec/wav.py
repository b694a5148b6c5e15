"""WAV files, 16 bit with dither; beyond 4 GB as RF64 (EBU Tech 3306).

The header is ours: all lengths are known before the first sample, so it is written once, and libsndfile writes neither
the ID3 chunk of cover and chapters nor RF64 only where it is needed.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from dsp.dither import to_int16
from worker.codec.segments import Track, converted_blocks
from worker.codec.tags import Tags, id3v2

_FRAME_BYTES = 4
_MOST_BYTES = 0xFFFFFFFF
_DITHER_SEED = 16
_PCM = 1
_INFO_TEXTS = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "comment": b"ICMT"}
_RF64_SIZES_BYTES = 28


def write_wav(track: Track, file: BinaryIO) -> None:
    """Quantise a track and write it as WAV.

    Parameters
    ----------
    track : Track
    file : binary file, open for writing, empty
    """
    id3 = id3v2(track.tags)
    trailer = _chunk(b"id3 ", id3) if id3 else b""
    file.write(header(track.frames, track.sample_rate, track.tags, trailer_bytes=len(trailer)))
    for samples in converted_blocks(track, lambda block, start: to_int16(block, start, seed=_DITHER_SEED)):
        file.write(samples.astype("<i2", copy=False).data)
        if track.on_decoded is not None:
            track.on_decoded(samples.astype(np.float32) * np.float32(2.0**-15))
    file.write(trailer)


def header(frames: int, sample_rate: int, tags: Tags, *, trailer_bytes: int = 0) -> bytes:
    """Make all that comes before the samples.

    Parameters
    ----------
    frames : int
        Of 16-bit stereo.
    sample_rate : int
        In Hz.
    tags : Tags
        Title, artist, album and comment are written as a LIST INFO chunk.
    trailer_bytes : int
        Length of the chunks that come after the samples.
    """
    size = frames * _FRAME_BYTES
    form = _chunk(b"fmt ", struct.pack("<HHIIHH", _PCM, 2, sample_rate, sample_rate * _FRAME_BYTES, _FRAME_BYTES, 16))
    before = form + _info(tags)
    whole = 4 + len(before) + 8 + size + trailer_bytes  # of the file, without its first 8 bytes
    if whole <= _MOST_BYTES:
        start = struct.pack("<4sI4s", b"RIFF", whole, b"WAVE")
    else:
        whole += 8 + _RF64_SIZES_BYTES
        start = struct.pack("<4sI4s", b"RF64", _MOST_BYTES, b"WAVE")
        start += _chunk(b"ds64", struct.pack("<QQQI", whole, size, frames, 0))
        size = _MOST_BYTES
    return start + before + struct.pack("<4sI", b"data", size)


def _info(tags: Tags) -> bytes:
    texts = tags.texts()
    entries = b"".join(
        _chunk(kind, texts[name].encode() + b"\0") for name, kind in _INFO_TEXTS.items() if name in texts
    )
    return _chunk(b"LIST", b"INFO" + entries) if entries else b""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) % 2)
