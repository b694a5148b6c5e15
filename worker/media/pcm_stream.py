"""Reads what FFmpeg writes for a decoded file: samples with their times, in Matroska (RFC 9559).

WAV would be simpler, but has no times: without them a gap between two packets of the source is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_CLUSTER, _SEGMENT, _TRACKS, _TRACK, _AUDIO = 0x1F43B675, 0x18538067, 0x1654AE6B, 0xAE, 0xE1
_RATE, _CHANNELS = 0xB5, 0x9F
_TIME, _SIMPLE_BLOCK, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_BLOCK_HEADER_BYTES = 4  # track, time, flags
_LONGEST_HEAD_BYTES = 12  # of an element: identifier and size
_LARGEST_ELEMENT_BYTES = 64 << 20


@dataclass(frozen=True)
class PcmFormat:
    """What the samples are: float32, interleaved."""

    sample_rate: int
    channels: int


class PcmStream:
    """Samples with their times out of FFmpeg's standard output.

    Parameters
    ----------
    read : callable
        Gives the next bytes, none at the end.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._data = bytearray()

    def format(self) -> PcmFormat | None:
        """Read up to the format; None if the output ends before."""
        while element := self._element():
            identifier, body = element
            if identifier == _TRACKS:
                fields = dict(_children(_field(_field(body, _TRACK), _AUDIO)))
                rate = fields[_RATE]
                hz = struct.unpack(">d" if len(rate) == 8 else ">f", rate)[0]
                return PcmFormat(round(hz), int.from_bytes(fields[_CHANNELS], "big"))
        return None

    def __iter__(self) -> Iterator[list[tuple[float, memoryview]]]:
        """The packets of a second or so at once, each with its time in seconds."""
        while element := self._element():
            identifier, body = element
            if identifier != _CLUSTER:
                continue
            start, packets = 0, []
            for child, value in _children(body):
                if child == _TIME:
                    start = int.from_bytes(value, "big")
                elif child in (_SIMPLE_BLOCK, _GROUP):
                    block = value if child == _SIMPLE_BLOCK else _field(value, _BLOCK)
                    time_ms = start + int.from_bytes(block[1:3], "big", signed=True)
                    packets.append((time_ms / 1000, block[_BLOCK_HEADER_BYTES:]))
            yield packets

    def _element(self) -> tuple[int, memoryview] | None:
        """The next element below the segment, with its content."""
        while self._has(_LONGEST_HEAD_BYTES) or self._data:
            identifier, size, start = _head(self._data)
            if identifier == _SEGMENT:  # of unknown size: its children follow
                del self._data[:start]
                continue
            if size > _LARGEST_ELEMENT_BYTES or not self._has(start + size):
                return None
            body = memoryview(bytes(self._data[start : start + size]))
            del self._data[: start + size]
            return identifier, body
        return None

    def _has(self, count: int) -> bool:
        while len(self._data) < count:
            more = self._read()
            if not more:
                return False
            self._data += more
        return True


def _head(data: bytearray | memoryview, at: int = 0) -> tuple[int, int, int]:
    """Identifier and size of the element at a byte, and where its content begins."""
    length = 9 - data[at].bit_length()
    identifier = int.from_bytes(data[at : at + length], "big")
    at += length
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return identifier, size, at + length


def _children(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(body):
        identifier, size, at = _head(body, at)
        yield identifier, body[at : at + size]
        at += size


def _field(body: memoryview, wanted: int) -> memoryview:
    return next(value for identifier, value in _children(body) if identifier == wanted)
