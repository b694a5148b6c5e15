"""Files that lie, break off, point elsewhere or blow up: each is refused with one line that names it."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import JPEG, PNG, flac_of_silence, wav_bytes
from codec_signals import RATE, encode_sound, tones
from processes import children

from worker.errors import MediaError
from worker.ffmpeg.program import find_ffmpeg
from worker.media.decode import decode


@pytest.fixture
def refused(ffmpeg, tmp_path):
    """Decode a file of these bytes; returns the error, after a check that nothing was left behind."""

    def refused(name: str, data: bytes | None, *, max_seconds: float = 60.0) -> str:
        source, into = tmp_path / name, tmp_path / "decoded.raw"
        if data is not None:
            source.write_bytes(data)
        with pytest.raises(MediaError) as error:
            decode(ffmpeg, source, into, sample_rate=RATE, max_seconds=max_seconds, timeout_s=30).close()
        assert not into.exists()
        assert not children()
        message = error.value.message
        assert message.startswith(name)
        assert "\n" not in message
        assert str(tmp_path) not in message
        return message

    return refused


def run(*arguments: str | Path) -> None:
    subprocess.run([find_ffmpeg().path, "-v", "error", "-nostdin", "-y", *arguments], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hls.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n"),
        ("hls.mp3", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n"),
        ("concat.mp3", "ffconcat version 1.0\nfile '{secret}'\n"),
        ("concat.wav", "ffconcat version 1.0\nfile 'http://127.0.0.1:1/x.mp3'\n"),
        ("list.m3u", "{secret}\n"),
        ("list.pls", "[playlist]\nFile1={secret}\n"),
        ("dash.mp3", '<?xml version="1.0"?><MPD><BaseURL>file://{secret}</BaseURL></MPD>'),
        ("session.wav", "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n"),
        ("asx.mp3", '<asx version="3.0"><entry><ref href="file://{secret}"/></entry></asx>'),
        ("text.mp3", "Dear customer service, my voice is attached to this mail.\n" * 200),
        ("page.mp3", "<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        ("json.wav", '{{"error": "quota exceeded"}}'),
    ],
)
def test_a_text_that_is_no_sound_is_never_followed(refused, tmp_path, name, text):
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, tones(1000), RATE)
    assert "is not an audio file" in refused(name, text.format(secret=secret).encode())


def test_a_text_in_utf16_is_not_taken_for_mp3(refused):
    assert "is not an audio file" in refused("text.mp3", ("ÿû" * 3000).encode("utf-16"))


@pytest.mark.parametrize("header", [b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80\x2e\x7f\xfc"], ids=["mp3", "aac"])
def test_one_frame_header_in_the_middle_of_anything_is_not_enough(refused, header):
    assert "is not an audio file" in refused("text.mp3", b"words " * 50 + header + b"words " * 1000)


@pytest.mark.parametrize("name", ["image.mp3", "image.wav"])
def test_an_image_is_no_audio_file(refused, name):
    assert "is not an audio file" in refused(name, PNG if name == "image.mp3" else JPEG)


def test_no_bytes_at_all(refused):
    assert "is empty" in refused("nothing.mp3", b"")


@pytest.mark.parametrize("size", [1, 3, 4, 11, 12, 16, 43, 44])
def test_a_wav_that_ends_within_its_header(refused, size):
    assert refused("short.wav", wav_bytes(0)[:size])


def test_a_file_that_is_not_there(refused):
    assert "cannot be read" in refused("missing.mp3", None)


def test_a_folder(refused, tmp_path):
    (tmp_path / "folder.mp3").mkdir()
    assert "is not a regular file" in refused("folder.mp3", None)


def test_a_named_pipe_does_not_make_us_wait(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    assert "is not a regular file" in refused("pipe.mp3", None)


def test_a_device(ffmpeg, tmp_path):
    with pytest.raises(MediaError, match="is not a regular file"):
        decode(ffmpeg, Path("/dev/zero"), tmp_path / "raw", sample_rate=RATE, max_seconds=1, timeout_s=5)


@pytest.mark.parametrize(
    ("lie", "word"),
    [
        ({"data_size": 1 << 24}, "is cut short"),
        ({"rate": 0}, ""),
        ({"rate": 1}, "has a sample rate of 1 Hz"),
        ({"rate": 0xFFFFFFFF}, ""),
        ({"channels": 0}, ""),
        ({"channels": 4000, "align": 2}, ""),
        ({"bits": 0}, ""),
        ({"kind": 0x4242}, ""),
        ({"bits": 7, "align": 3}, None),
        ({"align": 0}, None),
        ({"align": 1}, None),
        ({"data_size": 0xFFFFFFFF}, None),
        ({"data_size": 0}, None),
        ({"data_size": 400}, None),
    ],
    ids=str,
)
def test_a_wav_header_that_lies_is_refused_or_does_no_harm(ffmpeg, refused, tmp_path, lie, word):
    data = wav_bytes(**lie)
    if word is not None:
        assert word in refused("liar.wav", data)
        return
    (tmp_path / "liar.wav").write_bytes(data)
    clip = decode(ffmpeg, tmp_path / "liar.wav", tmp_path / "raw", sample_rate=RATE, max_seconds=60, timeout_s=30)
    assert 0 < clip.frames <= 4000


def test_a_low_rate_that_would_swell_on_the_plans_is_refused(refused):
    assert "is longer than the 60 s" in refused("slow.wav", wav_bytes(300_000, rate=4000))


def test_a_small_file_that_decodes_to_days_is_stopped_at_once(refused):
    bomb = flac_of_silence(12_000)
    assert len(bomb) < 200_000  # and a whole day of sound
    assert "is longer than the 60 s that are allowed" in refused("bomb.flac", bomb)


def test_a_film_with_sound_gives_its_sound_and_one_without_is_refused(refused, ffmpeg, tmp_path):
    film = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:d=2", "-c:v", "mpeg4")
    run(*film, tmp_path / "silent.mp4")
    assert refused("silent.mp4", None) == "silent.mp4 is a video without sound"
    run("-f", "lavfi", "-i", "sine=d=1", *film, tmp_path / "film.mp4")
    clip = decode(ffmpeg, tmp_path / "film.mp4", tmp_path / "raw", sample_rate=RATE, max_seconds=60, timeout_s=30)
    assert abs(clip.frames - RATE) <= 1024  # the picture is longer than the sound, which is no damage


def mov_with_sound_elsewhere(data: bytes, elsewhere: Path) -> bytes:
    """Put a QuickTime alias to another file in place of "the sound is in this file"."""
    here = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    path = str(elsewhere).encode()
    path += bytes(len(path) % 2)
    record = bytes(10) + b"\x04disk".ljust(28, b"\0") + bytes(12) + b"\x05a.wav".ljust(64, b"\0") + bytes(16)
    record += struct.pack(">HH", 1, 1) + bytes(16)
    record += struct.pack(">HH", 2, len(path)) + path + struct.pack(">HH", 0xFFFF, 0)
    alias = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    assert data.count(here) == 1
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = data.rindex(parent, 0, data.index(here)) - 4
        size = int.from_bytes(data[at : at + 4], "big") + len(alias) - len(here)
        data = data[:at] + size.to_bytes(4, "big") + data[at + 4 :]
    return data.replace(here, alias)


def test_a_mov_whose_sound_lies_in_another_file_is_refused(refused, tmp_path):
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, tones(RATE), RATE)
    whole = tmp_path / "whole.mov"
    run("-f", "lavfi", "-i", "sine=d=1", "-c:a", "pcm_s16le", "-f", "mov", whole)
    data = mov_with_sound_elsewhere(whole.read_bytes(), secret)
    # the file is good enough that FFmpeg follows the alias when it is told to
    followed = subprocess.run(
        [find_ffmpeg().path, "-v", "info", "-enable_drefs", "1", "-f", "mov", "-i", "pipe:0", "-f", "null", "-"],
        input=data, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"secret.wav" in followed.stderr
    assert "a.mov" in refused("a.mov", data)


def test_an_unread_coding_is_named(refused, tmp_path):
    run("-f", "lavfi", "-i", "sine=d=1", "-c:a", "tta", tmp_path / "a.mka")
    assert refused("a.mka", None) == "a.mka is coded as tta, which is not read"


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "wav"])
def test_a_file_that_breaks_off_is_cut_short(refused, ffmpeg, tmp_path, ending):
    whole = tmp_path / f"whole.{ending}"
    encode_sound(tones(RATE * 4), whole, ffmpeg)
    data = whole.read_bytes()
    assert "is cut short" in refused(f"part.{ending}", data[: len(data) * 6 // 10])


@pytest.mark.parametrize(("ending", "codec"), [("ogg", "libvorbis"), ("opus", "libopus"), ("webm", "libopus")])
def test_so_it_is_in_the_containers_of_the_web(refused, tmp_path, ending, codec):
    run("-f", "lavfi", "-i", "anoisesrc=d=4", "-c:a", codec, tmp_path / f"whole.{ending}")
    data = (tmp_path / f"whole.{ending}").read_bytes()
    assert "is cut short" in refused(f"part.{ending}", data[: len(data) * 6 // 10])


def test_an_m4a_without_its_index_is_not_finished(refused, tmp_path):
    run("-f", "lavfi", "-i", "sine=d=2", tmp_path / "whole.m4a")
    data = (tmp_path / "whole.m4a").read_bytes()
    assert "is not finished: the recording was interrupted" in refused("part.m4a", data[: len(data) // 2])


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac"])
def test_noise_behind_a_good_beginning_does_no_harm(ffmpeg, tmp_path, ending):
    whole = tmp_path / f"whole.{ending}"
    encode_sound(tones(RATE * 2), whole, ffmpeg)
    data = bytearray(whole.read_bytes())
    noise = np.random.default_rng(5).bytes(len(data) // 2)
    data[len(data) // 2 :] = noise[: len(data) - len(data) // 2]
    whole.write_bytes(data)
    try:
        clip = decode(ffmpeg, whole, tmp_path / "raw", sample_rate=RATE, max_seconds=10, timeout_s=30)
    except MediaError as error:
        assert error.message.startswith(whole.name)  # noqa: PT017 - either way is right
    else:
        assert np.isfinite(clip.read(0, clip.frames)).all()
    assert not children()


def test_a_header_that_declares_a_huge_size_is_a_media_error(ffmpeg, tmp_path):
    """A job with it fails at once and says why, and is not tried again; newer FFmpegs decode it all the same."""
    file = tmp_path / "greedy.m4a"
    encode_sound(tones(20_000), file, ffmpeg)
    data = bytearray(file.read_bytes())
    count = data.index(b"stco") + 8  # after its version and flags: how many chunks there are
    data[count : count + 4] = struct.pack(">I", 0xD1000001)
    file.write_bytes(data)
    try:
        decode(ffmpeg, file, tmp_path / "raw", sample_rate=RATE, max_seconds=60, timeout_s=30).close()
    except MediaError as error:
        assert error.message.startswith(file.name)  # noqa: PT017 - either way is right


@pytest.mark.faults
def test_bytes_at_random_are_refused_or_decoded_but_never_worse(ffmpeg, tmp_path):
    rng = np.random.default_rng(11)
    kinds = {}
    for ending in ("mp3", "m4a", "flac", "wav", "aac"):
        file = tmp_path / f"seed.{ending}"
        encode_sound(tones(20_000), file, ffmpeg)
        kinds[ending] = file.read_bytes()
    for number in range(300):
        ending = list(kinds)[number % len(kinds)]
        data = bytearray(kinds[ending])
        for place in rng.integers(0, min(len(data), 4000 if number % 2 else len(data)), rng.integers(1, 40)):
            data[place] = rng.integers(0, 256)
        file = tmp_path / f"a.{ending}"
        file.write_bytes(data)
        try:
            decode(ffmpeg, file, tmp_path / "raw", sample_rate=RATE, max_seconds=60, timeout_s=30).close()
        except MediaError as error:
            assert error.message.startswith(file.name)  # noqa: PT017
    assert not children()
