"""Streams of nothing but frames: MP3, ADTS, AC-3, AMR; and FLAC."""

from __future__ import annotations

import re
from collections.abc import Callable

from worker.codec.frames import (
    AC3_HEADER_BYTES,
    ADTS_HEADER_BYTES,
    MPEG_HEADER_BYTES,
    ac3_frame_bytes,
    adts_frame_bytes,
    read_mpeg_header,
)
from worker.media.sniff import Read, tag_bytes
from worker.media.structure.base import WINDOW_BYTES, Structure, is_padding

_LONGEST_HEADER_BYTES = 16
_LARGEST_FRAME_BYTES = 1 << 14  # of any coding, with the next one's header
_MOST_STRAY_BYTES = 1 << 20
_AMR_NB_BYTES = (12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0)  # behind a frame's header, by its type
_AMR_WB_BYTES = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0)
_MOST_LENGTHS = 1000  # headers whose frames' length is remembered

FrameBytes = Callable[[bytes, int], int | None]
"""``frame_bytes(data, at)``: length of the frame whose header is there; None where there is no header."""


def flac(read: Read, _size: int) -> Structure:
    """The number of samples in STREAMINFO (RFC 9639, 8.2)."""
    head = read(42, 0)
    if len(head) < 42 or head[4] & 0x7F:
        return Structure()
    rate_hz = int.from_bytes(head[18:21], "big") >> 4
    frames = int.from_bytes(head[21:26], "big") & 0xFFFFFFFFF
    return Structure(seconds=frames / rate_hz if frames and rate_hz else None)


def mp3(read: Read, size: int) -> Structure:
    """MPEG audio of any layer."""
    stray, end = _walk(read, size, _mpeg_bytes, MPEG_HEADER_BYTES)
    return Structure(seconds=_mp3_index_seconds(read(2048, 0)), stray_bytes=stray, end=end)


def adts(read: Read, size: int) -> Structure:
    """AAC in ADTS."""
    stray, end = _walk(read, size, adts_frame_bytes, ADTS_HEADER_BYTES)
    return Structure(stray_bytes=stray, end=end)


def ac3(read: Read, size: int) -> Structure:
    """AC-3 and E-AC-3."""
    stray, end = _walk(read, size, ac3_frame_bytes, AC3_HEADER_BYTES, first_byte=b"\x0b")
    return Structure(stray_bytes=stray, end=end)


def amr(read: Read, size: int) -> Structure:
    """AMR (RFC 4867, 5.3); frames that say of themselves that they are damaged count as stray, as zeros do."""
    wide = read(9, 0) == b"#!AMR-WB\n"
    sizes, at, stray = _AMR_WB_BYTES if wide else _AMR_NB_BYTES, 9 if wide else 6, 0
    window, base = b"", at
    while at < size and stray < _MOST_STRAY_BYTES:
        if at >= base + len(window) and not (window := read(WINDOW_BYTES, base := at)):
            break
        head = window[at - base]
        length = 1 if head & 0x83 else 1 + sizes[head >> 3 & 15]
        stray += 0 if not head & 0x83 and head & 4 else length
        at += length
    return Structure(stray_bytes=stray)


def _mpeg_bytes(data: bytes, at: int) -> int | None:
    header = read_mpeg_header(data, at)
    return header.frame_bytes if header else None


def _mp3_index_seconds(frame: bytes) -> float | None:
    """Length by the Xing or VBRI header in an MP3's first frame, less the padding that it names."""
    header = read_mpeg_header(frame)
    if header is None or header.layer != 3:
        return None
    frame_samples = 1152 if header.sample_rate >= 32_000 else 576
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big") * frame_samples / header.sample_rate or None
    found = re.search(rb"(?:Xing|Info)...(.)", frame[:64], re.DOTALL)
    if found is None or not (flags := found[1][0]) & 1:
        return None
    tag = frame[found.start() :]
    count = int.from_bytes(tag[8:12], "big")
    frames = count * frame_samples
    lame = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delay = int.from_bytes(tag[lame + 21 : lame + 24], "big")
    if re.match(rb"LAME|Lav[cf]", tag[lame : lame + 4]):
        frames -= (delay >> 12) + (delay & 0xFFF)
    return max(0, frames) / header.sample_rate if count else None


def _walk(
    read: Read, size: int, frame_bytes: FrameBytes, header_bytes: int, *, first_byte: bytes = b"\xff"
) -> tuple[int, int | None]:
    """Count the bytes between the first frame and the end that are neither frames nor tags; find the last frame's end.

    Two frames in a row begin anew after such bytes, since one sync word alone is found in many things. After
    `_MOST_STRAY_BYTES` nothing more is looked at: they are damage in any file. The end is None where it is the file's.
    """
    first = _next_frame(read, 0, size, frame_bytes, first_byte)
    at = end = first if first is not None else size
    stray = 0
    window, base = b"", 0
    lengths: dict[bytes, int | None] = {}
    while at < size and stray < _MOST_STRAY_BYTES:
        if not base <= at <= base + len(window) - _LONGEST_HEADER_BYTES:
            window, base = read(WINDOW_BYTES, at), at
        place = at - base
        header = window[place : place + header_bytes]
        length = lengths.get(header)
        if length is None:
            length = frame_bytes(window, place)
            if len(lengths) < _MOST_LENGTHS:
                lengths[header] = length
        if length:
            at = end = at + length
            continue
        tag = _tag_bytes_within(read, at, size)
        if tag:
            at += tag
            continue
        if is_padding(read, at, size):
            break
        following = _next_frame(read, at + 1, size, frame_bytes, first_byte)
        stray += (size if following is None else following) - at
        at = end = size if following is None else following
    return stray, end if end < size and stray < _MOST_STRAY_BYTES else None


def _next_frame(read: Read, at: int, size: int, frame_bytes: FrameBytes, first_byte: bytes) -> int | None:
    stop = min(size, at + _MOST_STRAY_BYTES)
    while at < stop and (window := read(WINDOW_BYTES + _LARGEST_FRAME_BYTES, at)):
        place = window.find(first_byte, 0, WINDOW_BYTES)
        while place >= 0:
            length = frame_bytes(window, place)
            if length and (at + place + length >= size or frame_bytes(window, place + length)):
                return at + place
            place = window.find(first_byte, place + 1, WINDOW_BYTES)
        at += WINDOW_BYTES
    return None


def _tag_bytes_within(read: Read, at: int, size: int) -> int:
    head = read(32, at)
    if head[:3] == b"TAG" and size - at <= 128:
        return size - at
    if head[:11] == b"LYRICSBEGIN":
        return size - at
    return tag_bytes(head)
