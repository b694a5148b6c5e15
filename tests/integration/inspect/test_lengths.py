"""Lengths to the frame: our own files and others', with every FFmpeg that is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codec_signals import encode_sound

from dsp.tones import Tone
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import opened_sound

RATE = 44100
OLDER = os.environ.get("MINDSCRIPT_TEST_FFMPEG", "")  # a second FFmpeg, such as Debian's 5.1


def ffmpegs() -> list[Ffmpeg]:
    return [find_ffmpeg(), *([find_ffmpeg(OLDER)] if OLDER else [])]


def frames_of(ffmpeg: Ffmpeg, file: Path) -> int:
    with opened_sound(ffmpeg, file) as sound:
        for _ in sound.blocks:
            pass
        return sound.frames


@pytest.mark.parametrize("frames", [4410, 44_100, 100_001])
@pytest.mark.parametrize("ending", ["m4a", "mp3", "flac", "wav"])
def test_our_own_files_have_their_length(tmp_path, ending, frames):
    file = tmp_path / f"track.{ending}"
    encode_sound(0.1 * Tone(440.0, RATE).render(0, frames), file, find_ffmpeg())
    assert [frames_of(ffmpeg, file) for ffmpeg in ffmpegs()] == [frames] * len(ffmpegs())


@pytest.mark.parametrize(
    ("ending", "arguments", "exact"),
    [
        ("m4a", ("-c:a", "aac"), True),
        ("m4a", ("-c:a", "alac"), True),
        ("mp3", ("-c:a", "libmp3lame"), True),
        ("mp3", ("-c:a", "libmp3lame", "-write_xing", "0"), False),  # nothing in it tells of the padding
        ("opus", ("-c:a", "libopus", "-ar", "48000"), True),
        ("ogg", ("-c:a", "libvorbis"), True),
        ("aac", ("-c:a", "aac"), False),
    ],
)
def test_files_of_others_are_as_long_as_they_say(tmp_path, ending, arguments, exact):
    frames, source, file = 100_001, tmp_path / "source.wav", tmp_path / f"track.{ending}"
    soundfile.write(source, 0.1 * np.sin(np.arange(frames) / 20), RATE)
    kind = {"m4a": "ipod", "opus": "ogg", "aac": "adts"}.get(ending, ending)
    command = [find_ffmpeg().path, "-v", "error", "-i", source, *arguments, "-f", kind, file]
    subprocess.run(command, check=True, timeout=100)
    due = round(frames * 48000 / RATE) if ending == "opus" else frames
    for ffmpeg in ffmpegs():
        found = frames_of(ffmpeg, file)
        assert found == due if exact else due <= found < due + 3000
