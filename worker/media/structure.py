"""What a file says of its own sound: how long it is, which bytes should be there, and what no decoder can read.

FFmpeg reports none of this in the same way for any two containers, and most of it never. Only the sound's own index and
the sizes of what holds it count: durations in the heads of containers are often wrong in good files, and speak of
pictures, chapters and subtitles, too.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.codec.frames import adts_frame_bytes, read_mpeg_header
from worker.media.sniff import Read, sound_start, tag_bytes

_MOST_PARTS = 100_000  # chunks, boxes, clusters or pages that are looked at
_UNKNOWN_LENGTH = 0x7FFF0000  # and more: what programs leave that write to a pipe
_WINDOW_BYTES = 1 << 20
_LARGEST_PADDING_BYTES = 1 << 16  # a block of a disk; more zeros are a download that was not finished
_INDEX_BYTES = 64 << 20
_LONGEST_HEADER_BYTES = 16
_PCM_32_BYTES = 4
_LARGEST_PAGE_HEAD_BYTES = 27 + 255 + 16  # with the beginning of what it holds
_MOST_LINKS = 1000


@dataclass(frozen=True)
class Structure:
    """What a file says of its own sound.

    Parameters
    ----------
    seconds : float or None
        Length of the sound by its own index; None without one.
    missing_bytes : int
        Of what should be there.
    stray_bytes : int
        Between the frames of a stream that has nothing but frames.
    refusal : str or None
        Why it is not decoded at all, to follow the file's name.
    refusal_code : str
        The error code for that.
    input_options : tuple of str
        What FFmpeg must be told about its input, since it misreads the header.
    links : tuple of int
        Where the parts begin that must be decoded one by one, since their codings differ; the first one included.
    """

    seconds: float | None = None
    missing_bytes: int = 0
    stray_bytes: int = 0
    refusal: str | None = None
    refusal_code: str = "media.invalid"
    input_options: tuple[str, ...] = ()
    links: tuple[int, ...] = (0,)


def structure_of(read: Read, demuxer: str, size: int) -> Structure:
    """Look through a file of so many bytes; what is not known of a kind is left at nothing."""
    look = _LOOKS.get(demuxer)
    return Structure() if look is None else look(read, size)


# ---- chunks: WAV, AIFF, CAF, W64; AU ----


def _wav(read: Read, size: int) -> Structure:
    long_data = None
    options: tuple[str, ...] = ()
    start = sound_start(read, size)
    for kind, at, length in _chunks(read, start + 12, "little", even=True):
        if kind == b"ds64":
            long_data = int.from_bytes(read(8, at + 8), "little")
        elif kind == b"fmt ":
            options = _wav_options(read(40, at))
        elif kind == b"data":
            if length >= _UNKNOWN_LENGTH:
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


def _aiff(read: Read, size: int) -> Structure:
    start = sound_start(read, size)
    for kind, at, length in _chunks(read, start + 12, "big", even=True):
        if kind == b"SSND":
            return Structure(missing_bytes=max(0, at + length - size) if length < _UNKNOWN_LENGTH else 0)
    return Structure()


def _caf(read: Read, size: int) -> Structure:
    at, missing, rate_hz, valid = 8, 0, 0.0, 0
    for _ in range(_MOST_PARTS):
        head = read(12, at)
        if len(head) < 12:
            break
        length = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"desc":
            rate_hz = _double(read(8, at + 12))
        elif head[:4] == b"pakt":
            valid = int.from_bytes(read(8, at + 20), "big", signed=True)
        elif head[:4] == b"data":
            if length < 0:  # up to the end of the file
                break
            missing = max(0, at + 12 + length - size)
        at += 12 + max(0, length)
    seconds = valid / rate_hz if valid > 0 and 1 <= rate_hz < 1e7 else None
    return Structure(seconds=seconds, missing_bytes=missing)


def _au(read: Read, size: int) -> Structure:
    head = read(12, 0)
    start, length = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    return Structure(missing_bytes=max(0, start + length - size) if length < _UNKNOWN_LENGTH else 0)


def _w64(read: Read, size: int) -> Structure:
    at = 40
    options: tuple[str, ...] = ()
    for _ in range(_MOST_PARTS):
        head = read(24, at)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:
            break
        if head[:4] == b"fmt ":
            options = _wav_options(read(40, at + 24))
        elif head[:4] == b"data":
            return Structure(missing_bytes=max(0, at + length - size), input_options=options)
        at += length + -length % 8
    return Structure(input_options=options)


def _asf(read: Read, size: int) -> Structure:
    at, missing = 0, 0
    for _ in range(_MOST_PARTS):
        head = read(24, at)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:
            break
        missing = max(0, at + length - size)
        at += length
    return Structure(missing_bytes=missing)


def _chunks(read: Read, at: int, order: str, *, even: bool) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(_MOST_PARTS):
        head = read(8, at)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little" if order == "little" else "big")
        yield head[:4], at + 8, length
        at += 8 + length + (length % 2 if even else 0)


def _double(data: bytes) -> float:
    return float(struct.unpack(">d", data)[0]) if len(data) == 8 else 0.0


# ---- FLAC, MP3, ADTS ----


def _flac(read: Read, size: int) -> Structure:
    head = read(42, sound_start(read, size))
    if len(head) < 42 or head[4] & 0x7F:
        return Structure()
    rate_hz = int.from_bytes(head[18:21], "big") >> 4
    frames = int.from_bytes(head[21:26], "big") & 0xFFFFFFFFF
    return Structure(seconds=frames / rate_hz if frames and rate_hz else None)


def _mp3(read: Read, size: int) -> Structure:
    start = sound_start(read, size)
    return Structure(seconds=_xing_seconds(read(2048, start)), stray_bytes=_stray(read, start, size, _mpeg_bytes, 4))


def _adts(read: Read, size: int) -> Structure:
    return Structure(stray_bytes=_stray(read, sound_start(read, size), size, adts_frame_bytes, 7))


def _mpeg_bytes(data: bytes, at: int) -> int | None:
    header = read_mpeg_header(data, at)
    return header.frame_bytes if header else None


def _xing_seconds(frame: bytes) -> float | None:
    """Length by the Xing header in an MP3's first frame, less the padding that it names."""
    header, found = read_mpeg_header(frame), re.search(rb"Xing|Info", frame[:64])
    if header is None or header.layer != 3 or found is None or not frame[found.end() + 3] & 1:
        return None
    tag = frame[found.start() :]
    count, flags = int.from_bytes(tag[8:12], "big"), tag[7]
    frames = count * (1152 if header.sample_rate >= 32_000 else 576)
    lame = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delay = int.from_bytes(tag[lame + 21 : lame + 24], "big")
    if re.match(rb"LAME|Lav[cf]", tag[lame : lame + 4]):
        frames -= (delay >> 12) + (delay & 0xFFF)
    return max(0, frames) / header.sample_rate if count else None


