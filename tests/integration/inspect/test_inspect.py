"""`inspect` on files with known faults and known tones, and what it says of files that are none."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codec_signals import RATE, encode_sound
from paths import ROOT

from dsp.noise import Noise
from dsp.tones import Binaural, Isochronic, Monaural, Tone
from worker.cli.main import run as command
from worker.ffmpeg.program import find_ffmpeg
from worker.inspect.inspection import Inspection, Inspector


def run(*arguments: str | Path, hide: str = "") -> subprocess.CompletedProcess[str]:
    without = f"sys.modules[{hide!r}] = None; " if hide else ""
    code = f"import sys; {without}from worker.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, "inspect", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def inspected(sound: np.ndarray, *, rate: int = RATE) -> Inspection:
    inspector = Inspector(rate)
    for first in range(0, len(sound), 30_000):
        inspector.add(np.ascontiguousarray(sound[first : first + 30_000], np.float32))
    return inspector.result()


def music(seconds: float) -> np.ndarray:
    return 0.03 * Noise("pink", 6, RATE).render(0, round(seconds * RATE)).astype(np.float64)


def test_a_file_is_told_as_it_is(tmp_path):
    frames = 25 * RATE
    sound = 0.1 * (Binaural(200.0, 6.0, RATE).render(0, frames) + Tone(528.0, RATE).render(0, frames))
    file = tmp_path / "track.mp3"
    encode_sound(sound, file, find_ffmpeg())
    done = run(file, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["codec"] == "mp3"
    assert figures["encoder"].startswith("LAME")
    assert figures["frames"] == frames
    assert figures["average_kbps"] == pytest.approx(192, rel=0.02)
    for ear, beat_hz in (("left", 197.0), ("right", 203.0)):
        assert [tone["hz"] for tone in figures["tones"][ear]] == pytest.approx([beat_hz, 528.0], abs=1e-3)
        assert figures["tones"][ear][1]["level_dbfs"] == pytest.approx(-20 + 20 * np.log10(0.97), abs=0.05)  # LAME's
    (beat,) = figures["beats"]
    assert beat["mode"] == "binaural"
    assert beat["beat_hz"] == pytest.approx(6.0, abs=1e-3)
    assert max(beat["leakage_db"].values()) < -60
    printed = run(file)
    assert "L 197 Hz / R 203 Hz: 6 Hz beat" in printed.stdout
    assert "0:25.000" in printed.stdout


def test_loudness_and_peaks_are_those_of_the_standard():
    n = np.arange(20 * RATE)
    sine = np.repeat(10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * n / RATE)[:, None], 2, axis=1)
    result = inspected(sine)  # EBU Tech 3341, case 1
    assert result.integrated_lufs == pytest.approx(-23.0, abs=0.1)
    assert result.max_momentary_lufs == pytest.approx(-23.0, abs=0.1)
    assert result.true_peak_dbtp == pytest.approx(-23.0, abs=0.1)
    assert result.loudness_range_lu == 0.0


def test_silence_dc_and_clicks_are_found_where_they_are():
    sound = music(30) + np.array([0.0, 0.01])
    sound[10 * RATE : round(12.5 * RATE)] = 0.0
    sound[20 * RATE + 1234] += 0.5
    result = inspected(sound)
    assert result.longest_silence is not None
    assert result.longest_silence.from_s == pytest.approx(10.0, abs=0.11)
    assert result.longest_silence.seconds == pytest.approx(2.5, abs=0.21)
    assert result.dc_offset["right"] == pytest.approx(0.01 * 27.5 / 30, abs=1e-3)
    (click,) = result.clicks
    assert click.at_s == pytest.approx(20 + 1234 / RATE, abs=0.02)
    assert inspected(music(30)).clicks == ()
    assert inspected(music(30)).longest_silence is None


@pytest.mark.parametrize(
    ("source", "mode", "tones"),
    [
        (Monaural(200.0, 6.0, RATE), "monaural", [197.0, 203.0]),
        (Isochronic(200.0, 6.0, RATE), "isochronic", [200.0]),
    ],
)
def test_the_kind_of_beat_is_told(source, mode, tones):
    result = inspected(0.2 * source.render(0, 20 * RATE))
    (beat,) = result.beats
    assert beat.mode == mode
    assert beat.beat_hz == pytest.approx(6.0, abs=1e-3)
    assert [tone.hz for tone in result.tones["left"]] == pytest.approx(tones, abs=1e-3)


def test_a_tone_is_told_with_its_time():
    first, second = (0.1 * Tone(hz, RATE).render(0, 30 * RATE) for hz in (396.0, 417.0))
    tones = inspected(np.concatenate([first, second])).tones["left"]
    assert [(tone.hz, tone.from_s, tone.to_s) for tone in tones] == [(396.0, 0.0, 30.0), (417.0, 30.0, 60.0)]


@pytest.mark.parametrize("rate", [22_050, 35_467, 47_981, 48_000])
def test_other_rates_and_one_channel(tmp_path, rate):
    file = tmp_path / "mono.wav"
    soundfile.write(file, 0.1 * np.sin(2 * np.pi * 432 * np.arange(12 * rate) / rate), rate)
    figures = json.loads(run(file, "--json").stdout)
    assert (figures["sample_rate_hz"], figures["channels"], figures["duration_s"]) == (rate, 1, 12.0)
    assert figures["tones"]["left"][0]["hz"] == pytest.approx(432.0, abs=1e-3)
    assert figures["beats"] == []


@pytest.mark.further
def test_the_picture_shows_the_voice_from_the_lyrics_beside_the_file(tmp_path):
    file, picture = tmp_path / "track.wav", tmp_path / "track.png"
    soundfile.write(file, music(12), RATE)
    lyrics = "WEBVTT\n\n00:01.000 --> 00:03.500\nI am calm.\n\n00:00:06.000 --> 00:00:08.000\nI am.\n"
    file.with_suffix(".vtt").write_text(lyrics)
    done = run(file, "--picture", picture, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["voice"] == {"spans": 2, "seconds": 4.5}
    with_voice = picture.read_bytes()
    assert with_voice.startswith(b"\x89PNG")
    file.with_suffix(".vtt").unlink()
    assert run(file, "--picture", picture).returncode == 2
    assert picture.read_bytes() == with_voice
    assert run(file, "--picture", picture, "--force").returncode == 0
    assert picture.read_bytes() != with_voice


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("none.mp3", None, 3, "cannot be read"),
        ("empty.mp3", b"", 3, "empty"),
        ("text.mp3", b"this is no sound at all " * 50, 3, "not an audio file"),
    ],
)
def test_a_file_that_is_none_is_one_clear_line(tmp_path, name, content, status, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run(tmp_path / name)
    assert done.returncode == status
    assert name in done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["a\nb.wav", "a\x1b[31mb.wav", "[red] [x].wav", "a\u202eb.wav"])
def test_a_name_acts_on_no_terminal(tmp_path, name):
    soundfile.write(tmp_path / name, 0.1 * np.ones((RATE, 2)), RATE, format="WAV")
    done = run(tmp_path / name)
    assert done.returncode == 0
    first = done.stdout.splitlines()[0].strip()
    assert first.isprintable()
    assert first.startswith(name.partition("\n")[0].partition("\x1b")[0].partition("\u202e")[0])
    assert first.endswith(".wav")


@pytest.mark.parametrize("name", [".", ""])
def test_a_folder_or_no_name_at_all_is_one_clear_line(tmp_path, name):
    done = run(tmp_path if name else "")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "is not a regular file" in done.stderr


def test_without_matplotlib_the_extra_is_named_first(tmp_path):
    done = run(tmp_path / "none.mp3", "--picture", tmp_path / "out.png", hide="matplotlib")
    assert done.returncode == 1
    assert "mindscript-audio-worker[picture]" in done.stderr


@pytest.fixture
def track(tmp_path, capsys):
    """A track of a second with its report, as `render` leaves them."""
    (tmp_path / "job.json").write_text(
        '{"solfeggio": {"hz": 528}, "durationMin": 0.1, "fade": {"inMs": 0, "outMs": 0}}'
    )
    file = tmp_path / "track.mp3"
    report = tmp_path / "track.report.json"
    assert command(["render", str(tmp_path / "job.json"), "-o", str(file), "--report", str(report), "--quiet"]) == 0
    capsys.readouterr()
    return file


def test_the_report_beside_a_file_is_found_and_its_tones_are(track, capsys):
    assert command(["inspect", str(track), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["report"] == {"file": "track.report.json", "target_lufs": -16.0}
    assert [(tone["channel"], tone["state"]) for tone in figures["promised"]] == [("left", "found"), ("right", "found")]
    assert figures["promised"][0]["level_dbfs"] == pytest.approx(
        figures["promised"][0]["promised"]["level_dbfs"], abs=0.1
    )


@pytest.mark.further
def test_a_report_of_another_file_is_left_aside_and_said(track, capsys):
    soundfile.write(track.with_suffix(".wav"), music(2), RATE)
    assert command(["inspect", str(track.with_suffix(".wav")), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["promised"] is None
    assert "not the report of this file: it is of a track of 264600 frames" in figures["report_note"]
    arguments = ["inspect", str(track.with_suffix(".wav")), "--report", str(track.with_suffix(".report.json"))]
    assert command(arguments) == 2
    assert "is not the report of track.wav" in capsys.readouterr().err


def test_a_page_is_made_and_never_over_another_file(track, capsys):
    page = track.with_suffix(".html")
    assert command(["inspect", str(track), "--html", str(page)]) == 0
    text = page.read_text()
    sound = base64.b64encode(track.read_bytes()).decode()
    assert f'src="data:audio/mpeg;base64,{sound}"' in text
    assert "✓ kept" in text
    assert "page" in capsys.readouterr().out
    assert command(["inspect", str(track), "--html", str(page)]) == 2
    assert command(["inspect", str(track), "--html", str(track), "--force"]) == 2
    assert command(["inspect", str(track), "--html", str(track.with_suffix(".txt"))]) == 2
    assert page.read_text() == text


@pytest.mark.further
def test_what_browsers_do_not_play_is_an_mp3_in_the_page(tmp_path, monkeypatch):
    file, page = tmp_path / "track.aiff", tmp_path / "page.html"
    soundfile.write(file, music(3), RATE)
    assert command(["inspect", str(file), "--html", str(page)]) == 0
    assert "of a kind that not all browsers play" in page.read_text()
    monkeypatch.setattr("worker.inspect.embed.MOST_BYTES", 32_000)
    assert command(["inspect", str(file), "--html", str(page), "--force"]) == 0
    assert "plays its first 0:02 as an MP3" in page.read_text()
