"""MP3's bit reservoir over a join: two encodings of one sound become one stream.

A frame is a header, side information and a slot. The slots of a stream, one behind the other, hold the main data of
its frames, and the side information says how many bytes before its own slot a frame's data begin, 511 at most
(`main_data_begin`; ISO/IEC 11172-3, 2.4.1.7 and 2.4.2.7). So a frame can follow those of another encoding if the bytes
that it reaches back for come with it, and if the first encoding has kept that room for its own next frame: then nothing
else is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from worker.codec.frames import MPEG_HEADER_BYTES, EncodedFrames, Frame

SIDE_BYTES = 32  # side information, MPEG-1 stereo

_SLOT_AT = MPEG_HEADER_BYTES + SIDE_BYTES
_BEGIN_BITS = 9  # of main_data_begin, the first field of the side information
_LENGTHS_AT, _LENGTH_BITS = (20, 79, 138, 197), 12  # part2_3_length of two granules in two channels, in bits


def joined(before: EncodedFrames, after: EncodedFrames) -> EncodedFrames | None:
    """Join two encodings within the frames that both have.

    The change is as late as it can be: the longer the second encoding has run, the more it is like the first. Neither
    the number of frames nor their sizes change.

    Parameters
    ----------
    before : EncodedFrames
        Of the first encoding: those that the second has as well.
    after : EncodedFrames
        Of the second encoding: the same, and those that follow.

    Returns
    -------
    EncodedFrames or None
        As many as `after`; None if each of the frames in question reaches further back than the first encoding left
        room for.

    Raises
    ------
    ValueError
        If the frames that both have differ in size, or one has a checksum, which the join would make wrong (LAME
        writes none through FFmpeg).
    """
    shared = after.part(0, len(before))
    if list(shared.sizes) != list(before.sizes):
        raise ValueError(f"frames of {shared.sizes} bytes cannot be joined to frames of {before.sizes}")
    if not all(frame[1] & 1 for part in (before, shared) for frame in part):
        raise ValueError("frames with a checksum cannot be joined")
    reached = zip(map(main_data_begin, before), map(main_data_begin, shared), strict=True)
    for count, (free, wanted) in reversed(list(enumerate(reached))):
        slots = _slot_bytes(before.sizes[:count])
        if wanted <= min(free, len(slots)):
            head, other = (np.frombuffer(part.part(0, count).data, np.uint8) for part in (before, after))
            at = slots[len(slots) - wanted :]
            head = head.copy()
            head[at] = other[at]
            return EncodedFrames(b"".join((head.data, after.part(count, len(after)).data)), after.sizes)
    return None


def main_data_begin(frame: Frame) -> int:
    """Bytes before a frame's slot at which its main data begin."""
    return frame[MPEG_HEADER_BYTES] << 1 | frame[MPEG_HEADER_BYTES + 1] >> 7


def without_stuffing(encoded: EncodedFrames) -> EncodedFrames:
    """Zero what lies between the data of one frame and the next.

    LAME fills the room that it has no use for with bits that depend on how many it has filled since it started. So
    without them a segment is the same bytes, whatever the encoder encoded before.
    """
    sizes = np.array(encoded.sizes)
    starts = np.cumsum(sizes) - sizes
    slots = starts - _SLOT_AT * np.arange(len(sizes))  # where each begins in all slots together
    others = starts[:, None] + np.arange(_SLOT_AT)  # the bytes that are in no slot
    data = np.frombuffer(encoded.data, np.uint8).copy()
    kept = data[others]
    side = kept[:, MPEG_HEADER_BYTES:]
    begins = slots - _number(side, 0, _BEGIN_BITS)
    bits = 8 * begins + sum(_number(side, at, _LENGTH_BITS) for at in _LENGTHS_AT)
    bits = np.maximum(bits, 0)  # where all of a frame's data came before these frames

    def at(slot_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        return slot_bytes + _SLOT_AT * np.searchsorted(slots, slot_bytes, "right")

    part = bits[bits % 8 > 0]
    data[at(part // 8)] &= (0xFF00 >> part % 8).astype(np.uint8)
    first, stop = at(-(-bits // 8)), np.append(at(np.maximum(begins[1:], 0)), len(data))
    filled = first < stop
    for one, other in zip(first[filled].tolist(), stop[filled].tolist(), strict=True):
        data[one:other] = 0
    data[others] = kept
    return EncodedFrames(data.data, encoded.sizes)


def _slot_bytes(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where the bytes of the slots are in frames of these sizes."""
    ends = accumulate(sizes)
    return np.array(
        [at for size, end in zip(sizes, ends, strict=True) for at in range(end - size + _SLOT_AT, end)], int
    )


def _number(side: NDArray[np.uint8], at: int, bits: int) -> NDArray[np.int64]:
    """Read a number of at most 17 bits, from bit `at` on, in the side information of each frame."""
    first, skip = divmod(at, 8)
    three: NDArray[np.int64] = side[:, first : first + 3].astype(np.int64)
    whole = three[:, 0] << 16 | three[:, 1] << 8 | three[:, 2]
    return whole >> (24 - skip - bits) & ((1 << bits) - 1)
