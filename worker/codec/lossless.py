"""Lossless files: WAV, 16 bit with dither, beyond 4 GB as RF64 (EBU Tech 3306); FLAC, 24 bit.

The WAV header is ours: all lengths are known before the first sample, so it is written once, and libsndfile writes
neither the ID3 chunk of cover and chapters nor RF64 only where it is needed. FLAC is encoded by libsndfile; mutagen
writes its tags, since libsndfile has no covers and chapters.
"""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block
from dsp.dither import to_int16
from worker.codec.segments import Track, converted_blocks
from worker.codec.tags import Chapter, Tags, id3v2, image_type, plain

_FRAME_BYTES = 4
_MOST_BYTES = 0xFFFFFFFF
_DITHER_SEED = 16
_PCM = 1
_INFO_TEXTS = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "comment": b"ICMT"}
_RF64_SIZES_BYTES = 28

_FLAC_FULL_SCALE = 1 << 23
_PADDING_BYTES = 1024  # of FLAC: room to edit the tags
_FRONT_COVER = 3
_SHORTEST_FLAC_FRAMES = 16


def write_wav(track: Track, file: BinaryIO) -> None:
    """Quantise a track and write it as WAV into an empty file."""
    id3 = id3v2(track.tags)
    trailer = _chunk(b"id3 ", id3) if id3 else b""
    file.write(header(track.frames, track.sample_rate, track.tags, trailer_bytes=len(trailer)))
    for samples in converted_blocks(track, lambda block, start: to_int16(block, start, seed=_DITHER_SEED)):
        file.write(samples.astype("<i2", copy=False).data)
        if track.on_decoded is not None:
            track.on_decoded(samples.astype(np.float32) * np.float32(2.0**-15))
    file.write(trailer)


def wav_bytes(block: Block, sample_rate: int) -> bytes:
    """Make a whole WAV file of 16 bits without dither, for a moment's listening; beyond full scale it is clipped."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.clip(block, -1.0, 1.0), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


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
    if tags.number is not None:
        entries += _chunk(b"ITRK", str(tags.number).encode() + b"\0")
    return _chunk(b"LIST", b"INFO" + entries) if entries else b""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) % 2)


def write_flac(track: Track, file: BinaryIO) -> None:
    """Encode a track to FLAC, into an empty file that can be read and can seek.

    Raises `ValueError` if the track is shorter than the shortest block of the format, 16 frames.
    """
    # here, since these libraries are loaded only where something is encoded
    import soundfile
    from mutagen.flac import FLAC, Picture, VCFLACDict

    if track.frames < _SHORTEST_FLAC_FRAMES:
        raise ValueError(f"a FLAC track of {track.frames} frames; at least {_SHORTEST_FLAC_FRAMES} are needed")
    comments, cover = _comments(track.tags), track.tags.cover
    try:
        with soundfile.SoundFile(
            file.fileno(), "w", track.sample_rate, 2, "PCM_24", format="FLAC", closefd=False
        ) as encoder:
            # takes the place of the tags, which would have to move the sound otherwise
            encoder.comment = " " * (_PADDING_BYTES + len(cover or b"") + len(repr(comments).encode("unicode_escape")))
            for samples in converted_blocks(track, lambda block, _: _to_int24(block) << 8):
                encoder.write(samples)
    except (RuntimeError, AssertionError):
        file.seek(0, os.SEEK_END)
        file.write(bytes(1 << 16))  # libsndfile does not say why it cannot write; the system does
        file.flush()
        raise
    file.seek(0)
    tagged = FLAC(file)
    assert isinstance(tagged.tags, VCFLACDict)  # noqa: S101 - the placeholder made it
    tagged.tags[:] = comments
    if cover:
        picture = Picture()
        picture.type, picture.mime, picture.data = _FRONT_COVER, image_type(cover), cover
        tagged.add_picture(picture)
    file.seek(0)
    tagged.save(file, padding=lambda room: max(room.padding, _PADDING_BYTES))
    file.flush()
    if track.on_decoded is not None:
        file.seek(0)
        with soundfile.SoundFile(file.fileno(), closefd=False) as decoder:
            while len(block := decoder.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                track.on_decoded(block)


def _to_int24(block: Block) -> NDArray[np.int32]:
    """Round to 24 bits, beyond full scale clipped; int32 array of the same shape, -2^23 to 2^23 - 1."""
    scaled: Block = np.rint(block * np.float32(_FLAC_FULL_SCALE))
    np.clip(scaled, -_FLAC_FULL_SCALE, _FLAC_FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int32)


def _comments(tags: Tags) -> list[tuple[str, str]]:
    comments = [(name.upper(), text) for name, text in tags.texts().items()]
    if tags.number is not None:
        comments += [("TRACKNUMBER", str(tags.number)), ("TRACKTOTAL", str(tags.of))]
    for number, chapter in enumerate(tags.chapters):
        comments.append((f"CHAPTER{number:03d}", _clock(chapter)))
        comments.append((f"CHAPTER{number:03d}NAME", plain(chapter.title)))
    return comments


def _clock(chapter: Chapter) -> str:
    minutes, seconds = divmod(chapter.start_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:06.3f}"
