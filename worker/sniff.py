"""What kind of audio file some bytes are, told from the bytes alone.

A stranger's file is given to FFmpeg with its demuxer named, so that FFmpeg's own guessing, which also knows
playlists, images and things that fetch other things, is never asked.
"""

from __future__ import annotations

HEAD_BYTES = 1 << 17
KINDS = "WAV, MP3, FLAC, Ogg, M4A, AAC, AIFF, AU, CAF, WebM or Matroska"

_MPEG_KBPS = {  # ISO/IEC 11172-3 and 13818-3, 2.4.2.3: (version 1?, layer) -> kbit/s by index 1…14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_FRAMES_IN_A_ROW = 3


def demuxer_of(head: bytes, *, whole: bool) -> str | None:
    """Name the FFmpeg demuxer for a file.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the file, after any ID3v2 tag (see `id3v2_bytes`).
    whole : bool
        Whether the file ends with `head`.

    Returns
    -------
    str or None
        None when it is no audio file of a kind that is read.
    """
    four, kind = head[:4], head[8:12]
    if four in (b"RIFF", b"RF64", b"BW64") and kind == b"WAVE":
        return "wav"
    if four == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    for magic, demuxer in (
        (b"fLaC", "flac"),
        (b"OggS", "ogg"),
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"caff", "caf"),
        (b".snd", "au"),
    ):
        if four == magic:
            return demuxer
    return _elementary(head, whole=whole)


def id3v2_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that `head` starts with, or 0 (ID3v2.4 structure, section 3.1)."""
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def mpeg_frame_bytes(header: bytes) -> int | None:
    """Length in bytes of the MPEG audio frame with this 4-byte header; None when it is no such header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or index in (0, 15) or rate_index == 3:
        return None
    bits_per_second = 1000 * _MPEG_KBPS[version == 3, layer][index - 1]
    rate = _MPEG_HZ[version][rate_index]
    if layer == 1:
        return (12 * bits_per_second // rate + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits_per_second // rate + padding


def _adts_frame_bytes(header: bytes) -> int | None:
    # ISO/IEC 14496-3 1.A.3.2: 12 bits of sync, layer always 0, 13 bits of length
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else None


def _elementary(head: bytes, *, whole: bool) -> str | None:
    """Look for frames that follow on one another, since a sync word alone is found in any text in UTF-16."""
    at = head.find(b"\xff")
    while at >= 0:
        for demuxer, length_of in (("aac", _adts_frame_bytes), ("mp3", mpeg_frame_bytes)):
            position, found = at, 0
            while found < _FRAMES_IN_A_ROW:
                length = length_of(head[position : position + 6])
                if length is None:
                    break
                found, position = found + 1, position + length
            ends_there = whole and found > 0 and position >= len(head) and at == 0
            if found == _FRAMES_IN_A_ROW or ends_there:
                return demuxer
        at = head.find(b"\xff", at + 1)
    return None
