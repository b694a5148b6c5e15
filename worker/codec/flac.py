"""FLAC files, 24 bit: FFmpeg's frames behind a header of our own, with length, checksum, tags and cover."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Generator, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block
from worker.codec.pcm import float_blocks
from worker.codec.pieces import Track
from worker.codec.tags import Chapter, Tags, image_type, plain
from worker.ffmpeg.pipe import Pipe, through

FULL_SCALE = 1 << 23

_STREAMINFO, _PADDING, _COMMENT, _PICTURE = 0, 1, 4, 6  # FLAC format, "Metadata block header"
_LAST_BLOCK = 0x80
_BLOCK_HEADER_BYTES = 4
_STREAMINFO_BYTES = 34
_PADDING_BYTES = 1024
_FRONT_COVER = 3
_SHORTEST_BLOCK = 16


def write_flac(track: Track, file: BinaryIO) -> None:
    """Encode a track to FLAC.

    Parameters
    ----------
    track : Track
    file : binary file, open for writing and seeking, empty

    Raises
    ------
    ValueError
        If the track is shorter than the shortest block of the format, 16 frames.
    WorkerError
        If the encoder fails.
    """
    if track.frames < _SHORTEST_BLOCK:
        raise ValueError(f"a FLAC track of {track.frames} frames; at least {_SHORTEST_BLOCK} are needed")
    with contextlib.closing(_written(track, file)) as written:
        if track.on_decoded is None:
            for _ in written:
                pass
            return
        arguments = ("-f", "flac", "-i", "pipe:0", "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1")
        with Pipe(track.ffmpeg, arguments, feed=True) as decoder:
            for block in float_blocks(through(decoder, written)):
                track.on_decoded(block)


def _written(track: Track, file: BinaryIO) -> Generator[bytes]:
    """Write the file, and yield what a decoder needs of it as it is written."""
    intake = _Intake(track)
    arguments = (
        *("-f", "s32le", "-ar", str(track.sample_rate), "-ac", "2", "-i", "pipe:0"),
        *(
            "-c:a",
            "flac",
            "-sample_fmt",
            "s32",
            "-bits_per_raw_sample",
            "24",
            "-flush_packets",
            "0",
            "-f",
            "flac",
            "pipe:1",
        ),
    )
    with Pipe(track.ffmpeg, arguments, feed=True) as encoder:
        head = b""
        streaminfo = b""
        for data in through(encoder, intake.chunks()):
            if track.on_progress is not None:
                track.on_progress(intake.taken)
            if not streaminfo:
                head += data
                start = _metadata_bytes(head)
                if start is None or len(head) < start:
                    continue
                streaminfo = head[_BLOCK_HEADER_BYTES * 2 :][:_STREAMINFO_BYTES]
                file.write(_header(streaminfo, track.tags))
                data = head
                file.write(head[start:])
            else:
                file.write(data)
            yield data
    end = file.tell()
    file.seek(0)
    file.write(_header(_completed(streaminfo, track.frames, intake.md5.digest()), track.tags))
    file.seek(end)


class _Intake:
    """The PCM as FLAC takes it, counted and summed on its way."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self.taken = 0
        self.md5 = hashlib.md5(usedforsecurity=False)  # FLAC's own checksum of the samples

    def chunks(self) -> Iterator[memoryview]:
        for block in self._track.pcm(0, self._track.frames):
            if not len(block):
                continue
            samples = to_int24(block)
            self.md5.update(samples.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
            yield (samples << 8).data
            self.taken += len(block)


def to_int24(block: Block) -> NDArray[np.int32]:
    """Round to 24 bits, beyond full scale clipped; int32 array of the same shape, -2^23 to 2^23 - 1."""
    scaled: Block = np.rint(block * np.float32(FULL_SCALE))
    np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int32)


def _metadata_bytes(head: bytes) -> int | None:
    """Where the frames begin behind all metadata blocks; None while `head` is too short to tell."""
    at, last = 4, False
    while not last:
        if len(head) < at + _BLOCK_HEADER_BYTES:
            return None
        last = bool(head[at] & _LAST_BLOCK)
        at += _BLOCK_HEADER_BYTES + int.from_bytes(head[at + 1 : at + 4], "big")
    return at


def _completed(streaminfo: bytes, frames: int, md5: bytes) -> bytes:
    """Set the 36 bits of the length and the checksum."""
    packed = int.from_bytes(streaminfo[10:18], "big")
    packed = packed >> 36 << 36 | frames
    return streaminfo[:10] + packed.to_bytes(8, "big") + md5


def _header(streaminfo: bytes, tags: Tags) -> bytes:
    blocks = [(_STREAMINFO, streaminfo), *_metadata(tags), (_PADDING | _LAST_BLOCK, bytes(_PADDING_BYTES))]
    return b"fLaC" + b"".join(struct.pack(">I", kind << 24 | len(data)) + data for kind, data in blocks)


def _metadata(tags: Tags) -> list[tuple[int, bytes]]:
    entries = [f"{name.upper()}={text}" for name, text in tags.texts().items()]
    for number, chapter in enumerate(tags.chapters):
        entries.append(f"CHAPTER{number:03d}={_clock(chapter)}")
        entries.append(f"CHAPTER{number:03d}NAME={plain(chapter.title)}")
    comment = struct.pack("<II", 0, len(entries))  # no vendor
    comment += b"".join(struct.pack("<I", len(entry)) + entry for entry in map(str.encode, entries))
    blocks = [(_COMMENT, comment)]
    if tags.cover:
        mime = image_type(tags.cover).encode()
        size_unknown = bytes(16)
        blocks.append(
            (
                _PICTURE,
                struct.pack(">II", _FRONT_COVER, len(mime)) + mime + struct.pack(">I", 0)  # no description
                + size_unknown + struct.pack(">I", len(tags.cover)) + tags.cover,
            )
        )  # fmt: skip
    return blocks


def _clock(chapter: Chapter) -> str:
    minutes, seconds = divmod(chapter.start_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:06.3f}"
