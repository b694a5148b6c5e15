"""Matroska and WebM: elements with their sizes (RFC 8794, RFC 9559)."""

from __future__ import annotations

from worker.media.sniff import Read
from worker.media.structure.base import MOST_PARTS, Structure

_SEGMENT_ID = 0x18538067
_TOP_IDS = (0x1A45DFA3, _SEGMENT_ID, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469)
_CLUSTER_IDS = (0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0xEC, 0xBF)  # and what is in it where it has no size
_KNOWN_IDS = frozenset((*_TOP_IDS, *_CLUSTER_IDS))


def matroska(read: Read, size: int) -> Structure:
    """The segment's size, or, in a recording that was written as it came, that of its last part."""
    at, missing = 0, 0
    for _ in range(MOST_PARTS):
        parsed = _ebml(read(12, at))
        if parsed is None or parsed[0] not in _KNOWN_IDS:  # FFmpeg tells whether it finds its way again
            break
        identifier, length, begin = parsed
        if length is None:
            at += begin  # unknown: its children follow
            continue
        missing = max(0, at + begin + length - size)
        if identifier == _SEGMENT_ID and missing == 0:
            break  # whole
        at += begin + length
    return Structure(missing_bytes=missing)


def _ebml(head: bytes) -> tuple[int, int | None, int] | None:
    if not head or not head[0]:
        return None
    first = 9 - head[0].bit_length()
    if len(head) <= first or not head[first]:
        return None
    second = 9 - head[first].bit_length()
    if len(head) < first + second:
        return None
    size, unknown = int.from_bytes(head[first : first + second], "big") & ((1 << 7 * second) - 1), (1 << 7 * second) - 1
    return int.from_bytes(head[:first], "big"), None if size == unknown else size, first + second