def _stray(
    read: Read, start: int, size: int, frame_bytes: Callable[[bytes, int], int | None], header_bytes: int
) -> int:
    """Count the bytes between the first frame and the end that are neither frames nor tags.

    Two frames in a row begin anew after such bytes, since one sync word alone is found in many things.
    """
    first = _next_frame(read, start, size, frame_bytes)
    at = first if first is not None else size
    stray = 0
    window, base = b"", 0
    lengths: dict[bytes, int | None] = {}
    while at < size:
        if not base <= at <= base + len(window) - _LONGEST_HEADER_BYTES:
            window, base = read(_WINDOW_BYTES, at), at
            if len(window) < header_bytes:
                break
        place = at - base
        header = window[place : place + header_bytes]
        length = lengths.get(header)
        if length is None:
            length = frame_bytes(window, place)
            if header_bytes == 4 or len(lengths) < 1000:
                lengths[header] = length
        if length:
            at += length
            continue
        tag = _tag_bytes_within(read, at, size)
        if tag:
            at += tag
            continue
        if _is_padding(read, at, size):
            break
        following = _next_frame(read, at + 1, size, frame_bytes)
        stray += (size if following is None else following) - at
        at = size if following is None else following
    return stray


def _next_frame(read: Read, at: int, size: int, frame_bytes: Callable[[bytes, int], int | None]) -> int | None:
    while at < size:
        window = read(_WINDOW_BYTES, at)
        place = window.find(b"\xff")
        while place >= 0:
            length = frame_bytes(window, place)
            if length:
                after = at + place + length
                if after >= size or frame_bytes(read(_LONGEST_HEADER_BYTES, after), 0):
                    return at + place
            place = window.find(b"\xff", place + 1)
        at += max(1, len(window) - _LONGEST_HEADER_BYTES) if len(window) == _WINDOW_BYTES else len(window)
        if not window:
            break
    return None


