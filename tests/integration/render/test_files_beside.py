"""What a job may have beside its track: stems, further formats, the waveform for players."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clips import ArrayClip
from tiers import further

from dsp.blocks import db_to_gain
from dsp.envelope import Constant, Fade
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan, render
from dsp.recorded import Looped
from dsp.tones import Binaural, Tone
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.parse import parse_job
from worker.render.files_beside import files_beside
from worker.render.materials import Materials
from worker.render.produce import Produced, produce
from worker.render.programme import Programme
from worker.render.stems import write_stems

RATE = 44_100
TONES = {"durationMin": 0.1, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}, "carrierType": "pink"}


def made(folder: Path, format_: str = "mp3", **job: Any) -> Produced:
    def fetch(reference: str, *, into: Path, what: str) -> Path:
        raise AssertionError(reference)

    return produce(
        parse_job({**TONES, "outputFormat": format_, **job}),
        folder / f"track.{format_}",
        materials=Materials(Config(), fetch),
        encoding=Encoding.for_quality(format_, "medium"),
    )


def test_stems_are_the_layers_at_their_level_and_their_sum_the_mix(tmp_path):
    produced = made(tmp_path, "wav", deliver=["stems"], fade={"inMs": 1000, "outMs": 1000})
    assert produced.stems is not None
    assert list(produced.stems.files) == ["solfeggio", "binaural", "noise"]
    total = sum(soundfile.read(path)[0] for path in produced.stems.files.values())
    track = soundfile.read(tmp_path / "track.wav")[0]
    assert produced.report.limiter_max_reduction_db == 0
    assert total.shape == track.shape
    assert np.abs(total - track).max() <= 1.5 * 2.0**-15 + 3 * 2.0**-23  # the track has 16 bits, dithered


def stems_of(folder: Path, *layers: Layer, gain: float = 1.0, seconds: int = 3) -> tuple[np.ndarray, np.ndarray, Any]:
    """The sum of the stems, the mix before the limiter, and the list."""
    frames = seconds * RATE
    plan = RenderPlan(RATE, frames, layers, Fade(frames, RATE, RATE))
    programme = Programme(plan, gain=gain)
    stems = write_stems(programme, folder / "track.mp3", title=None, ffmpeg=find_ffmpeg(), threads=2)
    listed = json.loads(stems.stem_list.read_text())
    parts = [soundfile.read(path)[0] for path in stems.files.values()]
    lowered = [db_to_gain(stem["gain_db"]) for stem in listed["stems"]]
    total = sum(part / gain for part, gain in zip(parts, lowered, strict=True))
    return total, render(plan, 0, frames) * np.float32(gain), listed


def test_the_sum_is_within_one_step_of_24_bits_a_stem(tmp_path):
    clip = ArrayClip(Noise("white", 1, RATE).render(0, RATE))
    layers = (
        Layer("music", Looped(clip, 100), Constant(0.2)),
        Layer("solfeggio", Tone(432.0, RATE), Constant(0.1)),
        Layer("binaural", Binaural(200.0, 6.0, RATE), Constant(0.1)),
        Layer("noise", Noise("pink", 2, RATE), Constant(0.05)),
    )
    total, mix, listed = stems_of(tmp_path, *layers, gain=1.7)
    assert np.abs(total - mix).max() <= len(layers) * 2.0**-23
    assert [stem["gain_db"] for stem in listed["stems"]] == [0.0] * 4


def test_a_stem_beyond_full_scale_is_lowered_and_the_list_says_so(tmp_path):
    loud = Layer("solfeggio", Tone(432.0, RATE), Constant(1.5))
    total, mix, listed = stems_of(tmp_path, loud, Layer("noise", Noise("pink", 2, RATE), Constant(0.05)))
    assert [stem["gain_db"] for stem in listed["stems"]] == [pytest.approx(-3.6), 0.0]
    assert np.abs(mix).max() > 1.4
    assert np.abs(total - mix).max() <= 3 * 2.0**-23
    assert np.abs(soundfile.read(tmp_path / "track-stem-solfeggio.flac")[0]).max() < 1


def test_a_layers_name_may_hold_what_no_file_name_may(tmp_path):
    named = [Layer(name, Noise("pink", 2, RATE), Constant(0.05)) for name in ("a/b", "a-b", "a%2Fb", "дождь")]
    _, _, listed = stems_of(tmp_path, *named, seconds=1)
    assert [stem["layer"] for stem in listed["stems"]] == ["a/b", "a-b", "a%2Fb", "дождь"]
    files = [stem["file"] for stem in listed["stems"]]
    assert files[0] == "track-stem-a%2Fb.flac"
    assert sorted([*files, "track-stems.json"]) == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("format_", further(["flac", "m4a", "wav"], but=["flac"]))
def test_further_formats_keep_the_same_promise(tmp_path, format_):
    produced = made(tmp_path, deliver=[format_, "mp3"], safety={"targetLufs": -20})
    (path, report), *others = produced.further.items()
    assert others == []
    assert path == tmp_path / f"track.{format_}"
    assert (report.format, report.file) == (format_, path.name)
    assert report.integrated_lufs == pytest.approx(-20, abs=0.1)
    assert produced.as_json()["further"][format_]["frames"] == produced.report.frames == 6 * RATE
    assert path.stat().st_size == report.size_bytes


def test_the_waveform_is_that_of_the_decoded_file(tmp_path):
    produced = made(tmp_path, "flac", peaks=True)
    assert produced.peaks == tmp_path / "track.peaks.json"
    document = json.loads(produced.peaks.read_text())
    sound = soundfile.read(tmp_path / "track.flac", dtype="float32")[0].mean(axis=1)
    facts = {key: document[key] for key in ("version", "channels", "sample_rate", "samples_per_pixel", "bits")}
    assert facts == {"version": 2, "channels": 1, "sample_rate": RATE, "samples_per_pixel": 256, "bits": 8}
    assert document["length"] * 2 == len(document["data"]) == 2 * -(-len(sound) // 256)
    assert document["data"][200:202] == [int(128 * end(sound[25_600:25_856])) for end in (np.min, np.max)]


def test_every_file_that_is_made_was_foretold(tmp_path):
    asked = {"deliver": ["headphones", "speakers", "stems", "flac"], "peaks": True}
    produced = made(tmp_path, **asked)
    foretold = {
        path for _, path in files_beside(parse_job({**TONES, **asked}), tmp_path / "track.mp3", produced.report.layers)
    }
    assert set(produced.beside) == foretold
    assert {path for path in tmp_path.iterdir()} == foretold | {tmp_path / "track.mp3"}
