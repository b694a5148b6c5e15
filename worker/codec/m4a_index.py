"""The index of an M4A file (ISO/IEC 14496-12 and -14): where the AAC frames lie, and how long the track is.

The edit list leaves out what the encoder put before the first sample and after the last. Titles, cover and
chapters are in the index too; chapters twice, as QuickTime and as Nero write them, since no player reads
both.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from worker.codec.tags import Chapter, Tags, image_type, plain

FRAME_SAMPLES = 1024  # AAC-LC

_FRAMES_PER_CHUNK = 43  # about a second
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNKNOWN_LANGUAGE = 0x55C4  # "und", three times five bits
_AUDIO_TRACK, _CHAPTER_TRACK = 1, 2
_ENABLED_IN_MOVIE = 3
_SELF_CONTAINED = 1
_NAMES = {"title": b"\xa9nam", "artist": b"\xa9ART", "album": b"\xa9alb", "comment": b"\xa9cmt"}
_IMPLICIT, _UTF8 = 0, 1  # QuickTime's well-known types of metadata
_IMAGES = {"image/jpeg": 13, "image/png": 14}
_NERO_MOST = 255  # chapters; their number and the lengths of their titles have a byte each


@dataclass(frozen=True)
class AacStream:
    """The AAC frames that an index describes.

    Parameters
    ----------
    sample_rate : int
        In Hz; also the clock of the index, so that nothing is rounded.
    samples : int
        Length of the track in PCM frames.
    delay : int
        PCM frames that the encoder put before it.
    config : bytes
        AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    sizes : sequence of int
        Bytes of each AAC frame.
    """

    sample_rate: int
    samples: int
    delay: int
    config: bytes
    sizes: Sequence[int]


def file_type() -> bytes:
    """Make the box that every file begins with."""
    return _box(b"ftyp", b"M4A ", struct.pack(">I", 512), b"M4A ", b"isom", b"mp42")


def index(stream: AacStream, tags: Tags, *, data_at: int) -> bytes:
    """Make the whole index (`moov`), whose length depends on the number of frames and the tags alone.

    The first AAC frame lies at byte `data_at` of the file; the chapters' titles (`chapter_titles`) follow the last.
    """
    tracks = [_audio_track(stream, data_at, chapters=bool(tags.chapters))]
    if tags.chapters:
        tracks.append(_chapter_track(stream, tags, data_at + sum(stream.sizes)))
    header = _full_box(
        b"mvhd",
        struct.pack(">4I", 0, 0, stream.sample_rate, stream.samples),
        struct.pack(">IH10x", 0x10000, 0x100),  # speed and volume: 1
        _UNITY_MATRIX,
        struct.pack(">24xI", len(tracks) + 1),
    )
    return _box(b"moov", header, *tracks, _user_data(tags))


def chapter_titles(tags: Tags) -> list[bytes]:
    """Make the samples of the chapter track: each title as QuickTime's text in UTF-8."""
    utf8 = _box(b"encd", struct.pack(">I", 0x100))
    return [
        struct.pack(">H", len(title)) + title + utf8
        for title in (plain(chapter.title).encode()[:0xFFFF] for chapter in tags.chapters)
    ]


def _box(kind: bytes, *contents: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, contents)), kind) + b"".join(contents)


def _full_box(kind: bytes, *contents: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *contents)


def _audio_track(stream: AacStream, data_at: int, *, chapters: bool) -> bytes:
    count = len(stream.sizes)
    media = stream.delay + stream.samples
    last = media - (count - 1) * FRAME_SAMPLES  # the last frame counts only as far as the track goes
    full_chunks, rest = divmod(count, _FRAMES_PER_CHUNK)
    chunks = [(1, _FRAMES_PER_CHUNK)] * bool(full_chunks) + [(full_chunks + 1, rest)] * bool(rest)
    offsets, at = [], data_at
    for first in range(0, count, _FRAMES_PER_CHUNK):
        offsets.append(at)
        at += sum(stream.sizes[first : first + _FRAMES_PER_CHUNK])
    table = _box(
        b"stbl",
        _full_box(b"stsd", struct.pack(">I", 1), _mp4a(stream)),
        _full_box(b"stts", struct.pack(">5I", 2, count - 1, FRAME_SAMPLES, 1, last)),
        _full_box(b"stsc", struct.pack(">I", len(chunks)), *(struct.pack(">3I", *chunk, 1) for chunk in chunks)),
        _full_box(b"stsz", struct.pack(f">II{count}I", 0, count, *stream.sizes)),
        _full_box(b"stco", struct.pack(f">I{len(offsets)}I", len(offsets), *offsets)),
        # A frame comes out right only when the one before it was decoded (14496-12, 10.1.1.2).
        _full_box(b"sgpd", struct.pack(">4sIIh", b"roll", 2, 1, -1), version=1),
        _full_box(b"sbgp", struct.pack(">4s3I", b"roll", 1, count, 1)),
    )
    return _track(
        _AUDIO_TRACK,
        _box(b"edts", _full_box(b"elst", struct.pack(">IIiHH", 1, stream.samples, stream.delay, 1, 0))),
        _box(b"tref", _box(b"chap", struct.pack(">I", _CHAPTER_TRACK))) if chapters else b"",
        _media(stream.sample_rate, media, b"soun", _full_box(b"smhd", bytes(4)), table),
        samples=stream.samples,
        enabled=True,
    )


