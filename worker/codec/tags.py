"""A track's metadata: title, artist, album, comment, cover, chapters; and its ID3 tag."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.errors import JobError

COVER_BYTES = 8 << 20

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_TIMES_COUNT = 0xFFFFFFFF  # in place of byte offsets (ID3v2 Chapter Frame Addendum 1.0, 3.1)
_MOST_ENTRIES = 255  # of one table of contents


@dataclass(frozen=True)
class Chapter:
    """A named stretch of a track; seconds from its start."""

    title: str
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class Tags:
    """Metadata of a track; None and empty mean: not written.

    Parameters
    ----------
    title, artist, album, comment : str or None
        Control characters become spaces.
    cover : bytes or None
        A JPEG or PNG image of at most `COVER_BYTES`.
    chapters : tuple of Chapter
        In order of their starts.

    Raises
    ------
    JobError
        If the cover is neither JPEG nor PNG, or too large.
    """

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    comment: str | None = None
    cover: bytes | None = None
    chapters: tuple[Chapter, ...] = ()

    def __post_init__(self) -> None:
        if self.cover is not None:
            image_type(self.cover)
            if len(self.cover) > COVER_BYTES:
                raise JobError(
                    f"the cover image has {len(self.cover)} bytes; {COVER_BYTES} are allowed",
                    code="job.cover",
                )

    def texts(self) -> dict[str, str]:
        """Give the texts that are there, by field name, as files may hold them."""
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

    Raises
    ------
    JobError
        If it is neither JPEG nor PNG.
    """
    for magic, mime in _MAGIC.items():
        if image.startswith(magic):
            return mime
    raise JobError("the cover image is neither JPEG nor PNG", code="job.cover")


def id3v2(tags: Tags) -> bytes:
    """Make the ID3v2.3 tag that an MP3 file begins with and a WAV file has in a chunk; empty for no tags."""
    texts = tags.texts()
    if not (texts or tags.cover or tags.chapters):
        return b""
    from mutagen import id3  # here, since only these two formats need it

    tag = id3.ID3()
    for name, kind in (("title", id3.TIT2), ("artist", id3.TPE1), ("album", id3.TALB)):
        if name in texts:
            tag.add(kind(encoding=id3.Encoding.UTF16, text=texts[name]))
    if "comment" in texts:
        tag.add(id3.COMM(encoding=id3.Encoding.UTF16, lang="und", text=texts["comment"]))
    if tags.cover:
        mime = image_type(tags.cover)
        tag.add(id3.APIC(encoding=id3.Encoding.LATIN1, mime=mime, type=id3.PictureType.COVER_FRONT, data=tags.cover))
    names = [f"chp{number}" for number in range(len(tags.chapters))]
    for name, chapter in zip(names, tags.chapters, strict=True):
        title = id3.TIT2(encoding=id3.Encoding.UTF16, text=plain(chapter.title))
        times = {"start_time": round(1000 * chapter.start_s), "end_time": round(1000 * chapter.stop_s)}
        offsets = {"start_offset": _TIMES_COUNT, "end_offset": _TIMES_COUNT}
        tag.add(id3.CHAP(element_id=name, **times, **offsets, sub_frames=[title]))
    for name, entries, top in _contents(names):
        flags = id3.CTOCFlags.ORDERED | (id3.CTOCFlags.TOP_LEVEL if top else 0)
        tag.add(id3.CTOC(element_id=name, flags=flags, child_element_ids=entries, sub_frames=[]))
    written = io.BytesIO()
    tag.save(written, v1=0, v2_version=3, padding=lambda _: 0)
    return written.getvalue()


def _contents(names: Sequence[str]) -> Iterator[tuple[str, Sequence[str], bool]]:
    """Tables of contents, as name, entries, and whether it is the top one: one for few chapters, else one of tables."""
    if len(names) > _MOST_ENTRIES:
        groups = [names[first : first + _MOST_ENTRIES] for first in range(0, len(names), _MOST_ENTRIES)]
        below = [f"toc{number}" for number in range(len(groups))]
        yield from zip(below, groups, [False] * len(groups), strict=True)
        names = below
    if names:
        yield "toc", names, True
