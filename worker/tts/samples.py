"""Bare samples from a voice service, written as WAV; a file that came in their place is kept as it is."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from worker.errors import TransientError
from worker.media.sniff import demuxer_of, id3v2_bytes

_HEAD_BYTES = 8192  # room for three frames of MP3
_TEXT_BYTES = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
_TEXT_HEAD_BYTES = 32


def write_samples(into: Path, chunks: Iterable[bytes], rate_hz: int, *, provider: str) -> None:
    """Write what a service has sent for 16-bit mono samples.

    A gateway may answer with FLAC, WAV, MP3 or Ogg whatever it was asked for. As samples that would be loud noise, so
    the first bytes decide.

    Parameters
    ----------
    into : Path
    chunks : iterable of bytes
        The body as it arrives.
    rate_hz : int
        Of the samples.
    provider : str
        For messages.

    Raises
    ------
    TransientError
        If it is text.
    """
    parts = iter(chunks)
    head = b""
    while len(head) < _HEAD_BYTES and (part := next(parts, None)) is not None:
        head += part
    if len(head) >= _TEXT_HEAD_BYTES and _TEXT_BYTES.issuperset(head[:_TEXT_HEAD_BYTES]):
        raise TransientError(f"{provider} answered with words instead of sound", code="voice.damaged")
    with ExitStack() as stack:
        file = stack.enter_context(into.open("wb"))
        if is_sound_file(head):
            file.write(head)
            file.writelines(parts)
            return
        sound = stack.enter_context(wave.open(file, "wb"))
        sound.setparams((1, 2, rate_hz, 0, "NONE", ""))
        rest = b""
        for part in _after(head, parts):
            data = rest + part
            whole = len(data) & ~1
            sound.writeframesraw(data[:whole])
            rest = data[whole:]


def is_sound_file(head: bytes) -> bool:
    """Whether bytes begin a file of a known kind; samples may begin with any bytes, but not with these."""
    if id3v2_bytes(head):
        return True
    kind = demuxer_of(head[:_HEAD_BYTES], whole=False)
    return kind is not None and (kind not in ("mp3", "aac") or head[:1] == b"\xff")


def _after(head: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from parts
