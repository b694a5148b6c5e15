"""MP4, MOV, 3GP: boxes, and the index of the sound in them (ISO/IEC 14496-12)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from fractions import Fraction

from worker.media.sniff import Read
from worker.media.structure.base import MOST_PARTS, Structure, is_padding

_INDEX_BYTES = 64 << 20
_TOP_BOXES = frozenset(
    b"ftyp styp moov moof mdat free skip wide sidx ssix mfra uuid pdin meta pnot prft emsg udta".split(b" ")
)
_USAC = re.compile(  # an elementary stream's descriptors (ISO/IEC 14496-1, 7.2.6.5): audio object type 42
    rb"esds.{4}\x03[\x80-\xff]{0,3}.{4}\x04[\x80-\xff]{0,3}.{14}\x05[\x80-\xff]{0,3}.\xf9[\x40-\x5f]", re.DOTALL
)


def mov(read: Read, size: int) -> Structure:
    """The index of the first sound, and whether the boxes are there that hold it."""
    missing, moov, fragments, end = 0, b"", False, 0
    for kind, at, length in _boxes(read, size):
        if kind not in _TOP_BOXES and at + length > size:
            break  # no box, though its first bytes are taken for a length
        missing = max(missing, at + length - size)
        if kind == b"moov":
            moov = read(min(length, _INDEX_BYTES), at)
        fragments = fragments or kind == b"moof"
        end = at + length
    stray = 0 if is_padding(read, end, size) else max(0, size - end)
    if not moov:
        return Structure(
            missing_bytes=missing,
            refusal="is not finished: the recording was interrupted before its index was written",
            refusal_code="media.truncated",
        )
    tracks = [track for kind, track in _inner(moov) if kind == b"trak"]
    handlers = [_path(track, b"mdia", b"hdlr")[8:12] for track in tracks]
    if b"soun" not in handlers:
        what = "is a video without sound" if b"vide" in handlers else "holds no sound"
        return Structure(refusal=what, refusal_code="media.empty")
    media = _path(tracks[handlers.index(b"soun")], b"mdia")
    description = _path(media, b"minf", b"stbl", b"stsd")
    if description[12:16] in (b"drms", b"enca", b"aavd"):
        return Structure(refusal="is protected against copying (DRM)")
    if _USAC.search(description):  # some FFmpegs decode a part of it
        return Structure(refusal="is coded as xHE-AAC, which is not read")
    if fragments:  # each has an index of its own, and after other bytes FFmpeg finds no further one
        return Structure(missing_bytes=missing, stray_bytes=stray)
    exact_s = _index_seconds(moov, tracks[handlers.index(b"soun")])
    return Structure(seconds=None if exact_s is None else float(exact_s), exact_s=exact_s, missing_bytes=missing)


def _index_seconds(moov: bytes, track: bytes) -> Fraction | None:
    """Length of a track's sound by its table of times, as far as its edit list and its priming leave it.

    The last packet counts as long as the first: recorders let it last until the end of the film. An edit list is often
    in milliseconds; where it ends with the table, as near as they can say, the table is exact.
    """
    media = _path(track, b"mdia")
    scale, times = _time_scale(_path(media, b"mdhd")), _path(media, b"minf", b"stbl", b"stts")
    count = int.from_bytes(times[4:8], "big")
    if not scale or not 0 < count <= (len(times) - 8) // 8:
        return None
    table = [struct.unpack_from(">II", times, 8 + 8 * entry) for entry in range(count)]
    last = table[-1][1]
    ticks = sum(number * step for number, step in table) - last + min(last, table[0][1])
    seconds = Fraction(ticks, scale)
    movie_scale = _time_scale(_path(moov, b"mvhd"))
    played = _edits(_path(track, b"edts", b"elst"))
    if movie_scale and any(length for length, _ in played):
        edited = Fraction(sum(length for length, _ in played), movie_scale)
        left = seconds - Fraction(played[0][1], scale)
        return left if len(played) == 1 and 0 < left <= edited + Fraction(1, movie_scale) else min(seconds, edited)
    return max(Fraction(0), seconds - Fraction(_itunes_padding(moov), scale))


def _edits(edits: bytes) -> list[tuple[int, int]]:
    """What an edit list plays: length by the film's clock, and start by the sound's."""
    entry = struct.Struct(">Qq4x" if edits[:1] == b"\x01" else ">Ii4x")
    count = min(int.from_bytes(edits[4:8], "big"), (len(edits) - 8) // entry.size)
    lists = (entry.unpack_from(edits, 8 + entry.size * number) for number in range(count))
    return [(length, start) for length, start in lists if start >= 0]


def _itunes_padding(moov: bytes) -> int:
    """Samples before and after the sound that iTunes names in a comment, for want of an edit list."""
    found = re.search(rb"iTunSMPB.{0,40}? [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{8}) ", moov, re.DOTALL | re.IGNORECASE)
    return 0 if found is None else int(found[1], 16) + int(found[2], 16)


def _time_scale(header: bytes) -> int:
    at = 20 if header[:1] == b"\x01" else 12
    return int.from_bytes(header[at : at + 4], "big")


def _boxes(read: Read, size: int) -> Iterator[tuple[bytes, int, int]]:
    """The outermost boxes: kind, where the content begins, its length."""
    at = 0
    for _ in range(MOST_PARTS):
        head = read(16, at)
        if len(head) < 8:
            return
        length, begin = int.from_bytes(head[:4], "big"), 8
        if length == 1 and len(head) == 16:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        elif length == 0 and head[4:8] in _TOP_BOXES:
            length = size - at
        if length < begin:
            return
        yield head[4:8], at + begin, length - begin
        at += length


def _inner(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def _path(data: bytes, *kinds: bytes) -> bytes:
    for wanted in kinds:
        data = next((content for kind, content in _inner(data) if kind == wanted), b"")
    return data
