"""The ADTS header of an AAC frame (ISO/IEC 14496-3, 1.A.3.2)."""

from __future__ import annotations

from worker.codec.coded import EncodedFrames, split

HEADER_BYTES = 7

_LAST_RATE_INDEX = 12


def frame_bytes(data: bytes, at: int = 0) -> int | None:
    """Length of the frame whose header is at byte `at`, itself included; None when there is no header."""
    if len(data) < at + HEADER_BYTES or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    if data[at + 2] >> 2 & 15 > _LAST_RATE_INDEX:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length > HEADER_BYTES else None


def split_frames(data: bytes) -> EncodedFrames:
    """Cut an ADTS stream into its frames; `ValueError` if it is not frames from its first byte to its last."""
    return split(data, frame_bytes, "ADTS")
