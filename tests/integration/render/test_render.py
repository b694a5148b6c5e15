"""`render` end to end: real FFmpeg, real files, the delivered file decoded and measured; and all that can be wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from music_pieces import PIECES, TURN_S
from paths import ROOT
from processes import heed_interrupts
from tiers import further

from dsp.loudness import measure, short_term_lufs
from dsp.noise import Noise
from worker.cli.main import run as run_command
from worker.ffmpeg.program import find_ffmpeg

RATE = 44_100
TONES = {"durationMin": 0.25, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}


def speech(seconds: float) -> np.ndarray:
    """Something like speech: noise in syllables, one channel."""
    n = np.arange(round(seconds * RATE))
    syllables = np.maximum(np.sin(2 * np.pi * 3.1 * n / RATE), 0) * (np.sin(2 * np.pi * 0.4 * n / RATE) > -0.7)
    return 0.3 * syllables * Noise("pink", 8, RATE).render(0, len(n))[:, 0]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A voice at 24 kHz mono and music at 48 kHz stereo."""
    folder = tmp_path_factory.mktemp("recordings")
    soundfile.write(folder / "voice.wav", speech(2.5)[: 2 * RATE], RATE)
    soundfile.write(folder / "music.flac", 0.1 * Noise("pink", 9, 48_000).render(0, 5 * 48_000), 48_000)
    return folder


def run(
    *arguments: str | Path, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        check=False,
    )


def job_file(folder: Path, **job: object) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


