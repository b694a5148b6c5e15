"""Ogg: pages, and the streams that follow one another in a chain (RFC 3533)."""

from __future__ import annotations

from dataclasses import dataclass

from worker.media.sniff import Read
from worker.media.structure.base import LARGEST_PADDING_BYTES, WINDOW_BYTES, Structure, is_padding

_LARGEST_PAGE_HEAD_BYTES = 27 + 255 + 40  # with the beginning of what it holds
_MOST_LINKS = 1000


@dataclass
class _OggStream:
    """One logical stream: its time stamps a second, the last of them, and the one before."""

    rate_hz: int
    stamp: int = 0
    before: int = 0


def ogg(read: Read, size: int) -> Structure:
    """Page by page (RFC 3533, 6). FFmpeg ends a chain where its streams change: such links are told apart.

    Of a page that is not whole FFmpeg decodes nothing.
    """
    at, stray, missing, end = 0, 0, 0, 0
    heads: list[tuple[int, bytes]] = []  # of each link: where it begins, and the head of its first stream
    streams: dict[bytes, _OggStream] = {}
    stream = _OggStream(0)
    within_head = last = False
    guessed_s = 0.0
    window, base = b"", 0
    while at < size:
        if not base <= at <= base + len(window) - _LARGEST_PAGE_HEAD_BYTES:
            window, base = read(WINDOW_BYTES, at), at
        place = at - base
        page = window[place : place + _LARGEST_PAGE_HEAD_BYTES]
        if page[:4] == b"OggS" and len(page) >= 27:
            begins = bool(page[5] & 2)
            start, length = 27 + page[26], 27 + page[26] + sum(page[27 : 27 + page[26]])
            if begins and not within_head and len(heads) < _MOST_LINKS:
                heads.append((at, page[start : start + 16]))
            if begins and len(streams) < _MOST_LINKS:
                streams[page[14:18]] = _OggStream(_stamp_rate_hz(page[start:]))
            stamp = int.from_bytes(page[6:14], "little", signed=True)
            if stamp >= 0 and (stream := streams.get(page[14:18], stream)):
                stream.before, stream.stamp = stream.stamp, stamp
                if not guessed_s and stream.rate_hz:  # one stamp for all packets of a page
                    guessed_s = stamp / stream.rate_hz
            within_head = begins
            missing = max(0, at + length - size)
            last = bool(page[5] & 4)
            at = end = at + length
            continue
        if is_padding(read, at, size):
            break
        following = _find(read, b"OggS", at + 1, size)
        if following is None and last and size - at <= LARGEST_PADDING_BYTES:  # such as a tag
            break
        stray += (size if following is None else following) - at
        at = end = size if following is None else following
    differ = len({head for _, head in heads}) > 1
    links = tuple(start for start, _ in heads) if differ else (0,)
    if missing and not last:  # what should follow this page, nothing tells
        words = f"is cut short: it ends {missing} bytes before the end of a page, and that is not its last"
        return Structure(missing_bytes=missing, refusal=words, refusal_code="media.truncated")
    lost_s = (stream.stamp - stream.before) / stream.rate_hz if missing and stream.rate_hz else 0.0
    return Structure(
        missing_bytes=missing,
        missing_seconds=max(0.0, lost_s),
        guessed_s=guessed_s,
        stray_bytes=stray,
        end=end if end < size else None,
        links=links,
    )


def _stamp_rate_hz(head: bytes) -> int:
    """How many of its time stamps an Ogg stream's first packet counts in a second; 0 for an unknown coding."""
    if head.startswith(b"\x01vorbis"):
        return int.from_bytes(head[12:16], "little")
    if head.startswith(b"OpusHead"):
        return 48_000
    if head.startswith(b"\x7fFLAC"):
        return int.from_bytes(head[27:30], "big") >> 4
    return int.from_bytes(head[36:40], "little") if head.startswith(b"Speex   ") else 0


def _find(read: Read, wanted: bytes, at: int, size: int) -> int | None:
    while at < size:
        window = read(WINDOW_BYTES, at)
        place = window.find(wanted)
        if place >= 0:
            return at + place
        at += max(1, len(window) - len(wanted) + 1)
    return None
