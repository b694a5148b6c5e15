"""FLAC files, 24 bit: libsndfile encodes; mutagen writes the tags, since libsndfile has no covers and chapters."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block
from worker.codec.segments import Track, converted_blocks
from worker.codec.tags import Chapter, Tags, image_type, plain

_FULL_SCALE = 1 << 23
_PADDING_BYTES = 1024  # room to edit the tags
_FRONT_COVER = 3
_SHORTEST_BLOCK = 16


def write_flac(track: Track, file: BinaryIO) -> None:
    """Encode a track to FLAC.

    Parameters
    ----------
    track : Track
    file : binary file, open for writing, reading and seeking, empty

    Raises
    ------
    ValueError
        If the track is shorter than the shortest block of the format, 16 frames.
    """
    # here, since these libraries are loaded only where something is encoded
    import soundfile
    from mutagen.flac import FLAC, Picture, VCFLACDict

    if track.frames < _SHORTEST_BLOCK:
        raise ValueError(f"a FLAC track of {track.frames} frames; at least {_SHORTEST_BLOCK} are needed")
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
    scaled: Block = np.rint(block * np.float32(_FULL_SCALE))
    np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int32)


def _comments(tags: Tags) -> list[tuple[str, str]]:
    comments = [(name.upper(), text) for name, text in tags.texts().items()]
    for number, chapter in enumerate(tags.chapters):
        comments.append((f"CHAPTER{number:03d}", _clock(chapter)))
        comments.append((f"CHAPTER{number:03d}NAME", plain(chapter.title)))
    return comments


def _clock(chapter: Chapter) -> str:
    minutes, seconds = divmod(chapter.start_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:06.3f}"