def _mp4a(stream: AacStream) -> bytes:
    count, most = len(stream.sizes), max(stream.sizes)
    average = round(8 * sum(stream.sizes) * stream.sample_rate / (count * FRAME_SAMPLES))
    descriptor = _descriptor(
        3,
        struct.pack(">HB", _AUDIO_TRACK, 0),
        _descriptor(
            4,
            struct.pack(">BB", 0x40, 0x15),  # MPEG-4 audio, an audio stream
            most.to_bytes(3, "big"),
            struct.pack(">II", round(8 * most * stream.sample_rate / FRAME_SAMPLES), average),
            _descriptor(5, stream.config),
        ),
        _descriptor(6, b"\x02"),
    )
    return _box(
        b"mp4a",
        struct.pack(">6xH8xHH4xI", 1, 2, 16, stream.sample_rate << 16),
        _full_box(b"esds", descriptor),
    )


def _descriptor(tag: int, *contents: bytes) -> bytes:
    data = b"".join(contents)  # always shorter than 128 bytes here, so that one byte tells its length
    return bytes((tag, len(data))) + data


def _chapter_track(stream: AacStream, tags: Tags, data_at: int) -> bytes:
    """Make QuickTime's chapters: a text track that is not enabled, whose samples are the titles."""
    titles = chapter_titles(tags)
    starts = [0, *(round(chapter.start_s * stream.sample_rate) for chapter in tags.chapters[1:])]  # text has no gaps
    lengths = [stop - start for start, stop in zip(starts, [*starts[1:], stream.samples], strict=True)]
    count = len(titles)
    table = _box(
        b"stbl",
        _full_box(b"stsd", struct.pack(">I", 1), _box(b"text", struct.pack(">6xH44x", 1))),
        _full_box(b"stts", struct.pack(">I", count), *(struct.pack(">II", 1, length) for length in lengths)),
        _full_box(b"stsc", struct.pack(">4I", 1, 1, count, 1)),
        _full_box(b"stsz", struct.pack(f">II{count}I", 0, count, *map(len, titles))),
        _full_box(b"stco", struct.pack(">II", 1, data_at)),
    )
    look = _full_box(b"gmin", struct.pack(">6H", 0x40, 0x8000, 0x8000, 0x8000, 0, 0))
    header = _box(b"gmhd", look, _box(b"text", _UNITY_MATRIX))
    return _track(
        _CHAPTER_TRACK,
        _media(stream.sample_rate, stream.samples, b"text", header, table),
        samples=stream.samples,
        enabled=False,
    )


def _track(number: int, *contents: bytes, samples: int, enabled: bool) -> bytes:
    header = _full_box(
        b"tkhd",
        struct.pack(">5I8x", 0, 0, number, 0, samples),
        struct.pack(">HHHH", 0, 0, 0x100 if enabled else 0, 0),  # layer, group, volume
        _UNITY_MATRIX,
        bytes(8),
        flags=_ENABLED_IN_MOVIE if enabled else 2,
    )
    return _box(b"trak", header, *contents)


def _media(sample_rate: int, samples: int, handler: bytes, header: bytes, table: bytes) -> bytes:
    here = _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=_SELF_CONTAINED))
    return _box(
        b"mdia",
        _full_box(b"mdhd", struct.pack(">4IHH", 0, 0, sample_rate, samples, _UNKNOWN_LANGUAGE, 0)),
        _full_box(b"hdlr", struct.pack(">I4s12x", 0, handler), b"\0"),
        _box(b"minf", header, _box(b"dinf", here), table),
    )


def _user_data(tags: Tags) -> bytes:
    items = [_item(_NAMES[name], _UTF8, text.encode()) for name, text in tags.texts().items()]
    if tags.number is not None:
        items.append(_item(b"trkn", _IMPLICIT, struct.pack(">4H", 0, tags.number, tags.of or 0, 0)))
    if tags.cover:
        items.append(_item(b"covr", _IMAGES[image_type(tags.cover)], tags.cover))
    handler = _full_box(b"hdlr", struct.pack(">I4s4s8x", 0, b"mdir", b"appl"), b"\0")
    return _box(b"udta", _full_box(b"meta", handler, _box(b"ilst", *items)), _nero_chapters(tags.chapters))


def _item(name: bytes, kind: int, value: bytes) -> bytes:
    return _box(name, _box(b"data", struct.pack(">II", kind, 0), value))


def _nero_chapters(chapters: Sequence[Chapter]) -> bytes:
    if not chapters:
        return b""
    kept = chapters[:_NERO_MOST]
    entries = (
        struct.pack(">QB", round(chapter.start_s * 10_000_000), len(title)) + title
        for chapter, title in ((chapter, plain(chapter.title).encode()[:_NERO_MOST]) for chapter in kept)
    )
    return _full_box(b"chpl", struct.pack(">IB", 0, len(kept)), *entries, version=1)
