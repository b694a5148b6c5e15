"""`render` with jobs and recordings that it must refuse: one clear line, and nothing made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from rendering import RATE, TONES, job_file, run, speech

from dsp.noise import Noise


def test_a_stated_loop_beyond_the_music_names_its_field(tmp_path, told):
    soundfile.write(tmp_path / "music.flac", 0.1 * Noise("pink", 9, RATE).render(0, 5 * RATE), RATE)
    job_file(tmp_path, backgroundMusic={"url": "music.flac", "loop": {"from": 1, "to": 9}})
    status, words = told("render", "job.json", "--out", "track.flac", "--quiet")
    assert status == 2
    assert words == "error: backgroundMusic.loop.to: found 9, allowed is at most 5: the music's length in seconds\n"


@pytest.mark.parametrize(
    ("job", "status", "words"),
    [
        (b"{", 2, "JSON"),
        (b'{"durationMin": NaN, "solfeggio": {"hz": 528}}', 2, "durationMin"),
        (b'{"durationMin": 1e999, "solfeggio": {"hz": 528}}', 2, "durationMin"),
        (b'{"durationMin": "five", "solfeggio": {"hz": 528}}', 2, "durationMin"),
        (b'{"solfeggio": {"hz": 440}}', 2, "solfeggio.hz"),
        (b'{"binaural": {"band": "omega"}}', 2, "binaural.band"),
        (b'{"script": "Hi.", "voice": {"provider": "parrot"}}', 2, "voice.provider"),
        (b"{}", 2, "no layer"),
        (b"[]", 2, "object"),
        (b'{"gains": {"voiceDb": 11}, "solfeggio": {"hz": 528}}', 2, "gains.voiceDb"),
        (b'{"script": "Hi.", "voice": {"provider": "openai"}}', 1, "OPENAI_API_KEY"),
        (b'{"script": "Hi.", "voice": {"provider": "elevenlabs"}}', 1, "--voice"),
        (b'{"backgroundMusic": {"url": "nowhere.mp3"}}', 3, "nowhere.mp3"),
        (b'{"backgroundMusic": {"url": "file:///etc/passwd"}}', 3, "file"),
        (b'{"backgroundMusic": {"url": "nowhere.mp3"}, "solfeggio": {"hz": 528}}', 3, "nowhere.mp3"),
        (b'{"metadata": {"cover": "nowhere.png"}, "solfeggio": {"hz": 528}}', 3, "nowhere.png"),
    ],
)
def test_a_bad_job_is_one_clear_line(tmp_path, told, job, status, words):
    (tmp_path / "job.json").write_bytes(job)
    ended, said = told("render", "job.json", "-o", "track.mp3", "--quiet", OPENAI_API_KEY="", ELEVENLABS_API_KEY="")
    assert ended == status, said
    assert words in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def _files(folder: Path) -> dict[str, tuple[Path, int, str]]:
    """Recordings that are not what they should be: file, exit status, words."""
    rng = np.random.default_rng(1)
    cases: dict[str, tuple[Path, int, str]] = {}

    def add(name: str, status: int, words: str) -> Path:
        cases[name] = (folder / name, status, words)
        return folder / name

    add("missing.wav", 3, "missing.wav")
    add("empty.mp3", 3, "empty.mp3").write_bytes(b"")
    add("text.mp3", 3, "text.mp3").write_text("not audio at all\n" * 200)
    add("noise.wav", 3, "noise.wav").write_bytes(rng.bytes(5000))
    soundfile.write(add("no-frames.wav", 3, "no-frames.wav"), np.zeros(0), RATE)
    soundfile.write(add("one-frame.wav", 3, "frame"), np.ones(1) * 0.5, RATE)
    soundfile.write(folder / "whole.flac", speech(4), RATE)
    cut = add("cut.flac", 3, "cut.flac")
    cut.write_bytes((folder / "whole.flac").read_bytes()[:40_000])
    soundfile.write(add("long.wav", 2, "durationMin"), speech(30), RATE)
    return cases


@pytest.mark.parametrize(
    "name",
    ["missing.wav", "empty.mp3", "text.mp3", "noise.wav", "no-frames.wav", "one-frame.wav", "cut.flac", "long.wav"],
)
def test_a_bad_voice_is_one_clear_line(tmp_path, told, name):
    folder = tmp_path / "files"
    folder.mkdir()
    path, status, words = _files(folder)[name]
    job = job_file(tmp_path, **TONES)
    ended, said = told("render", job, "-o", tmp_path / "track.mp3", "--voice", path, "--quiet", FIT="fail")
    assert ended == status, said
    assert words in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "job.json"]


@pytest.mark.parametrize(
    ("voice", "music", "named"),
    [("cut", "whole", "cut"), ("whole", "cut", "cut"), ("cut", "text", "text")],
)
def test_recordings_are_decoded_in_parallel_and_an_error_names_its_file(tmp_path, voice, music, named):
    folder, scratch = tmp_path / "files", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    soundfile.write(folder / "whole", speech(4), RATE, format="FLAC")
    (folder / "cut").write_bytes((folder / "whole").read_bytes()[:40_000])
    (folder / "text").write_text("not audio at all\n" * 200)
    files = ("--voice", folder / voice, "--music", folder / music)
    job = job_file(tmp_path, **TONES)
    done = run("render", job, "-o", "track.mp3", *files, "--quiet", cwd=tmp_path, env={"TMPDIR": str(scratch)})
    said = done.stderr.decode()
    assert done.returncode == 3, said
    assert f": {named} " in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "job.json", "scratch"]
    assert not list(scratch.iterdir())


def test_no_ffmpeg_is_said_with_the_fix(tmp_path, told):
    job = job_file(tmp_path, **TONES)
    ended, said = told("render", job, "-o", "track.mp3", "--quiet", FFMPEG="/nowhere/ffmpeg")
    assert ended == 1
    assert "FFMPEG" in said
    assert "install" in said


def test_a_refused_voice_at_another_rate_is_one_line_of_error(tmp_path):
    """The resampler, which the error interrupts, must not complain at the process's end."""
    sound = 0.1 * np.random.default_rng(1).standard_normal((5 * 48_000, 2))
    soundfile.write(tmp_path / "voice.wav", sound, 48_000)
    data = (tmp_path / "voice.wav").read_bytes()
    (tmp_path / "voice.wav").write_bytes(data[: len(data) // 2])
    done = run(
        "render", job_file(tmp_path, **TONES), "-o", "a.mp3", "--voice", tmp_path / "voice.wav", "--quiet", cwd=tmp_path
    )
    assert done.returncode == 3
    (line,) = done.stderr.decode().splitlines()
    assert "voice.wav is cut short: it says 5.00 s, but only 2.50 s are there" in line


def test_an_ending_that_is_no_format_is_refused(tmp_path, told):
    ended, said = told("render", job_file(tmp_path, **TONES), "-o", "track.xyz")
    assert ended == 2
    assert ".flac" in said
