"""FLAC files, 24 bit: libsndfile encodes, behind metadata of our own (it writes neither covers nor chapters)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block
from worker.codec.segments import Track, converted_blocks
from worker.codec.tags import Chapter, Tags, image_type, plain

_FULL_SCALE = 1 << 23
_STREAMINFO, _PADDING, _COMMENT, _PICTURE = 0, 1, 4, 6  # FLAC format, "Metadata block header"
_LAST_BLOCK = 0x80
_STREAMINFO_AT, _STREAMINFO_BYTES = 8, 34
_PADDING_BYTES = 1024
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
    import soundfile  # here, since its library is loaded only where something is encoded

    if track.frames < _SHORTEST_BLOCK:
        raise ValueError(f"a FLAC track of {track.frames} frames; at least {_SHORTEST_BLOCK} are needed")
    metadata = _metadata(track.tags)
    shifted = _Shifted(file, len(metadata))
    with shifted.errors(), soundfile.SoundFile(shifted, "w", track.sample_rate, 2, "PCM_24", format="FLAC") as encoder:
        for samples in converted_blocks(track, lambda block, _: _to_int24(block) << 8):
            encoder.write(samples)
    head = shifted.head()
    streaminfo = head[_STREAMINFO_AT:][:_STREAMINFO_BYTES]
    file.seek(0)
    file.write(b"fLaC" + _block(_STREAMINFO, streaminfo) + metadata)
    padding = len(metadata) + len(head) - file.tell() - 4
    file.write(_block(_PADDING | _LAST_BLOCK, bytes(padding)))
    file.flush()
    if track.on_decoded is not None:
        file.seek(0)
        with soundfile.SoundFile(file.fileno(), closefd=False) as decoder:
            while len(block := decoder.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                track.on_decoded(block)


class _Shifted:
    """A file as libsndfile sees it: the metadata that comes before is left out."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        self._error: OSError | None = None
        file.seek(start)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raise the file's own error in place of libsndfile's, through which none gets."""
        try:
            yield
        except (RuntimeError, AssertionError):
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    def _tried(self, call: Callable[[], int]) -> int:
        try:
            return call()
        except OSError as error:
            self._error = error
            return 0

    def write(self, data: bytes) -> int:
        return self._tried(lambda: self._file.write(data))

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def tell(self) -> int:
        return self._tried(self._file.tell) - self._start

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._tried(lambda: self._file.seek(offset + (0 if whence else self._start), whence)) - self._start

    def head(self) -> bytes:
        """What libFLAC wrote before the first frame: metadata blocks up to the last one."""
        head, kind = b"", 0
        self.seek(0)
        head = self.read(4)
        while not kind & _LAST_BLOCK:
            head += (header := self.read(4))
            kind = header[0]
            head += self.read(int.from_bytes(header[1:], "big"))
        return head


def _to_int24(block: Block) -> NDArray[np.int32]:
    """Round to 24 bits, beyond full scale clipped; int32 array of the same shape, -2^23 to 2^23 - 1."""
    scaled: Block = np.rint(block * np.float32(_FULL_SCALE))
    np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int32)


def _block(kind: int, data: bytes) -> bytes:
    return struct.pack(">I", kind << 24 | len(data)) + data


def _metadata(tags: Tags) -> bytes:
    """Make the blocks of tags, cover and room to edit them."""
    from mutagen.flac import Picture, VCFLACDict

    comment = VCFLACDict()
    comment.vendor = ""
    for name, text in tags.texts().items():
        comment.append((name.upper(), text))
    for number, chapter in enumerate(tags.chapters):
        comment.append((f"CHAPTER{number:03d}", _clock(chapter)))
        comment.append((f"CHAPTER{number:03d}NAME", plain(chapter.title)))
    blocks = _block(_COMMENT, comment.write(framing=False))
    if tags.cover:
        picture = Picture()
        picture.type, picture.mime, picture.data = _FRONT_COVER, image_type(tags.cover), tags.cover
        blocks += _block(_PICTURE, picture.write())
    return blocks + _block(_PADDING, bytes(_PADDING_BYTES))


def _clock(chapter: Chapter) -> str:
    minutes, seconds = divmod(chapter.start_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:06.3f}"