def _is_padding(read: Read, at: int, size: int) -> bool:
    """Whether nothing but a few zeros is left, as where a disk or a download filled up the last block."""
    return size - at <= _LARGEST_PADDING_BYTES and not read(_LARGEST_PADDING_BYTES, at).strip(b"\0")


def _tag_bytes_within(read: Read, at: int, size: int) -> int:
    head = read(32, at)
    if head[:3] == b"TAG" and size - at <= 128:
        return size - at
    if head[:11] == b"LYRICSBEGIN":
        return size - at
    return tag_bytes(head)


# ---- Ogg ----


def _ogg(read: Read, size: int) -> Structure:
    """Page by page (RFC 3533, 6). FFmpeg ends a chain where its streams change: such links are told apart."""
    at, stray, missing = sound_start(read, size), 0, 0
    heads: list[tuple[int, bytes]] = []  # of each link: where it begins, and the head of its first stream
    within_head = last = False
    window, base = b"", 0
    while at < size:
        if not base <= at <= base + len(window) - _LARGEST_PAGE_HEAD_BYTES:
            window, base = read(_WINDOW_BYTES, at), at
        place = at - base
        page = window[place : place + _LARGEST_PAGE_HEAD_BYTES]
        if page[:4] == b"OggS" and len(page) >= 27:
            begins = bool(page[5] & 2)
            start, length = 27 + page[26], 27 + page[26] + sum(page[27 : 27 + page[26]])
            if begins and not within_head and len(heads) < _MOST_LINKS:
                heads.append((at, page[start : start + 16]))
            within_head = begins
            missing = max(0, at + length - size)
            last = bool(page[5] & 4)
            at += length
            continue
        if _is_padding(read, at, size):
            break
        following = _find(read, b"OggS", at + 1, size)
        stray += (size if following is None else following) - at
        at = size if following is None else following
    differ = len({head for _, head in heads}) > 1
    links = tuple(start for start, _ in heads) if differ else (0,)
    if missing and not last:  # what should follow this page, nothing tells
        words = f"is cut short: it ends {missing} bytes before the end of a page, and that is not its last"
        return Structure(missing_bytes=missing, refusal=words, refusal_code="media.truncated")
    return Structure(missing_bytes=missing, stray_bytes=stray, links=links)


def _find(read: Read, wanted: bytes, at: int, size: int) -> int | None:
    while at < size:
        window = read(_WINDOW_BYTES, at)
        place = window.find(wanted)
        if place >= 0:
            return at + place
        at += max(1, len(window) - len(wanted) + 1)
    return None


# ---- Matroska ----

_SEGMENT_ID, _CLUSTER_ID = 0x18538067, 0x1F43B675
_TOP_IDS = frozenset((0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469, 0xEC, 0xBF))


