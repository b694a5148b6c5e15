"""`import mindscript`: tracks, previews and tones from Python."""

from __future__ import annotations

import doctest
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from standins.speech import speech_service
from tiers import further

import mindscript
from dsp.noise import Noise

RATE = 44_100
TONES = {"durationMin": 0.2, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}, "outputFormat": "flac"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))
    soundfile.write("rain.flac", 0.1 * Noise("pink", 3, RATE).render(0, 20 * RATE), RATE)
    claps = np.zeros((6 * RATE, 2))
    claps[:: RATE // 3] = 0.9
    soundfile.write("me.wav", claps + 0.03 * Noise("pink", 4, RATE).render(0, 6 * RATE), RATE)


def mix(**more: Any) -> dict[str, Any]:
    return {
        **TONES,
        "durationMin": 4,
        "voice": {"provider": "uploaded", "url": "me.wav"},
        "backgroundMusic": {"url": "rain.flac"},
        "ducking": {"enabled": True},
        "safety": {"targetLufs": -18},
    } | more


def test_a_track_is_made_measured_and_shown():
    told: list[float] = []
    track = mindscript.render(TONES, "a.flac", on_progress=lambda stage, fraction: told.append(fraction))
    assert track.path == Path("a.flac")
    assert (track.length_s, track.notes) == (12.0, ())
    assert track.integrated_lufs == pytest.approx(-16.0, abs=0.1)
    assert track.true_peak_dbtp is not None
    assert track.true_peak_dbtp <= -1.0
    assert told[-1] == 1.0
    assert told == sorted(told)
    assert track.picture().startswith(b"\x89PNG")
    assert '<audio controls src="data:audio/flac;base64,' in track._repr_html_()


def test_nothing_is_written_over_unasked():
    Path("job.json").write_text(json.dumps(TONES))
    Path("a.flac").write_text("mine")
    with pytest.raises(mindscript.JobError, match=r"a\.flac exists"):
        mindscript.render("job.json", "a.flac")
    assert Path("a.flac").read_text() == "mine"
    assert mindscript.render("job.json", "a.flac", overwrite=True).length_s == 12.0
    with pytest.raises(mindscript.JobError, match="is read here"):
        mindscript.render(mix(), "rain.flac", overwrite=True)


def test_a_bad_job_says_all_that_is_wrong():
    found = mindscript.validate({**TONES, "durationMin": "x", "fade": {"inMs": -1}, "binaural": {"carierHz": 3}})
    assert not found
    assert [line.split(":")[0] for line in found.errors] == ["durationMin", "fade.inMs"]
    assert "carrierHz" in found.warnings[0]
    assert mindscript.validate(TONES).ok
    with pytest.raises(mindscript.JobError) as caught:
        mindscript.render({**TONES, "durationMin": "x", "fade": {"inMs": -1}}, "a.mp3")
    assert len(list(caught.value.lines)) == 2
    with pytest.raises(mindscript.JobError, match="no such file"):
        mindscript.validate("gone.json")


@pytest.mark.parametrize("loudness", further(["balance", "exact"], but=["balance"]))
def test_a_preview_is_that_part_of_the_finished_track(loudness):
    job = mix(durationMin=1, safety={"targetLufs": -14, "loudness": loudness})
    track = mindscript.render(job, "whole.flac")
    samples = soundfile.read("whole.flac", dtype="int32")[0] >> 8
    assert track.report["limiter_max_reduction_db"] > 1
    with mindscript.Previews() as previews:
        for at_s, seconds in ((0.0, 1.0), (30.3, 2.0), (59.0, 15.0)):
            heard = previews.preview(job, at_s, seconds, measured=True)
            assert heard.master_gain_db == track.report["master_gain_db"]
            assert not heard.estimated
            start = round(at_s * RATE)
            assert heard.start_s == pytest.approx(at_s, abs=1 / RATE)
            part = samples[start : start + len(heard.samples)]
            assert len(heard.samples) == min(round(seconds * RATE), len(samples) - start)
            assert np.abs(np.rint(heard.samples * 2.0**23) - part).max() <= 2


def test_an_estimate_is_said_to_be_one_until_the_whole_is_measured():
    with mindscript.Previews() as previews:
        guess = previews.preview(mix(), 60.0)
        whole = previews.preview(mix(), 60.0, measured=True)
        again = previews.preview(mix(), 60.0)
        other = previews.preview(mix(gains={"musicDb": -20}), 60.0)
    assert [each.estimated for each in (guess, whole, again, other)] == [True, False, False, True]
    assert guess.master_gain_db == pytest.approx(whole.master_gain_db, abs=0.3)
    assert np.array_equal(again.samples, whole.samples)
    assert soundfile.info(io.BytesIO(guess.wav())).frames == 15 * RATE
    assert guess._repr_html_().startswith("<audio controls")


def test_a_change_of_gain_decodes_nothing_anew(monkeypatch):
    decoded: list[str] = []
    from worker.render import materials

    decode = materials.decode
    monkeypatch.setattr(materials, "decode", lambda *given, **more: decoded.append("music") or decode(*given, **more))
    with mindscript.Previews() as previews:
        for music_db in (-10, -12, -14):
            previews.preview(mix(durationMin=0.5, gains={"musicDb": music_db}), 3.0, 1.0)
        assert decoded == ["music"]
        soundfile.write("other.flac", 0.1 * Noise("pink", 5, RATE).render(0, 20 * RATE), RATE)
        previews.preview(mix(durationMin=0.5, backgroundMusic={"url": "other.flac"}), 3.0, 1.0)
        assert decoded == ["music"] * 2


def test_changed_words_are_paid_for_only_when_that_is_said(monkeypatch, tmp_path):
    with speech_service() as service:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{service.url}/v1")
        job = {"durationMin": 0.5, "script": "I am calm.", "voice": {"provider": "openai"}}
        with mindscript.Previews() as previews:
            with pytest.raises(mindscript.UnpaidSpeechError, match="not spoken yet: 10 characters") as caught:
                previews.preview(job, 3.0, 1.0)
            assert caught.value.characters == len("I am calm.")
            assert not service.requests
            paid = previews.preview(job, 3.0, 1.0, pay=True)
            assert len(service.requests) == 1
            again = previews.preview({**job, "gains": {"voiceDb": -6}}, 3.0, 1.0)
            assert len(service.requests) == 1
    assert np.abs(paid.samples).max() > 0.01
    assert np.abs(again.samples).max() > 0.01


def test_the_examples_of_the_pages_run():
    page = Path(__file__).parents[3] / "docs" / "howto" / "use-it-from-python.md"
    Path("job.json").write_text(json.dumps(mix()))
    results = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert results.attempted >= 8
    assert results.failed == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mindscript.tones.tone(0, seconds=1), "hz: found 0"),
        (lambda: mindscript.tones.tone(30_000, seconds=1), "hz: found 30000"),
        (lambda: mindscript.tones.binaural(200, 6, seconds=0), "seconds: found 0"),
        (lambda: mindscript.tones.binaural(22_049, 6, seconds=1), "higher tone"),
        (lambda: mindscript.tones.noise("green", seconds=1), "colour: found 'green'"),  # type: ignore[arg-type]
        (lambda: mindscript.tones.noise("pink", seconds=1, sample_rate_hz=5), "sample_rate_hz: found 5"),
    ],
)
def test_what_cannot_sound_names_its_parameter(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_beats_are_where_they_belong():
    sound = mindscript.tones.binaural(200, 6, seconds=10)
    assert sound.shape == (441_000, 2)
    assert sound.dtype == np.float32
    found = np.abs(np.fft.rfft(sound, axis=0)).argmax(axis=0) / 10
    assert found.tolist() == [197.0, 203.0]
    for made in (mindscript.tones.monaural(200, 6, seconds=1), mindscript.tones.isochronic(200, 6, seconds=1)):
        assert np.array_equal(made[:, 0], made[:, 1])
