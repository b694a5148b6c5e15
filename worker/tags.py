"""What a finished file says about itself: title, artist, album, cover, chapters."""

from __future__ import annotations

from dataclasses import dataclass


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
        In order.
    """

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    comment: str | None = None
    cover: bytes | None = None
    chapters: tuple[Chapter, ...] = ()