def _matroska(read: Read, size: int) -> Structure:
    """The segment's size, or, in a recording that was written as it came, that of its last part."""
    at, missing = 0, 0
    for _ in range(_MOST_PARTS):
        head = read(12, at)
        parsed = _ebml(head)
        if parsed is None:
            break
        identifier, length, begin = parsed
        if length is None:
            at += begin  # unknown: its children follow
            continue
        missing = max(0, at + begin + length - size)
        if identifier == _SEGMENT_ID and missing == 0:
            break  # whole
        at += begin if identifier == _SEGMENT_ID and missing == 0 else begin + length
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


# ---- MP4, MOV, 3GP ----


def _mov(read: Read, size: int) -> Structure:
    missing, moov, fragments = 0, b"", False
    for kind, at, length in _boxes(read, size):
        missing = max(missing, at + length - size)
        if kind == b"moov":
            moov = read(min(length, _INDEX_BYTES), at)
        fragments = fragments or kind == b"moof"
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
    if _path(media, b"minf", b"stbl", b"stsd")[12:16] in (b"drms", b"enca", b"aavd"):
        return Structure(refusal="is protected against copying (DRM)")
    seconds = None if fragments else _index_seconds(moov, tracks[handlers.index(b"soun")])
    return Structure(seconds=seconds, missing_bytes=missing)


def _index_seconds(moov: bytes, track: bytes) -> float | None:
    """Length of a track's sound by its table of times, as far as its edit list and its priming leave it.

    The last packet counts as long as the first: recorders let it last until the end of the film.
    """
    media = _path(track, b"mdia")
    scale, times = _time_scale(_path(media, b"mdhd")), _path(media, b"minf", b"stbl", b"stts")
    count = int.from_bytes(times[4:8], "big")
    if not scale or not 0 < count <= (len(times) - 8) // 8:
        return None
    table = [struct.unpack_from(">II", times, 8 + 8 * entry) for entry in range(count)]
    last = table[-1][1]
    seconds: float = (sum(number * step for number, step in table) - last + min(last, table[0][1])) / scale
    edited = _edited_seconds(_path(track, b"edts", b"elst"), _time_scale(_path(moov, b"mvhd")))
    if edited is not None:
        return min(seconds, edited)
    return max(0.0, seconds - _itunes_padding(moov) / scale)


def _edited_seconds(edits: bytes, scale: int) -> float | None:
    """Length of what an edit list plays; None where it has no lengths."""
    entry = struct.Struct(">Qq4x" if edits[:1] == b"\x01" else ">Ii4x")
    count = min(int.from_bytes(edits[4:8], "big"), (len(edits) - 8) // entry.size)
    if not scale or count < 1:
        return None
    lists = [entry.unpack_from(edits, 8 + entry.size * number) for number in range(count)]
    played: int = sum(length for length, start in lists if start >= 0)
    return played / scale or None


def _itunes_padding(moov: bytes) -> int:
    """Samples before and after the sound that iTunes names in a comment, for want of an edit list."""
    found = re.search(rb"iTunSMPB.{0,40}? [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{8}) ", moov, re.DOTALL | re.IGNORECASE)
    return 0 if found is None else int(found[1], 16) + int(found[2], 16)


def _time_scale(header: bytes) -> int:
    at = 20 if header[:1] == b"\x01" else 12
    return int.from_bytes(header[at : at + 4], "big")


def _boxes(read: Read, size: int) -> Iterator[tuple[bytes, int, int]]:
    """The outermost boxes: kind, where the content begins, its length."""
    at = sound_start(read, size)
    for _ in range(_MOST_PARTS):
        head = read(16, at)
        if len(head) < 8:
            return
        length, begin = int.from_bytes(head[:4], "big"), 8
        if length == 1 and len(head) == 16:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
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


_LOOKS: dict[str, Callable[[Read, int], Structure]] = {
    "wav": _wav, "aiff": _aiff, "caf": _caf, "au": _au, "w64": _w64, "asf": _asf, "flac": _flac, "mp3": _mp3,
    "aac": _adts, "ogg": _ogg, "matroska": _matroska, "mov": _mov,
}  # fmt: skip
