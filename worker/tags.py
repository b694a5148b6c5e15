"""What a finished file says about itself: title, artist, album, cover, chapters."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from typing import Any

from worker.errors import JobError

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


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
    cover : bytes or None
        A JPEG or PNG image.
    chapters : tuple of Chapter
        In order of their starts.

    Raises
    ------
    JobError
        If the cover is neither JPEG nor PNG.
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

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return self == Tags()


def image_type(image: bytes) -> str:
    """Tell the MIME type of an image by its first bytes.

    Raises
    ------
    JobError
        If it is neither JPEG nor PNG.
    """
    if image.startswith(_JPEG):
        return "image/jpeg"
    if image.startswith(_PNG):
        return "image/png"
    raise JobError("the cover image is neither JPEG nor PNG", code="job.cover")


def id3v2(tags: Tags) -> bytes:
    """Make an ID3v2.3 tag, as MP3 files begin with and WAV files have in a chunk; empty for no tags."""
    if tags.empty:
        return b""
    id3: Any = importlib.import_module(
        "mutagen.id3"
    )  # here, since it is needed once per track; it has no types
    tag = id3.ID3()
    for frame, text in (
        (id3.TIT2, tags.title),
        (id3.TPE1, tags.artist),
        (id3.TALB, tags.album),
    ):
        if text:
            tag.add(frame(encoding=id3.Encoding.UTF16, text=text))
    if tags.comment:
        tag.add(id3.COMM(encoding=id3.Encoding.UTF16, lang="und", desc="", text=tags.comment))
    if tags.cover:
        tag.add(
            id3.APIC(
                encoding=id3.Encoding.LATIN1,
                mime=image_type(tags.cover),
                type=id3.PictureType.COVER_FRONT,
                desc="",
                data=tags.cover,
            )
        )
    names = [f"chp{number}" for number in range(len(tags.chapters))]
    for name, chapter in zip(names, tags.chapters, strict=True):
        tag.add(
            id3.CHAP(
                element_id=name,
                start_time=round(1000 * chapter.start_s),
                end_time=round(1000 * chapter.stop_s),
                start_offset=0xFFFFFFFF,  # the times count (ID3v2 Chapter Frame Addendum 1.0, 3.1)
                end_offset=0xFFFFFFFF,
                sub_frames=[id3.TIT2(encoding=id3.Encoding.UTF16, text=chapter.title)],
            )
        )
    if names:
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        tag.add(id3.CTOC(element_id="toc", flags=flags, child_element_ids=names, sub_frames=[]))
    file = io.BytesIO()
    tag.save(file, v2_version=3, padding=lambda _: 0)
    return file.getvalue()