@pytest.fixture
def told(tmp_path, monkeypatch, capfd):
    """Runs a command here, in the test's folder: exit status and standard error. A process of its own takes 0.5 s."""

    def run_here(*arguments: str | Path, **env: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return run_command([*map(str, arguments)]), capfd.readouterr().err

    return run_here


def ebur128(path: Path) -> tuple[float, float]:
    """Loudness and true peak as FFmpeg reads the decoded file: a meter that is not ours."""
    said = subprocess.run(
        [
            find_ffmpeg().path,
            "-nostdin",
            "-hide_banner",
            "-nostats",
            "-i",
            path,
            "-af",
            "ebur128=peak=true",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1]), float(re.findall(r"Peak:\s+(-?[\d.]+) dBFS", said)[-1])


def decoded_frames(path: Path) -> int:
    pcm = subprocess.run(
        [find_ffmpeg().path, "-nostdin", "-v", "error", "-i", path, "-f", "s16le", "-ac", "2", "-"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert pcm.stderr == b""
    return len(pcm.stdout) // 4


@pytest.mark.parametrize(
    ("ending", "quality", "target"),
    [
        ("mp3", "medium", -14),
        ("m4a", "medium", -16),
        ("wav", "medium", -23),
        *further([("mp3", "low", -16), ("mp3", "high", -20), ("flac", "medium", -12)]),
    ],
)
def test_a_full_mix_keeps_its_promises_in_every_format(tmp_path, recordings, ending, quality, target):
    job = job_file(
        tmp_path,
        **TONES,
        output={"format": "mp3", "quality": quality},
        safety={"targetLufs": target, "loudness": "exact"},
        pauseSec=1,
        startDelaySec=1,
    )
    out, report_file = tmp_path / f"track.{ending}", tmp_path / "report.json"
    done = run(
        "render", job, "-o", out, "--voice", recordings / "voice.wav", "--music", recordings / "music.flac",
        "--report", report_file, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    lufs, dbtp = ebur128(out)
    report = json.loads(report_file.read_text())
    assert report["integrated_lufs"] == pytest.approx(target, abs=0.1)
    assert lufs == pytest.approx(target, abs=0.15)  # FFmpeg prints a tenth
    assert dbtp <= -1.0 + 0.05
    assert report["true_peak_dbtp"] <= -1.0
    frames = round(0.25 * 60 * RATE)
    assert report["frames"] == frames
    # FFmpeg 5.1 does not trim the end of an M4A
    assert decoded_frames(out) in (frames, -(-frames // 1024) * 1024 if ending == "m4a" else frames)
    assert report["repetitions"] == 4  # 1 s, then 2 s of voice and 1 s of pause; the last must end before the fade-out
    voice, music = report["layers"]["voice"], report["layers"]["music"]
    assert voice["relative_to_voice_lu"] == 0
    assert music["relative_to_voice_lu"] == pytest.approx(-9.0, abs=0.1)  # -10 dB against -1 dB
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["job.json", out.name, "report.json"])


def test_the_voice_is_where_the_plan_says_to_the_frame(tmp_path, recordings):
    job = job_file(
        tmp_path,
        durationMin=0.2,
        startDelaySec=1.5,
        pauseSec=2,
        fade={"inMs": 0, "outMs": 0},
        output={"normalize": False},
    )
    out = tmp_path / "track.wav"
    assert run("render", job, "-o", out, "--voice", recordings / "voice.wav", cwd=tmp_path).returncode == 0
    track, _ = soundfile.read(out)
    recording, _ = soundfile.read(recordings / "voice.wav")
    for number, start in enumerate((66_150, 66_150 + 176_400, 66_150 + 2 * 176_400)):
        delivered_sound = track[start : start + len(recording), 0]
        assert np.corrcoef(delivered_sound, recording)[0, 1] > 0.999, number
        early = track[start - 1 : start - 1 + len(recording), 0]
        assert np.corrcoef(delivered_sound, recording)[0, 1] > np.corrcoef(early, recording)[0, 1] + 1e-4
    assert np.abs(track[:66_000]).max() < 1e-4


@pytest.mark.further
def test_a_note_of_gain_means_the_same_whatever_the_files_level(tmp_path, recordings):
    music, rate = soundfile.read(recordings / "music.flac")
    soundfile.write(tmp_path / "quiet.wav", 0.05 * music, rate, subtype="FLOAT")
    gains = {}
    for name in (recordings / "music.flac", tmp_path / "quiet.wav"):
        job = job_file(tmp_path, **TONES)
        report = tmp_path / "report.json"
        out = tmp_path / f"{name.stem}.flac"
        done = run("render", job, "-o", out, "--music", name, "--report", report, "--force", cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        gains[name.name] = json.loads(report.read_text())["layers"]["music"]["loudness_lufs"]
    assert gains["music.flac"] == pytest.approx(gains["quiet.wav"], abs=0.05)


def test_the_same_job_gives_the_same_samples_for_any_number_of_threads(tmp_path):
    job = job_file(tmp_path, durationMin=0.55, solfeggio={"hz": 528}, carrierType="pink", carrierGainDb=-12)
    samples = []
    for threads in ("1", "2", "3"):
        out = tmp_path / f"{threads}.flac"
        assert run("render", job, "-o", out, cwd=tmp_path, env={"RENDER_THREADS": threads}).returncode == 0
        samples.append(soundfile.read(out)[0])
    assert np.abs(samples[0] - samples[1]).max() <= 2**-23
    assert np.abs(samples[0] - samples[2]).max() <= 2**-23


@pytest.mark.further
def test_music_that_fades_out_never_drops_out_in_a_longer_track(tmp_path, told):
    soundfile.write(tmp_path / "faded.flac", PIECES["fade-out"](), RATE)
    job_file(tmp_path, durationMin=2.5, backgroundMusic={"url": "faded.flac"}, fade={"inMs": 0, "outMs": 0})
    status, words = told("render", "job.json", "--out", "track.flac", "--report", "report.json", "--quiet")
    assert status == 0, words
    track = soundfile.read(tmp_path / "track.flac", dtype="float32", always_2d=True)[0]
    levels = short_term_lufs(measure([track], RATE).energies)
    assert levels.max() - levels.min() < 4.0  # as a whole it would drop by more than 10
    report = json.loads((tmp_path / "report.json").read_text())
    assert [note for note in report["notes"] if "left out (a fade or soft ending of 7." in note]
    at_s = [seam["at_s"] for seam in report["heard"]["seams"]]
    assert at_s[2] - at_s[0] == pytest.approx(5 * TURN_S, abs=0.01)  # the beat goes on


def test_a_stated_loop_beyond_the_music_names_its_field(tmp_path, told):
    soundfile.write(tmp_path / "music.flac", 0.1 * Noise("pink", 9, RATE).render(0, 5 * RATE), RATE)
    job_file(tmp_path, backgroundMusic={"url": "music.flac", "loop": {"from": 1, "to": 9}})
    status, words = told("render", "job.json", "--out", "track.flac", "--quiet")
    assert status == 2
    assert words == "error: backgroundMusic.loop.to: found 9, allowed is at most 5: the music's length in seconds\n"


def test_a_track_goes_to_standard_output_only_where_that_is_asked_for(tmp_path):
    done = run("render", "-", "-o", "-", cwd=tmp_path, stdin=json.dumps(TONES).encode())
    assert done.returncode == 0, done.stderr.decode()
    (tmp_path / "piped.mp3").write_bytes(done.stdout)
    assert decoded_frames(tmp_path / "piped.mp3") == 15 * RATE
    done = run("render", "-", cwd=tmp_path, stdin=json.dumps(TONES).encode())
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    assert (tmp_path / "track.mp3").read_bytes() == (tmp_path / "piped.mp3").read_bytes()


@pytest.mark.further
def test_a_preview_is_as_long_as_the_setting_says(tmp_path):
    job = job_file(tmp_path, **TONES)
    for seconds, frames in (("4.5", round(4.5 * RATE)), ("60", 15 * RATE)):  # no longer than the track
        options = ("-o", "/dev/null", "--preview", tmp_path / "preview.mp3", "--force", "--quiet")
        done = run("render", job, *options, cwd=tmp_path, env={"PREVIEW_SECONDS": seconds})
        assert done.returncode == 0, done.stderr.decode()
        assert decoded_frames(tmp_path / "preview.mp3") == frames


@pytest.mark.parametrize("stored", ["caf\u00e9.flac", "cafe\u0301.flac"])
def test_music_beside_the_job_is_found_in_either_unicode_form(tmp_path, told, stored):
    soundfile.write(tmp_path / stored, 0.1 * Noise("pink", 9, RATE).render(0, 3 * RATE), RATE)
    for named in ("caf\u00e9.flac", "cafe\u0301.flac"):
        for music in ({"url": named}, {"id": "nowhere", "name": named.removesuffix(".flac")}):
            job = job_file(tmp_path, durationMin=0.05, backgroundMusic=music)
            assert told("render", job, "-o", "track.wav", "--force", "--quiet") == (0, "")


def test_a_preview_is_fifteen_seconds_at_the_tracks_gain(tmp_path):
    job = job_file(tmp_path, **{**TONES, "durationMin": 0.5})
    done = run("render", job, "-o", tmp_path / "track.mp3", "--preview", tmp_path / "preview.mp3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert decoded_frames(tmp_path / "preview.mp3") == 15 * RATE
    assert ebur128(tmp_path / "preview.mp3")[0] == pytest.approx(ebur128(tmp_path / "track.mp3")[0], abs=0.3)


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


def test_a_silent_voice_does_not_blow_up_the_gain(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    job = job_file(tmp_path, **TONES)
    done = run("render", job, "-o", "track.mp3", "--voice", "silent.wav", "--report", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["layers"]["voice"]["loudness_lufs"] is None
    assert report["integrated_lufs"] == pytest.approx(-16, abs=0.1)
    assert any("silent" in note for note in report["notes"])


def test_nothing_but_silence_is_delivered_as_silence(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    job = job_file(tmp_path, durationMin=0.1)
    done = run("render", job, "-o", "track.wav", "--voice", "silent.wav", "--report", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["integrated_lufs"] is None
    assert report["master_gain_db"] == 0.0


def test_no_ffmpeg_is_said_with_the_mend(tmp_path, told):
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


@pytest.fixture
def encoding(tmp_path):
    """A long render whose encoder is running: the process, and the encoder."""
    job = job_file(tmp_path, durationMin=60, solfeggio={"hz": 528})
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "render", str(job), "-o", "track.m4a", "--quiet"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "adts" in child.cmdline():
                    yield process, child
                    process.kill()
                    process.wait(10)
                    return
        time.sleep(0.05)
    process.kill()
    pytest.fail("no encoder was started")


@pytest.mark.further
def test_ctrl_c_leaves_no_file_and_no_child(tmp_path, encoding):
    process, _ = encoding
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 130
    assert said.decode() == "interrupted\n"
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_a_killed_ffmpeg_is_told_and_nothing_is_left(tmp_path, encoding):
    process, encoder = encoding
    encoder.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"FFmpeg" in said
    assert said.count(b"\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_standard_output_that_is_full_is_an_error(tmp_path):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, not a file of ours
        done = subprocess.run(
            [sys.executable, "-m", "worker", "render", str(job_file(tmp_path, **TONES)), "-o", "-", "--quiet"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    assert done.returncode == 1
    assert b"No space" in done.stderr or b"disk is full" in done.stderr


def test_twins_differ_by_the_beat_alone_and_both_keep_their_promise(tmp_path):
    job = job_file(tmp_path, **TONES, deliver=["headphones", "speakers"], output={"format": "flac"})
    done = run("render", job, "-o", tmp_path / "track.flac", "--report", tmp_path / "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    for name in ("track.flac", "track-speakers.flac"):
        assert ebur128(tmp_path / name)[0] == pytest.approx(-16, abs=0.15)
    headphones, _ = soundfile.read(tmp_path / "track.flac")
    speakers, _ = soundfile.read(tmp_path / "track-speakers.flac")
    assert np.array_equal(speakers[:, 0], speakers[:, 1])
    assert not np.array_equal(headphones[:, 0], headphones[:, 1])
    assert json.loads((tmp_path / "r.json").read_text())["twin"]["file"] == "track-speakers.flac"


@pytest.mark.parametrize(
    ("job", "voice", "why"),
    [
        ({"solfeggio": {"hz": 528}, "script": "I am calm."}, True, "of a recording"),
        ({"solfeggio": {"hz": 528}, "script": "[pause 1s]"}, False, "nothing is spoken"),
        *further(
            [
                (
                    {"voice": {"provider": "uploaded", "url": "voice.wav"}, "script": "I am calm."},
                    False,
                    "of a recording",
                ),
                ({"solfeggio": {"hz": 528}}, False, "nothing is spoken"),
            ]
        ),
    ],
    ids=["file", "pauses only", "uploaded", "no script"],
)
def test_lyrics_without_known_words_are_left_out_and_noted(tmp_path, recordings, told, job, voice, why):
    (tmp_path / "voice.wav").write_bytes((recordings / "voice.wav").read_bytes())
    file = job_file(tmp_path, durationMin=0.15, lyrics=True, outputFormat="wav", **job)
    given = ["--voice", "voice.wav"] if voice else []
    status, says = told("render", file, "-o", "track.wav", "--report", "r.json", *given)
    assert status == 0, says
    (note,) = [note for note in json.loads((tmp_path / "r.json").read_text())["notes"] if note.startswith("lyrics")]
    assert why in note
    assert not [*tmp_path.glob("*.lrc"), *tmp_path.glob("*.vtt")]


@pytest.mark.parametrize("ending", ["lrc", "vtt"])
def test_lyrics_name_each_line_where_it_is_spoken(tmp_path, ending):
    from worker.plan.lyrics import as_lrc, as_webvtt
    from worker.plan.repetitions import SpokenSpan

    spoken = (
        SpokenSpan("I am <calm> & safe.", 44_100, 88_200, 0),
        SpokenSpan("", 90_000, 95_000, 0),
        SpokenSpan("Yes.", 3600 * RATE, 3601 * RATE, 1),
    )
    if ending == "lrc":
        assert as_lrc(spoken, RATE, title="A\nB") == (
            "[ti:A B]\n[00:01.00]I am <calm> & safe.\n[00:02.00]\n[60:00.00]Yes.\n[60:01.00]\n"
        )
    else:
        first = "00:00:01.000 --> 00:00:02.000\nI am &lt;calm&gt; &amp; safe.\n"
        assert as_webvtt(spoken, RATE) == f"WEBVTT\n\n{first}\n01:00:00.000 --> 01:00:01.000\nYes.\n"
