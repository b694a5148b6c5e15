"""`render` end to end: real FFmpeg, real files, the delivered file decoded and measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from music_pieces import PIECES, TURN_S
from rendering import RATE, TONES, decoded_frames, ebur128, job_file, run
from tiers import further

from dsp.loudness import measure, short_term_lufs
from dsp.noise import Noise


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
