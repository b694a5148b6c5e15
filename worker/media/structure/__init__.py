"""What a file says of its own sound: how long it is, which bytes should be there, and what no decoder can read.

FFmpeg reports none of this in the same way for any two containers, and most of it never. Only the sound's own index and
the sizes of what holds it count: durations in the heads of containers are often wrong in good files, and speak of
pictures, chapters and subtitles, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from worker.media.sniff import Read
from worker.media.structure import chunks, frames, matroska, mov, ogg
from worker.media.structure.base import Structure

_LOOKS: Final[Mapping[str, Callable[[Read, int], Structure]]] = MappingProxyType({
    "wav": chunks.wav, "aiff": chunks.aiff, "caf": chunks.caf, "au": chunks.au, "w64": chunks.w64, "asf": chunks.asf,
    "flac": frames.flac, "mp3": frames.mp3, "aac": frames.adts, "ac3": frames.ac3, "eac3": frames.ac3,
    "amr": frames.amr, "ogg": ogg.ogg, "matroska": matroska.matroska, "mov": mov.mov,
})  # fmt: skip


def structure_of(read: Read, demuxer: str, size: int) -> Structure:
    """Look through a file of so many bytes after its tags; what is not known of a kind is left at nothing."""
    return _LOOKS[demuxer](read, size)
