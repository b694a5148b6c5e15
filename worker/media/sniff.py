"""Finds the kind of an audio file from its bytes.

FFmpeg gets a stranger's file with the demuxer named, so that it never guesses: its guesses include playlists, images
and formats that fetch other files. What begins as something else is refused as that: the frames of MPEG audio, which
have no signature of their own, are found within films and archives, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from worker.codec.frames import ac3_frame_bytes, adts_frame_bytes, is_eac3, read_mpeg_header

HEAD_BYTES = 1 << 17
KINDS = "WAV, MP3, FLAC, Ogg, M4A, AAC, AIFF, AU, CAF, WebM, Matroska, W64, AMR, AC-3 and WMA"

Read = Callable[[int, int], bytes]
"""``read(count, at)`` gives up to `count` bytes of a file from byte `at`."""

W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
ASF_HEADER = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_MAGIC = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1aE\xdf\xa3": "matroska",
    b"caff": "caf",
    b".snd": "au",
    b"#!AMR\n": "amr",
    b"#!AMR-WB\n": "amr",
    W64_RIFF: "w64",
    ASF_HEADER: "asf",
}
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_FOREIGN = (
    ("a film (AVI)", 0, rb"RIFF....AVI "),
    ("another kind of RIFF file", 0, rb"RIFF....(?!WAVE)"),
    ("another kind of IFF file", 0, rb"FORM....(?!AIF[FC])"),
    ("a film (MPEG)", 0, rb"\x00\x00\x01[\xb0-\xbf]"),
    ("a film (MPEG transport stream)", 0, rb"\x47.{187}\x47.{187}\x47"),
    ("a film (MPEG transport stream)", 4, rb"\x47.{191}\x47.{191}\x47"),
    ("a film (FLV)", 0, rb"FLV\x01"),
    ("a RealMedia file", 0, rb"\.RMF|\.ra\xfd"),
    ("a film (MXF)", 0, rb"\x06\x0e\x2b\x34\x02\x05\x01\x01"),
    ("an archive (tar)", 257, rb"ustar"),
    ("an archive or document (ZIP)", 0, rb"PK[\x03\x05\x07]"),
    ("an archive (gzip)", 0, rb"\x1f\x8b\x08"),
    ("an archive (bzip2)", 0, rb"BZh[1-9]1AY"),
    ("an archive (xz)", 0, rb"\xfd7zXZ\x00"),
    ("an archive (zstd)", 0, rb"\x28\xb5\x2f\xfd"),
    ("an archive (7-Zip)", 0, rb"7z\xbc\xaf\x27\x1c"),
    ("an archive (RAR)", 0, rb"Rar!\x1a\x07"),
    ("a PDF document", 0, rb"%PDF-"),
    ("an Office document", 0, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("a picture (PNG)", 0, rb"\x89PNG\r\n"),
    ("a picture (JPEG)", 0, rb"\xff\xd8\xff"),
    ("a picture (GIF)", 0, rb"GIF8[79]a"),
    ("a picture (TIFF)", 0, rb"II\*\x00|MM\x00\*"),
    ("a picture (BMP)", 0, rb"BM....\x00\x00\x00\x00"),
    ("a program", 0, rb"\x7fELF|MZ.\x00"),
    ("a database (SQLite)", 0, rb"SQLite format 3\x00"),
    ("a MIDI file: notes without sound", 0, rb"MThd"),
    ("a Monkey's Audio file", 0, rb"MAC "),
    ("a Musepack file", 0, rb"MPCK|MP\+"),
    ("a WavPack file", 0, rb"wvpk"),
    ("a True Audio file", 0, rb"TTA[12]"),
    ("a DSD file", 0, rb"DSD |FRM8"),
)
_FRAMES_IN_A_ROW = 3
_FRAMES_AFTER_OTHER_BYTES = 10
_LARGEST_FRAME_BYTES = 1441  # of MPEG-1 layer III
_APE_TAG_BYTES = 32  # header; as many again for the footer
_MOST_TAGS = 1000
_ZEROS_BYTES = 1 << 16


def foreign_kind(head: bytes) -> str | None:
    """What else a file is, in words, by the signature it begins with; None where it has none that is known."""
    for name, at, pattern in _FOREIGN:
        if re.compile(pattern, re.DOTALL).match(head, at):
            return name
    return None


def demuxer_of(head: bytes, *, whole: bool) -> str | None:
    """Name the FFmpeg demuxer for a file; None when it is not an audio file of one of the `KINDS`.

    `head` is the first `HEAD_BYTES` of the file, after all that `sound_start` skips; `whole`: the file ends with it.
    """
    first, form = head[:4], head[8:12]
    if first in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
        return "wav"
    if first == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in _MOV_ATOMS:
        return "mov"
    for magic, demuxer in _MAGIC.items():
        if head.startswith(magic):
            return demuxer
    return None if foreign_kind(head) else _ac3_demuxer(head, whole=whole) or _frames_demuxer(head, whole=whole)


def sound_start(read: Read, size: int) -> int:
    """Where a file's sound begins: after its tags (ID3v2, APE), however many and long, and after zeros."""
    at = 0
    for _ in range(_MOST_TAGS):
        length = tag_bytes(read(_APE_TAG_BYTES, at)) or _zeros(read, at)
        if not length or at + length >= size:
            break
        at += length
    return at


