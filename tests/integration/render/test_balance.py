"""Balance before loudness: the limiter's bounds hold, the file is as loud as they allow, and the note says so."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile
from clips import ArrayClip
from codec_signals import RATE
from tiers import further

from dsp.blocks import Block
from dsp.envelope import Constant, Fade
from dsp.loudness import integrated_lufs
from dsp.noise import Noise
from dsp.peak_survey import LimiterBounds
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Looped, Placed
from worker.codec.encoding import Encoding
from worker.codec.tags import Tags
from worker.config import Config
from worker.errors import JobError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.parse import parse_job
from worker.plan.compile import SpokenSpan
from worker.render.deliver import Delivered, Delivery, deliver
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.render.programme import Programme, measure
from worker.render.report import Report

BOUNDS = LimiterBounds(4.0, 0.01)
SPOKEN = (SpokenSpan("I am calm.", 5 * RATE, 8 * RATE, 0),)


def words() -> Block:
    """Three seconds of noise in syllables, the last one the loudest."""
    n = np.arange(3 * RATE)
    rise = 0.3 * np.abs(np.sin(2 * np.pi * 2 * n / RATE)) * (1 + 0.5 * n / len(n))
    return (rise[:, None] * Noise("pink", 3, RATE).render(0, len(n))).astype(np.float32)


def plan(bed: float, *, seconds: int = 60) -> RenderPlan:
    frames = seconds * RATE
    voice = Placed((ArrayClip(words()),), (5 * RATE,), (0,))
    layers = (Layer("voice", voice, Constant(1.0)), Layer("noise", Noise("pink", 2, RATE), Constant(bed)))
    return RenderPlan(RATE, frames, layers, Fade(frames, RATE // 10, RATE // 10))


def delivered(plan: RenderPlan, tmp_path, encoding: Encoding | None = None, **how) -> Delivered:
    delivery = Delivery(encoding or Encoding("flac", None), Tags(), **{"target_lufs": -16.0, "bounds": BOUNDS, **how})
    mix = measure(Programme(plan), threads=2)
    return deliver(plan, mix, tmp_path / f"track.{delivery.encoding.format}", delivery, ffmpeg=find_ffmpeg(), threads=2)


def test_the_file_is_as_loud_as_its_balance_allows_and_says_so(tmp_path):
    made = delivered(plan(0.04, seconds=240), tmp_path, spoken=SPOKEN)
    assert made.reduction.max_db == pytest.approx(4.0, abs=0.01)
    (note,) = made.notes
    told = re.fullmatch(
        r"loudness: reached −(\d+\.\d) of −16 LUFS: the voice would have had to be limited by (\d+) dB", note
    )
    assert told
    assert float(told[1]) == pytest.approx(-made.integrated_lufs, abs=0.05)
    assert float(told[2]) == pytest.approx(4 - 16 - made.integrated_lufs, abs=1)


@pytest.mark.further
def test_the_same_mix_is_crushed_where_the_loudness_is_to_be_exact(tmp_path):
    made = delivered(plan(0.04), tmp_path, bounds=None)
    assert made.integrated_lufs == pytest.approx(-16, abs=0.1)
    assert made.reduction.max_db > 10
    assert made.notes == ()


@pytest.mark.further
def test_what_needs_no_more_than_the_bounds_reaches_its_target(tmp_path):
    mix = measure(Programme(plan(0.04)), threads=2)
    target_lufs = round(integrated_lufs(mix.energies) - 20 * np.log10(mix.sample_peak) + 1, 2)
    made = delivered(plan(0.04), tmp_path, spoken=SPOKEN, target_lufs=target_lufs)
    assert 1 < made.reduction.max_db <= 4
    assert made.integrated_lufs == pytest.approx(target_lufs, abs=0.1)
    assert made.notes == ()


def test_a_limiter_that_would_work_for_too_long_is_held_back_as_well(tmp_path):
    """Pink noise alone, whose highest peaks are many."""
    frames = 30 * RATE
    noise = RenderPlan(
        RATE, frames, (Layer("noise", Noise("pink", 2, RATE), Constant(0.1)),), Fade(frames, RATE // 10, RATE // 10)
    )
    made = delivered(noise, tmp_path, target_lufs=-8.0)
    assert made.reduction.max_db < 4
    assert 0.008 < made.noticed_share <= 0.01
    (note,) = made.notes
    assert note.endswith("LUFS: the mix would have had to be limited for more than 1 % of the time")


@pytest.mark.further
def test_drums_whose_peaks_were_foretold_too_low_are_held_back_more(tmp_path):
    n = np.arange(8 * RATE)
    strokes = np.exp(-(n % 11_025) / 800) * np.random.default_rng(1).standard_normal(len(n))
    drums = ArrayClip(np.repeat(0.3 * strokes[:, None], 2, axis=1).astype(np.float32))
    frames = 30 * RATE
    track = RenderPlan(
        RATE, frames, (Layer("music", Looped(drums, 0), Constant(1.0)),), Fade(frames, RATE // 10, RATE // 10)
    )
    made = delivered(track, tmp_path, target_lufs=-10.0)
    assert 0.006 < made.noticed_share <= 0.01


@pytest.mark.parametrize(
    "encoding",
    further([Encoding("m4a", 128), Encoding("mp3", 128)], but=[Encoding("m4a", 128)]),
    ids=["m4a", "mp3"],
)
@pytest.mark.parametrize("target_lufs", further([-6.0, -16.0], but=[-16.0]))
def test_what_no_codec_can_deliver_so_loud_is_delivered_quieter(tmp_path, encoding, target_lufs):
    loud = ArrayClip(np.sign(np.random.default_rng(5).standard_normal((3 * RATE, 2))).astype(np.float32))
    frames = 3 * RATE
    hard = RenderPlan(
        RATE, frames, (Layer("music", Looped(loud, 0), Constant(1.0)),), Fade(frames, RATE // 10, RATE // 10)
    )
    made = delivered(hard, tmp_path, encoding, target_lufs=target_lufs)
    assert made.true_peak_dbtp <= -1.0
    assert made.reduction.max_db <= 4.05
    if target_lufs == -6:
        assert made.notes
        with pytest.raises(JobError, match="cannot be reached"):
            delivered(hard, tmp_path, encoding, target_lufs=target_lufs, bounds=None)


@pytest.mark.further
def test_the_bounds_are_settings_of_the_delivery(tmp_path):
    made = delivered(plan(0.04), tmp_path, bounds=LimiterBounds(8.0, 1.0))
    assert made.reduction.max_db == pytest.approx(8.0, abs=0.01)


def rendered(tmp_path, *, voice: Block | None = None, **job) -> Report:
    """The report of a job over pink noise, whose voice is a recording."""
    job = {"durationMin": 0.7, "loopMode": False, "startDelaySec": 4, "carrierType": "pink", **job}
    file = None
    if voice is not None:
        file = tmp_path / "voice.wav"
        soundfile.write(file, voice, RATE, "FLOAT")

    def fetch(reference, *, into, what):
        raise AssertionError(reference)

    return produce(
        parse_job(json.dumps(job), recordings=() if voice is None else ("voice",)),
        tmp_path / "track.wav",
        materials=Materials(Config(), fetch, voice_file=file),
        encoding=Encoding("wav", None),
    ).report


def test_the_target_may_be_the_loudness_of_the_speech(tmp_path):
    job = {"carrierGainDb": -30, "safety": {"targetLufs": -20, "measure": "speech"}}
    report = rendered(tmp_path, voice=words(), **job)
    assert report.speech_lufs == pytest.approx(-20, abs=0.1)
    assert report.integrated_lufs < -22
    assert not any("loudness" in note for note in report.notes)


@pytest.mark.parametrize(
    "voice", [*further([None]), np.zeros((RATE, 2), np.float32)], ids=["no voice", "a silent voice"]
)
def test_without_speech_the_whole_is_measured_and_a_note_says_so(tmp_path, voice):
    report = rendered(tmp_path, voice=voice, safety={"measure": "speech"}, carrierGainDb=-20)
    assert report.speech_lufs is None
    assert report.integrated_lufs == pytest.approx(-16, abs=0.1)
    assert "loudness: there is no speech to measure, so the whole track was measured" in report.notes


def test_a_layer_set_louder_than_the_voice_is_noted_with_the_figure(tmp_path):
    report = rendered(tmp_path, voice=words(), gains={"voiceDb": -20}, carrierGainDb=-10, solfeggio={"hz": 396})
    noted = {name: note for note in report.notes for name in ("noise", "Solfeggio tone") if f"the {name}" in note}
    louder = report.layers["noise"]["relative_to_voice_lu"]
    assert louder > 0
    assert noted["noise"] == f"balance: the noise is {louder:.1f} LU louder than the voice, as its gain asks"
    assert "Solfeggio tone" in noted


def test_a_bed_below_the_voice_needs_no_note(tmp_path):
    report = rendered(tmp_path, voice=words(), carrierGainDb=-40)
    assert not any(note.startswith("balance") for note in report.notes)


def test_quiet_noise_with_two_clicks_is_delivered_quieter_with_a_note(tmp_path):
    voice = 0.001 * np.random.default_rng(1).standard_normal((20 * RATE, 1)).astype(np.float32)
    voice[[5 * RATE, 12 * RATE]] = 0.98
    report = rendered(tmp_path, voice=np.repeat(voice, 2, axis=1), carrierType=None)
    assert report.integrated_lufs < -30
    (note,) = [note for note in report.notes if note.startswith("loudness")]
    assert "of −16 LUFS: the voice would have had to be limited by" in note
