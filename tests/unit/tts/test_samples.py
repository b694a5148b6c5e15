"""What a service sends is taken by its bytes, not by what was asked for."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import soundfile
from spoken_pieces import as_flac

from worker.errors import TransientError
from worker.tts.samples import write_samples

SOUND = (0.3 * np.sin(np.arange(30_000) / 9)).astype(np.float32)


def received(body: bytes, folder, *, size: int = 999) -> bytes:
    into = folder / "piece"
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    write_samples(into, chunks, 44_100, provider="a gateway")
    return into.read_bytes()


def encoded(format_: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 44_100, format=format_)
    return file.getvalue()


@pytest.mark.parametrize(
    "body", [as_flac(SOUND), encoded("OGG"), encoded("WAV"), encoded("MP3")], ids=["FLAC", "OGG", "WAV", "MP3"]
)
@pytest.mark.parametrize("size", [1, 999, 1 << 20])
def test_a_file_in_place_of_samples_stays_a_file(tmp_path, body, size):
    body = body[:20_000] if size == 1 else body
    assert received(body, tmp_path, size=size) == body


def test_an_mp3_with_a_tag_is_known(tmp_path):
    body = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + encoded("MP3")
    assert received(body, tmp_path) == body


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("odd", [b"", b"x"])
def test_samples_get_a_header(tmp_path, size, odd):
    samples = np.round(SOUND[:9000] * 32767).astype("<i2")
    with wave.open(io.BytesIO(received(samples.tobytes() + odd, tmp_path, size=size))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (44_100, 1, 2)
        assert sound.readframes(10_000) == samples.tobytes()


def test_words_are_refused(tmp_path):
    with pytest.raises(TransientError, match="words"):
        received(b"<html><body>Too many requests, please wait.</body></html>", tmp_path)
