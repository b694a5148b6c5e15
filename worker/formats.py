"""The registry of output formats: one entry for each. Payload, codecs, storage and command line follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

_LOSSY_KBPS: Final = {"low": 128, "medium": 192, "high": 320}


@dataclass(frozen=True)
class Format:
    """An output format: its name in payloads, also the ending of its files, its content type and its encoder.

    `kbps` is its bit rate by quality; empty for a lossless format.
    """

    name: str
    content_type: str
    encoder: str
    kbps: Mapping[str, int]

    @property
    def lossy(self) -> bool:
        """Whether it loses information."""
        return bool(self.kbps)


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        format_.name: format_
        for format_ in (
            Format("mp3", "audio/mpeg", "LAME", _LOSSY_KBPS),
            Format("m4a", "audio/mp4", "FFmpeg aac", _LOSSY_KBPS),
            Format("aac", "audio/aac", "FFmpeg aac", _LOSSY_KBPS),
            Format("wav", "audio/wav", "PCM", {}),
            Format("flac", "audio/flac", "libsndfile", {}),
        )
    }
)
QUALITIES: Final = tuple(_LOSSY_KBPS)
if TYPE_CHECKING:
    FormatName = str
    Quality = str
else:
    FormatName = Literal[tuple(FORMATS)]
    Quality = Literal[QUALITIES]
_INPUTS: Final = ("mp3", "m4a", "wav", "flac", "ogg", *FORMATS, "opus", "webm", "mp4", "aiff", "aif")
INPUT_ENDINGS: Final = tuple(dict.fromkeys(f".{name}" for name in _INPUTS))
"""File name endings of audio files that come in, the most usual first; the content decides, not the ending."""
