"""A job with a list of layers, in one process: its recordings decoded, the track delivered and reported by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dsp.blocks import db_to_gain
from dsp.loudness import integrated_lufs, measure
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import MediaError
from worker.payload.parse import parse_job
from worker.render import materials as materials_module
from worker.render.materials import Materials
from worker.render.previewer import Previewer
from worker.render.produce import Produced, produce
from worker.studio.lanes import lanes_of
from worker.tasks.files import beside

RATE = 44_100
NOISE = {"kind": "noise", "gainDb": -40}


def write(path: Path, seconds: float, hz: float) -> None:
    """A tone that swells and falls, so that it has a shape."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * hz * time) * np.sin(np.pi * time / seconds) ** 0.5
    soundfile.write(path, np.stack([sound, sound], axis=1), RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seconds, hz in (("rain", 5, 700), ("bell", 1.5, 1900), ("me", 1.2, 300), ("you", 0.9, 450)):
        write(tmp_path / f"{name}.wav", seconds, hz)
    return tmp_path


def recorded(name: str, url: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "speech", "name": name, "voice": {"provider": "uploaded", "url": url, "tidy": False}, **fields}


FOREST: dict[str, Any] = {
    "durationMin": 0.25,
    "fade": {"inMs": 200, "outMs": 300},
    "layers": [
        {"kind": "music", "name": "rain", "url": "rain.wav", "gainDb": -14, "duckedBy": ["narrator"]},
        {"kind": "music", "name": "far rain", "url": "rain.wav", "startSec": 1, "gainDb": -20, "pan": 0.8},
        {"kind": "recording", "name": "bell", "url": "bell.wav", "startSec": 9},
        recorded("narrator", "me.wav", startSec=2, pauseSec=3),
        recorded("second", "you.wav", startSec=3.5, pauseSec=3, pan=-0.5, gainDb=-12),
        {"kind": "tone", "hz": 432, "gainDb": -24, "pan": [{"atMin": 0, "pan": -1}, {"atMin": 0.2, "pan": 1}]},
    ],
}


def materials_of(folder: Path, **how: Any) -> Materials:
    config = Config(cache_dir=folder / "cache", storage_dir=folder / "out", render_threads=1)
    return Materials(config, beside(folder, config), **how)


def made(folder: Path, payload: dict[str, Any], **how: Any) -> Produced:
    return produce(
        parse_job(payload), folder / "track.wav", materials=materials_of(folder, **how), encoding=Encoding("wav")
    )


def test_layers_are_delivered_and_reported_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = materials_module.decode

    def counted(ffmpeg: Any, path: Path, *rest: Any, **how: Any) -> Any:
        decoded.append(path.name)
        return decode(ffmpeg, path, *rest, **how)

    monkeypatch.setattr(materials_module, "decode", counted)
    report = made(folder, FOREST).report
    assert list(report.layers) == ["rain", "far rain", "bell", "narrator", "second", "tone"]
    assert decoded == ["rain.wav", "bell.wav"]  # the same file once
    assert report.frames == 15 * RATE
    assert report.layers["narrator"]["relative_to_voice_lu"] == 0.0
    assert report.layers["second"]["relative_to_voice_lu"] == pytest.approx(-11.0, abs=0.1)
    assert report.layers["rain"]["relative_to_voice_lu"] == pytest.approx(-13.0, abs=0.1)
    assert report.integrated_lufs == pytest.approx(-16.0, abs=0.1)
    assert {seam.layer for seam in report.heard.seams} == {"rain", "far rain"}
    assert {seam.heard_in for seam in report.heard.seams} == {"music"}  # each sounds over the other's seams


def test_music_that_is_gone_is_left_out_and_a_recording_is_not(folder: Path) -> None:
    music = {"kind": "music", "name": "gone", "url": "gone.mp3"}
    produced = made(folder, {"durationMin": 0.1, "layers": [NOISE, music]}, without_music=True)
    assert list(produced.report.layers) == ["noise"]
    assert produced.music_error is not None
    assert [note for note in produced.report.notes if "made without it" in note]
    for layers, how in (
        ([NOISE, music], {}),
        ([music], {"without_music": True}),
        ([NOISE, {"kind": "recording", "url": "gone.wav"}], {"without_music": True}),
    ):
        with pytest.raises(MediaError):
            made(folder, {"durationMin": 0.1, "layers": layers}, **how)  # type: ignore[arg-type]


def test_a_broken_file_is_named_by_its_layer(folder: Path) -> None:
    (folder / "broken.mp3").write_bytes(b"no sound" * 500)
    with pytest.raises(MediaError) as caught:
        made(folder, {"durationMin": 0.1, "layers": [{"kind": "recording", "name": "bird", "url": "broken.mp3"}]})
    assert caught.value.message.startswith("layer bird: ")


def test_the_files_of_the_command_line_are_for_the_jobs_own_layers(folder: Path) -> None:
    layers = [recorded("other", "you.wav"), {"kind": "music", "name": "rain", "url": "rain.wav"}]
    job = parse_job({"durationMin": 0.25, "layers": layers}, recordings=("voice", "music"))
    how = {"voice_file": folder / "me.wav", "music_file": folder / "bell.wav"}
    materials = materials_of(folder, **how)
    report = produce(job, folder / "t.wav", materials=materials, encoding=Encoding("wav")).report
    assert list(report.layers) == ["voice", "music", "other", "rain"]


def test_a_voice_of_the_list_that_is_too_long_is_fitted_into_its_time(folder: Path) -> None:
    job = {"durationMin": 0.25, "layers": [recorded("late", "me.wav", startSec=9, endSec=10, loopMode=False)]}
    produced = made(folder, job)
    assert [note for note in produced.report.notes if note.startswith("The voice begins at 8.8 s")]


def test_the_studio_keeps_every_recording_and_draws_every_lane(folder: Path) -> None:
    with Previewer(materials_of(folder)) as previewer:
        job = parse_job(FOREST)
        first = previewer.prepare(job, Encoding("wav"))
        changed = job.model_copy(
            update={"layer_list": (*job.layer_list[:-1], job.layer_list[-1].model_copy(update={"gain_db": -30.0}))}
        )
        second = previewer.prepare(changed, Encoding("wav"))
        for one, other in zip(first.compiled.plan.layers[:-1], second.compiled.plan.layers[:-1], strict=True):
            assert getattr(one.source, "clip", None) is getattr(other.source, "clip", None)
        heard = previewer.hear(second, 4.0, 2.0)
        assert len(heard.samples) == 2 * RATE
        lanes = lanes_of(second.production.job, second.compiled)
    assert [(lane["name"], lane["kind"]) for lane in lanes["layers"]][:4] == [
        ("rain", "music"),
        ("far rain", "music"),
        ("bell", "recording"),
        ("narrator", "speech"),
    ]
    assert lanes["voices"] == ["narrator", "second"]
    assert lanes["layers"][0]["ducked_by"] == [0]
    assert (lanes["layers"][2]["from_s"], lanes["layers"][2]["to_s"]) == (9.0, 10.5)
    assert {speaker for _, _, _, speaker in lanes["voice"]} == {0, 1}
    assert lanes["layers"][5]["levels_db"] == [-30.0]


def test_a_layer_of_spans_is_heard_and_measured_in_them_alone(folder: Path) -> None:
    when = [{"startSec": 1, "endSec": 2}, {"startSec": 6, "endSec": 12}]
    layers = [{"kind": "music", "name": "rain", "url": "rain.wav", "loop": "whole", "fadeInMs": 50, "when": when}]
    tone = {"kind": "tone", "hz": 432, "gainDb": -12, "when": when[1:]}
    produced = made(folder, {**FOREST, "layers": [*layers, tone], "deliver": ["headphones", "stems"]})
    report = produced.report
    assert {round(seam.at_s) for seam in report.heard.seams} <= set(range(6, 13))
    assert report.heard.seams
    level_db = report.layers["tone"]["loudness_lufs"] - report.master_gain_db
    assert level_db == pytest.approx(-12.0, abs=0.8)  # not of the silence in the middle of the track
    track, _ = soundfile.read(folder / "track.wav", dtype="float64")
    for first, last in ((0, 1), (2, 6), (12, 15)):
        assert np.abs(track[first * RATE + 200 : last * RATE - 200]).max() < 1e-3
    stems = [soundfile.read(folder / f"track-stem-{name}.flac", dtype="float64")[0] for name in ("rain", "tone")]
    assert report.limiter_max_reduction_db == 0
    assert np.abs(sum(stems) - track).max() < 1e-3


def test_the_stem_of_every_kind_of_layer_has_the_level_that_was_asked(folder: Path) -> None:
    """Each is measured by itself, where it sounds: recorded sound in LUFS, the rest by its power."""
    job = {
        "durationMin": 0.5,
        "fade": {"inMs": 0, "outMs": 0},
        "deliver": ["stems"],
        "layers": [
            {"kind": "music", "name": "rain", "url": "rain.wav", "startSec": 2, "endSec": 7, "gainDb": -14},
            {"kind": "recording", "name": "bell", "url": "bell.wav", "startSec": 9, "gainDb": -6, "pan": 0.4},
            recorded("me", "me.wav", startSec=4, loopMode=False, gainDb=-3),
            {"kind": "tone", "hz": 432, "gainDb": -24, "when": [{"startSec": 1, "endSec": 9}], "pan": -1},
            {"kind": "binaural", "gainDb": -30},
            {"kind": "noise", "gainDb": -33, "colour": "white"},
        ],
    }
    produced = made(folder, job)
    assert produced.stems is not None
    gain_db = produced.report.master_gain_db

    def measured(name: str, first_s: float, seconds: float) -> np.ndarray:
        sound, _ = soundfile.read(folder / f"track-stem-{name}.flac", dtype="float32")
        return sound[round(first_s * RATE) : round((first_s + seconds) * RATE)] / np.float32(db_to_gain(gain_db))

    # a layer that is the same in both channels is panned at constant power
    for name, first_s, seconds, level_db in (("rain", 2, 5, -14), ("bell", 9, 1.5, -6), ("me", 4, 1.2, -3)):
        energies = measure([measured(name, first_s, seconds)], RATE).energies
        assert integrated_lufs(energies) == pytest.approx(-16 + level_db, abs=0.1), name
    for name, first_s, seconds, level_db in (("tone", 2, 6, -24), ("binaural", 5, 20, -30), ("noise", 0, 30, -33)):
        power = float(np.square(measured(name, first_s, seconds), dtype=np.float64).sum(axis=1).mean())
        assert 10 * np.log10(power) == pytest.approx(level_db, abs=0.1), name  # two channels of a sine of that peak
