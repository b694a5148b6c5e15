"""A track's metadata: title, artist, album, comment, cover, chapters; and its ID3 tag.

The tag is ours: mutagen sorts a tag's frames by length, and players list chapters in the order of their frames.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import JobError

COVER_BYTES = 8 << 20

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_UTF16 = b"\x01"
_LATIN1 = b"\x00"
_FRONT_COVER = b"\x03"
_TIMES_COUNT = 0xFFFFFFFF  # in place of byte offsets (ID3v2 Chapter Frame Addendum 1.0, 3.1)
_TOP_LEVEL, _ORDERED = 2, 1
_MOST_ENTRIES = 255  # of one table of contents
_ID3_TEXTS = {"title": b"TIT2", "artist": b"TPE1", "album": b"TALB"}


@dataclass(frozen=True)
class Chapter:
    """A named span of a track; seconds from its start."""

    title: str
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class Tags:
    """Metadata of a track; None and empty mean: not written.

    Raises `JobError` if the cover is neither JPEG nor PNG, or too large.

    Parameters
    ----------
    title, artist, album, comment : str or None
        Control characters become spaces.
    cover : bytes or None
        A JPEG or PNG image of at most `COVER_BYTES`.
    chapters : tuple of Chapter
        In order of their starts.
    number, of : int or None
        Which track of an album of so many it is; both or neither.
    """

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    comment: str | None = None
    cover: bytes | None = None
    chapters: tuple[Chapter, ...] = ()
    number: int | None = None
    of: int | None = None

    def __post_init__(self) -> None:
        if self.cover is not None:
            image_type(self.cover)
            if len(self.cover) > COVER_BYTES:
                raise JobError(
                    f"the cover image has {len(self.cover)} bytes; {COVER_BYTES} are allowed",
                    code="job.cover",
                )

    def texts(self) -> dict[str, str]:
        """The texts that are there, by field name, as files may hold them."""
        fields = {
            "title": self.title, "artist": self.artist, "album": self.album, "comment": self.comment
        }  # fmt: skip
        return {name: text for name, value in fields.items() if value and (text := plain(value))}


def plain(text: str) -> str:
    """Make a text that every format can hold: no control characters, no halves of surrogate pairs."""
    spaced = "".join(" " if ord(character) < 32 else character for character in text)
    return spaced.encode("utf-8", "replace").decode().strip()


def image_type(image: bytes) -> str:
    """Tell the MIME type of an image by its first bytes.

    Raises `JobError` if it is neither JPEG nor PNG.
    """
    for magic, mime in _MAGIC.items():
        if image.startswith(magic):
            return mime
    raise JobError("the cover image is neither JPEG nor PNG", code="job.cover")


def id3v2(tags: Tags) -> bytes:
    """Make the ID3v2.3 tag that an MP3 file begins with and a WAV file has in a chunk; empty for no tags."""
    texts = tags.texts()
    frames = [_text(kind, texts[name]) for name, kind in _ID3_TEXTS.items() if name in texts]
    if tags.number is not None:
        frames.append(_text(b"TRCK", f"{tags.number}/{tags.of}"))
    if "comment" in texts:
        frames.append(_frame(b"COMM", _UTF16, b"und", _utf16(""), b"\0\0", _utf16(texts["comment"])))
    if tags.cover:
        mime = image_type(tags.cover).encode()
        frames.append(_frame(b"APIC", _LATIN1, mime, b"\0", _FRONT_COVER, b"\0", tags.cover))
    frames += _chapters(tags.chapters)
    if not frames:
        return b""
    size = sum(map(len, frames))
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + syncsafe + b"".join(frames)


def _chapters(chapters: Sequence[Chapter]) -> list[bytes]:
    if not chapters:
        return []
    names = [b"chp%d" % number for number in range(len(chapters))]
    frames = [
        _frame(
            b"CHAP",
            name + b"\0",
            struct.pack(">4I", round(1000 * chapter.start_s), round(1000 * chapter.stop_s), _TIMES_COUNT, _TIMES_COUNT),
            _text(b"TIT2", plain(chapter.title)),
        )
        for name, chapter in zip(names, chapters, strict=True)
    ]
    groups = [names[first : first + _MOST_ENTRIES] for first in range(0, len(names), _MOST_ENTRIES)]
    if len(groups) == 1:
        return [_contents(b"toc", groups[0], top=True), *frames]
    below = [b"toc%d" % number for number in range(len(groups))]
    parts = [_contents(name, group, top=False) for name, group in zip(below, groups, strict=True)]
    return [_contents(b"toc", below, top=True), *parts, *frames]


def _contents(name: bytes, entries: Sequence[bytes], *, top: bool) -> bytes:
    flags = _ORDERED | (_TOP_LEVEL if top else 0)
    return _frame(b"CTOC", name + b"\0", bytes((flags, len(entries))), *(entry + b"\0" for entry in entries))


def _text(kind: bytes, text: str) -> bytes:
    return _frame(kind, _UTF16, _utf16(text))


def _utf16(text: str) -> bytes:
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le")


def _frame(kind: bytes, *contents: bytes) -> bytes:
    return kind + struct.pack(">IH", sum(map(len, contents)), 0) + b"".join(contents)
