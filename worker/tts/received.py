"""Write what a voice service sends: bare samples get a WAV header, unless the bytes are those of a sound file."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

from worker.errors import TransientError
from worker.media.sniff import demuxer_of, id3v2_bytes

_JUDGED_BYTES = 1 << 14  # three frames of any MP3 or AAC
_SAMPLE_BYTES = 2
_TEXT_BYTES = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
_TEXT_FROM_BYTES = 32


def write_received(provider: str, chunks: Iterable[bytes], into: Path, *, pcm_rate_hz: int | None) -> None:
    """Write a body to a file that FFmpeg can read.

    A gateway may answer with a file where bare samples were asked for; as samples, that would be loud noise.

    Parameters
    ----------
    provider : str
    chunks : iterable of bytes
        The body as it arrives.
    into : Path
    pcm_rate_hz : int or None
        The rate of the 16-bit mono samples that were asked for; None where a file was.

    Raises
    ------
    TransientError
        If words arrive instead of samples.
    """
    arriving = iter(chunks)
    head = b""
    for chunk in arriving:
        head += chunk
        if len(head) >= _JUDGED_BYTES:
            break
    if pcm_rate_hz is None or demuxer_of(head[id3v2_bytes(head) :], whole=len(head) < _JUDGED_BYTES) is not None:
        with into.open("wb") as file:
            file.write(head)
            for chunk in arriving:
                file.write(chunk)
        return
    if len(head) >= _TEXT_FROM_BYTES and _TEXT_BYTES.issuperset(head[:_TEXT_FROM_BYTES]):
        raise TransientError(f"{provider} answered with words instead of sound", code="voice.damaged")
    with wave.open(str(into), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(_SAMPLE_BYTES)
        sound.setframerate(pcm_rate_hz)
        for samples in _whole_samples(head, arriving):
            sound.writeframesraw(samples)


def _whole_samples(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = head
    for chunk in chunks:
        whole = len(rest) // _SAMPLE_BYTES * _SAMPLE_BYTES
        yield rest[:whole]
        rest = rest[whole:] + chunk
    yield rest[: len(rest) // _SAMPLE_BYTES * _SAMPLE_BYTES]