def _zeros(read: Read, at: int) -> int:
    """How many zeros lie here before something else; not those that a box or an MPEG start code begins with."""
    start = at
    while chunk := read(_ZEROS_BYTES, at):
        rest = chunk.lstrip(b"\0")
        at += len(chunk) - len(rest)
        if rest:
            break
    for own in range(min(3, at - start), 0, -1):
        head = read(8, at - own)
        if head[4:] in _MOV_ATOMS or foreign_kind(head):
            return at - own - start
    return at - start


def tag_bytes(head: bytes) -> int:
    """Length of the ID3v2 or APEv2 tag that `head` starts with, or 0."""
    if head[:8] == b"APETAGEX" and len(head) >= _APE_TAG_BYTES:
        is_header = bool(head[23] & 0x20)
        return int.from_bytes(head[12:16], "little") + _APE_TAG_BYTES if is_header else _APE_TAG_BYTES
    return id3v2_bytes(head)


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
        needed = _FRAMES_AFTER_OTHER_BYTES if at > _LARGEST_FRAME_BYTES else _FRAMES_IN_A_ROW
        for demuxer, length_at in (("aac", adts_frame_bytes), ("mp3", _mpeg_frame_bytes)):
            position, found = at, 0
            while found < needed and (length := length_at(head, position)):
                found, position = found + 1, position + length
            only = whole and found > 0 and at == 0 and position >= len(head)  # a file of one or two frames
            if found == needed or only:
                return demuxer
        at = head.find(b"\xff", at + 1)
    return None


def _ac3_demuxer(head: bytes, *, whole: bool) -> str | None:
    """Look for frames of AC-3 in a row; at the beginning only, since no other bytes come before them in such files."""
    at, demuxer = 0, "ac3"
    for _ in range(_FRAMES_IN_A_ROW):
        length = ac3_frame_bytes(head, at)
        if length is None:
            return demuxer if whole and 0 < at == len(head) else None
        demuxer = "eac3" if is_eac3(head, at) else demuxer
        at += length
    return demuxer


def _mpeg_frame_bytes(data: bytes, at: int) -> int | None:
    header = read_mpeg_header(data, at)
    return header.frame_bytes if header else None


def mp3_encoder(file: Path) -> str | None:
    """Read the encoder's name and version that LAME and FFmpeg leave behind an MP3's first Xing/Info header.

    ("MP3 Info Tag revision 1".) None without one.
    """
    with file.open("rb") as opened:
        opened.seek(id3v2_bytes(opened.read(10)))
        frame = opened.read(_LARGEST_FRAME_BYTES)
    header = re.search(rb"(?:Xing|Info).{0,120}?((?:LAME|Lavc|Lavf)[\w.]{0,5})", frame, re.DOTALL)
    return None if header is None else header[1].decode("ascii")
