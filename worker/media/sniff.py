"""Finds the kind of an audio file from its bytes.

FFmpeg gets a stranger's file with the demuxer named, so that it never guesses: its guesses include playlists, images
and formats that fetch other files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from worker.codec.frames import adts_frame_bytes, read_mpeg_header

HEAD_BYTES = 1 << 17
KINDS = "WAV, MP3, FLAC, Ogg, M4A, AAC, AIFF, AU, CAF, WebM and Matroska"

Read = Callable[[int, int], bytes]
"""``read(count, at)`` gives up to `count` bytes of a file from byte `at`."""

_MAGIC = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1aE\xdf\xa3": "matroska",
    b"caff": "caf",
    b".snd": "au",
}
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_FRAMES_IN_A_ROW = 3
_MOST_CHUNKS = 1000
_LARGEST_FRAME_BYTES = 1441  # of MPEG-1 layer III
_UNKNOWN_LENGTH = 0x7FFF0000  # and more


def demuxer_of(head: bytes, *, whole: bool) -> str | None:
    """Name the FFmpeg demuxer for a file; None when it is not an audio file of one of the `KINDS`.

    `head` is the first `HEAD_BYTES` of the file, after any ID3v2 tag (see `id3v2_bytes`); `whole`: the file ends with
    it.
    """
    first, form = head[:4], head[8:12]
    if first in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
        return "wav"
    if first == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in _MOV_ATOMS:
        return "mov"
    return _MAGIC.get(first) or _frames_demuxer(head, whole=whole)


def id3v2_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that `head` starts with, or 0 (ID3v2.4 structure, section 3.1)."""
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _frames_demuxer(head: bytes, *, whole: bool) -> str | None:
    """Look for MPEG or ADTS frames in a row, since one sync word alone is found in many things."""
    at = head.find(b"\xff")
    while at >= 0:
        for demuxer, length_at in (("aac", adts_frame_bytes), ("mp3", _mpeg_frame_bytes)):
            position, found = at, 0
            while found < _FRAMES_IN_A_ROW and (length := length_at(head, position)):
                found, position = found + 1, position + length
            only = whole and found > 0 and at == 0 and position >= len(head)  # a file of one or two frames
            if found == _FRAMES_IN_A_ROW or only:
                return demuxer
        at = head.find(b"\xff", at + 1)
    return None


def _mpeg_frame_bytes(data: bytes, at: int) -> int | None:
    header = read_mpeg_header(data, at)
    return header.frame_bytes if header else None


def missing_bytes(read: Read, demuxer: str, size: int) -> int:
    """Count the bytes that a file of so many lacks by its own header, where FFmpeg does not notice."""
    if demuxer == "wav":
        return _missing_in_wav(read, size)
    return _missing_in_ogg(read, size) if demuxer == "ogg" else 0


def _missing_in_wav(read: Read, size: int) -> int:
    at = 12
    for _ in range(_MOST_CHUNKS):
        kind, length = read(4, at), int.from_bytes(read(4, at + 4), "little")
        if kind == b"data":
            # Programs that write to a pipe do not know the length and leave 0 or as much as fits.
            return 0 if length >= _UNKNOWN_LENGTH else max(0, at + 8 + length - size)
        if len(kind) < 4:
            break
        at += 8 + length + length % 2
    return 0


def _missing_in_ogg(read: Read, size: int) -> int:
    start = max(0, size - HEAD_BYTES)
    tail = read(HEAD_BYTES, start)
    page = tail.rfind(b"OggS")  # RFC 3533, section 6: 26 bytes, the number of segments, their lengths
    if page < 0 or len(tail) < page + 27:
        return 27
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    return max(0, page + 27 + tail[page + 26] + sum(segments) - len(tail))


def mp3_encoder(file: Path) -> str | None:
    """Read the encoder's name and version that LAME and FFmpeg leave behind an MP3's first Xing/Info header.

    ("MP3 Info Tag revision 1".) None without one.
    """
    with file.open("rb") as opened:
        opened.seek(id3v2_bytes(opened.read(10)))
        frame = opened.read(_LARGEST_FRAME_BYTES)
    header = re.search(rb"(?:Xing|Info).{0,120}?((?:LAME|Lavc|Lavf)[\w.]{0,5})", frame, re.DOTALL)
    return None if header is None else header[1].decode("ascii")
