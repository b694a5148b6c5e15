"""Encoded frames, some of them in one buffer, so that cutting, joining and writing them copies none; and their headers.

MPEG audio: ISO/IEC 11172-3 and 13818-3, 2.4.2.3; ADTS: ISO/IEC 14496-3, 1.A.3.2; AC-3 and E-AC-3: ATSC A/52:2018,
5.3.1, 5.4.1 and E.2.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

MPEG_HEADER_BYTES = 4
ADTS_HEADER_BYTES = 7
AC3_HEADER_BYTES = 6

_KBPS = {  # (MPEG-1, layer) -> kbit/s of index 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_1, _RESERVED_VERSION = 3, 1
_LAST_ADTS_RATE = 12  # index
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_LAST_AC3_BSID, _LAST_EAC3_BSID = 10, 16
_SAMPLE_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class MpegHeader(NamedTuple):
    """The fields of one frame's header; `frame_bytes` is the length of the whole frame."""

    layer: int
    bitrate_kbps: int
    sample_rate: int
    frame_bytes: int


def read_mpeg_header(data: bytes, at: int = 0) -> MpegHeader | None:
    """Read the header at byte `at`; None when there is none (free-format frames are not read)."""
    if len(data) < at + MPEG_HEADER_BYTES or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == _RESERVED_VERSION or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    kbps = _KBPS[version == _MPEG_1, layer][bitrate - 1]
    sample_rate = _SAMPLE_RATES_HZ[version][rate]
    if layer == 1:
        length = (12_000 * kbps // sample_rate + padding) * 4
    else:
        length = (72_000 if layer == 3 and version != _MPEG_1 else 144_000) * kbps // sample_rate + padding
    return MpegHeader(layer, kbps, sample_rate, length)


def adts_frame_bytes(data: bytes, at: int = 0) -> int | None:
    """Length of the ADTS frame whose header is at byte `at`, itself included; None when there is no header."""
    if len(data) < at + ADTS_HEADER_BYTES or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    if data[at + 2] >> 2 & 15 > _LAST_ADTS_RATE:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length > ADTS_HEADER_BYTES else None


def ac3_frame_bytes(data: bytes, at: int = 0) -> int | None:
    """Length of the AC-3 or E-AC-3 frame whose header is at byte `at`, itself included; None without a header."""
    if len(data) < at + AC3_HEADER_BYTES or data[at : at + 2] != b"\x0b\x77":
        return None
    bsid, rate = data[at + 5] >> 3, data[at + 4] >> 6
    if _LAST_AC3_BSID < bsid <= _LAST_EAC3_BSID:
        reserved = data[at + 2] >> 6 == 3 or (rate == 3 and data[at + 4] >> 4 & 3 == 3)
        return None if reserved else 2 * (((data[at + 2] & 7) << 8 | data[at + 3]) + 1)
    code = data[at + 4] & 63
    if bsid > _LAST_EAC3_BSID or rate == 3 or code >= 2 * len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[code // 2]
    words = (2 * kbps, kbps * 320 // 147 + code % 2, 3 * kbps)[rate]  # of 48, 44.1 and 32 kHz
    return 2 * words


def is_eac3(data: bytes, at: int = 0) -> bool:
    """Whether the header at byte `at`, which `ac3_frame_bytes` has read, is one of E-AC-3."""
    return data[at + 5] >> 3 > _LAST_AC3_BSID


Frame = bytes | memoryview
"""One encoded frame."""


@dataclass(frozen=True)
class EncodedFrames:
    """Some frames of a stream.

    Attributes
    ----------
    sizes : sequence of int
        Bytes of each frame; they add up to the length of `data`.
    """

    data: bytes | memoryview
    sizes: Sequence[int]

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for size, end in zip(self.sizes, accumulate(self.sizes), strict=True):
            yield view[end - size : end]

    def part(self, first: int, stop: int) -> EncodedFrames:
        """Frames `[first, stop)`, as far as there are any, as a view."""
        sizes = self.sizes[first:stop]
        begin = sum(self.sizes[:first])
        return EncodedFrames(memoryview(self.data)[begin : begin + sum(sizes)], sizes)

    def last(self, count: int) -> EncodedFrames:
        """A copy of the last frames, which does not hold on to the others."""
        part = self.part(max(0, len(self) - count), len(self))
        return EncodedFrames(bytes(part.data), part.sizes)


def split(data: bytes, size_at: Callable[[bytes, int], int | None], name: str) -> EncodedFrames:
    """Cut a stream into its frames.

    Raises `ValueError` if anything but whole frames is in `data`.

    Parameters
    ----------
    size_at : callable
        ``size_at(data, at)``: bytes of the frame whose header is at byte `at`; None where there is no header.
    name : str
        Of such frames, for the error.
    """
    sizes, at = [], 0
    while at < len(data):
        size = size_at(data, at)
        if size is None or at + size > len(data):
            raise ValueError(f"no whole {name} frame at byte {at} of {len(data)}")
        sizes.append(size)
        at += size
    return EncodedFrames(data, sizes)
