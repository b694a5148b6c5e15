"""Chunks with their sizes: WAV, RF64, AIFF, CAF, W64, AU, WMA."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from worker.media.sniff import ASF_HEADER, Read
from worker.media.structure.base import MOST_PARTS, UNKNOWN_LENGTH, Structure

_ASF_DATA = b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_PCM_32_BYTES = 4


def wav(read: Read, size: int) -> Structure:
    """RIFF, RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088): the length of the data, in 64 bits where they are needed."""
    long_data = None
    options: tuple[str, ...] = ()
    for kind, at, length in _chunks(read, 12, "little", even=True):
        if kind == b"ds64":
            long_data = int.from_bytes(read(8, at + 8), "little")
        elif kind == b"fmt ":
            options = _wav_options(read(40, at))
        elif kind == b"data":
            if length >= UNKNOWN_LENGTH:
                length = long_data or 0
            return Structure(missing_bytes=max(0, at + length - size), input_options=options)
    return Structure(input_options=options)


def _wav_options(form: bytes) -> tuple[str, ...]:
    """24 valid bits in 32 are read by FFmpeg as if each sample took three bytes."""
    if len(form) < 26 or form[:2] != b"\xfe\xff" or form[24:26] != b"\x01\x00":
        return ()
    channels, align = int.from_bytes(form[2:4], "little"), int.from_bytes(form[12:14], "little")
    valid_bits = int.from_bytes(form[18:20], "little")
    odd = 0 < valid_bits < 8 * _PCM_32_BYTES and align == _PCM_32_BYTES * channels
    return ("-c:a", "pcm_s32le") if odd else ()


def aiff(read: Read, size: int) -> Structure:
    """AIFF and AIFF-C: the length of the chunk SSND."""
    for kind, at, length in _chunks(read, 12, "big", even=True):
        if kind == b"SSND":
            return Structure(missing_bytes=max(0, at + length - size) if length < UNKNOWN_LENGTH else 0)
    return Structure()


def caf(read: Read, size: int) -> Structure:
    """Apple's Core Audio Format: the length of the data, and the valid frames of its packet table."""
    at, missing, rate_hz, valid, coding, priming = 8, 0, 0.0, 0, b"", 0
    for _ in range(MOST_PARTS):
        head = read(12, at)
        if len(head) < 12:
            break
        length = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"desc":
            rate_hz, coding = _double(read(8, at + 12)), read(4, at + 20)
        elif head[:4] == b"pakt":
            valid, priming = (
                int.from_bytes(read(8, at + 20), "big", signed=True),
                int.from_bytes(read(4, at + 28), "big"),
            )
            missing = max(missing, at + 12 + length - size)
        elif head[:4] == b"data":
            if length < 0:  # up to the end of the file
                break
            missing = max(missing, at + 12 + length - size)
        at += 12 + max(0, length)
    seconds = valid / rate_hz if valid > 0 and 1 <= rate_hz < 1e7 else None
    # The last packet of ALAC says itself how long it is; FFmpeg 9 takes the rest off once more.
    options = ("-flags2", "skip_manual") if coding == b"alac" and not priming else ()
    return Structure(seconds=seconds, missing_bytes=missing, input_options=options)


def au(read: Read, size: int) -> Structure:
    """Sun's AU: where the sound begins, and its length."""
    head = read(12, 0)
    start, length = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    if length >= UNKNOWN_LENGTH:
        return Structure()
    return Structure(missing_bytes=max(0, start + length - size), end=min(size, start + length))


def w64(read: Read, size: int) -> Structure:
    """Sony's Wave64: chunks with GUIDs in the place of names, and 64 bits for their length."""
    at = 40
    options: tuple[str, ...] = ()
    for _ in range(MOST_PARTS):
        head = read(24, at)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:
            break
        if head[:4] == b"fmt ":
            options = _wav_options(read(40, at + 24))
        elif head[:4] == b"data":
            end = min(size, at + length)
            return Structure(missing_bytes=max(0, at + length - size), input_options=options, end=end)
        at += length + -length % 8
    return Structure(input_options=options)


def asf(read: Read, size: int) -> Structure:
    """WMA's container: the sizes of its head and of its data."""
    at, missing = 0, 0
    for _ in range(MOST_PARTS):
        head = read(24, at)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:
            break
        if head[:16] in (ASF_HEADER, _ASF_DATA):
            missing = max(missing, at + length - size)
        at += length
    return Structure(missing_bytes=missing)


def _chunks(read: Read, at: int, order: str, *, even: bool) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(MOST_PARTS):
        head = read(8, at)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little" if order == "little" else "big")
        yield head[:4], at + 8, length
        at += 8 + length + (length % 2 if even else 0)


def _double(data: bytes) -> float:
    return float(struct.unpack(">d", data)[0]) if len(data) == 8 else 0.0
