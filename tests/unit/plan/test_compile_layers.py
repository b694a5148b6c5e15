"""Layers of the list into the plan: their frames, fades, places and voices; the short form makes the same ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
from clips import ArrayClip
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsp.blocks import db_to_gain, spans
from dsp.envelope import Constant, Ducking, Fade, FadedSpans, Product
from dsp.plan import Layer, render, render_layer
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.payload.script import Pause
from worker.plan.compile import Compiled, compile_plan
from worker.plan.promised import promised_of
from worker.plan.recordings import Loop, Media, Music, Speech, Spoken

RATE = 44_100
VOICE = {"provider": "local"}


def clip(seconds: float, seed: int) -> ArrayClip:
    """Noise with another sample in each channel."""
    rng = np.random.default_rng(seed)
    return ArrayClip(rng.uniform(-0.25, 0.25, (round(seconds * RATE), 2)).astype(np.float32))


SPEECH = Speech((Spoken("One.", clip(0.8, 1)), Pause(0.4), Spoken("Two.", clip(0.6, 2))), -20.0)
MUSIC = Music(clip(4, 3), -19.0, Loop(RATE // 2, 3 * RATE, RATE // 4, 0.2, loudness_lufs=-18.0))


def media_of(payload: dict[str, Any]) -> Media:
    """A recording for each layer that needs one."""
    job = parse_job(payload)
    of_kind = {"speech": SPEECH, "music": MUSIC, "recording": replace(MUSIC, loop=None, once=True)}
    listed = {layer.name: of_kind[layer.kind] for layer in job.layer_list if layer.kind in of_kind}
    return Media(SPEECH if job.has_voice else None, MUSIC if job.background_music else None, listed)


def compiled(*layers: dict[str, Any], **fields: Any) -> Compiled:
    payload = {"durationMin": 0.5, "fade": {"inMs": 0, "outMs": 0}, "seed": 1, "layers": list(layers), **fields}
    return compile_plan(parse_job(payload), media_of(payload))


def layer_of(result: Compiled, name: str) -> Layer:
    return next(layer for layer in result.plan.layers if layer.name == name)


SHORT = {
    "script": "One. Two.",
    "voice": {**VOICE, "shuffle": True},
    "startDelaySec": 2,
    "pauseSec": 4,
    "pauseJitterSec": 1,
    "backgroundMusic": {"url": "rain.mp3"},
    "solfeggio": {"hz": 528, "wave": "triangle"},
    "binaural": {"band": "theta", "timeline": [{"atMin": 0, "beatHz": 9}, {"atMin": 0.4, "beatHz": 4}]},
    "carrierType": "brown",
    "ducking": {"depthDb": 7},
    "gains": {"timeline": {"music": [{"atMin": 0, "db": -9}, {"atMin": 0.3, "db": -15}]}},
}
LISTED = [
    {
        "kind": "speech",
        "name": "voice",
        "script": "One. Two.",
        "voice": {**VOICE, "shuffle": True},
        "startSec": 2,
        "pauseSec": 4,
        "pauseJitterSec": 1,
    },
    {
        "kind": "music",
        "name": "music",
        "url": "rain.mp3",
        "gain": [{"atMin": 0, "db": -9}, {"atMin": 0.3, "db": -15}],
        "duckedBy": ["voice"],
    },
    {"kind": "tone", "name": "solfeggio", "hz": 528, "wave": "triangle"},
    {
        "kind": "binaural",
        "band": "theta",
        "timeline": [{"atMin": 0, "beatHz": 9}, {"atMin": 0.4, "beatHz": 4}],
    },
    {"kind": "noise", "colour": "brown"},
]


def test_the_short_form_and_the_list_make_the_same_plan() -> None:
    short, listed = compiled(**SHORT), compiled(*LISTED, ducking={"depthDb": 7})
    assert [layer.name for layer in listed.plan.layers] == ["voice", "music", "solfeggio", "binaural", "noise"]
    assert np.array_equal(render(short.plan, 0, 8 * RATE), render(listed.plan, 0, 8 * RATE))
    assert (short.spoken, short.layer_gains_db) == (listed.spoken, listed.layer_gains_db)


def test_a_layer_has_its_frames_fades_and_place() -> None:
    result = compiled(
        {
            "kind": "tone",
            "hz": 432,
            "gainDb": -20,
            "startSec": 3,
            "endSec": 20,
            "fadeInMs": 4000,
            "fadeOutMs": 5000,
            "pan": -0.5,
        },
        {"kind": "noise", "width": 0.5, "fadeInMs": 40_000, "fadeOutMs": 20_000},
    )
    tone, noise = result.plan.layers
    assert (tone.start, tone.stop, tone.origin) == (3 * RATE, 20 * RATE, 3 * RATE)
    assert tone.fade == Fade(17 * RATE, 4 * RATE, 5 * RATE)
    assert (tone.gain, tone.pan, tone.width) == (Constant(db_to_gain(-20)), Constant(-0.5), 1.0)
    assert (noise.start, noise.stop, noise.width, noise.pan) == (0, None, 0.5, None)
    assert noise.fade == Fade(30 * RATE, 20 * RATE, 10 * RATE)  # in proportion


def test_a_recording_that_is_heard_once_ends_with_itself() -> None:
    bell = layer_of(compiled({"kind": "recording", "url": "b.wav", "startSec": 5, "fadeOutMs": 1000}), "recording")
    assert (bell.start, bell.stop, bell.origin) == (5 * RATE, 9 * RATE, 5 * RATE)
    assert bell.fade == Fade(4 * RATE, 0, RATE)
    assert isinstance(bell.source, Placed)


def test_music_that_begins_later_begins_with_its_own_beginning() -> None:
    late = layer_of(compiled({"kind": "music", "url": "m.mp3", "startSec": 10}), "music")
    sound = render_layer(late, 10 * RATE, 10 * RATE + 100)
    assert isinstance(late.source, Looped)
    assert sound is not None
    assert sound == pytest.approx(MUSIC.clip.read(0, 100) * float(late.gain.at(0, 1)))


def test_a_layer_after_the_end_of_the_track_is_left_out_with_a_note() -> None:
    result = compiled({"kind": "noise"}, {"kind": "tone", "hz": 50, "name": "hum", "startSec": 30})
    assert [layer.name for layer in result.plan.layers] == [layer.name for layer in result.layers] == ["noise"]
    assert result.notes == ("The layer hum begins after the track has ended, so it is not heard.",)


def test_each_recorded_layer_is_brought_to_the_reference() -> None:
    result = compiled(
        {"kind": "music", "name": "rain", "url": "r.mp3", "gainDb": -12},
        {"kind": "recording", "name": "bell", "url": "b.wav", "gainDb": -12},
    )
    assert result.recorded_lufs == {"rain": -18.0, "bell": -19.0}
    assert result.layer_gains_db == {"rain": -10.0, "bell": -9.0}


class TestSpans:
    """`when`: the times at which a layer sounds."""

    def test_each_has_the_fades_of_its_layer_and_does_not_click(self) -> None:
        when = [{"startSec": 3, "endSec": 5}, {"startSec": 5, "endSec": 9}, {"startSec": 29}]
        bed = layer_of(compiled({"kind": "noise", "startSec": 2, "fadeOutMs": 1500, "when": when}), "noise")
        least, out = round(0.005 * RATE), round(1.5 * RATE)
        assert (bed.start, bed.stop, bed.within(0, 30 * RATE)) == (2 * RATE, None, (3 * RATE, 30 * RATE))
        last = Fade(RATE, *(int(fade * RATE / (out + least)) for fade in (least, out)))  # in proportion
        assert bed.fade == FadedSpans(
            (RATE, 3 * RATE, 27 * RATE), (Fade(2 * RATE, least, out), Fade(4 * RATE, least, out), last)
        )

    def test_music_goes_on_beneath(self) -> None:
        music = {"kind": "music", "url": "m.mp3", "startSec": 4, "gainDb": -6}
        whole, parts = (
            render(compiled({**music, **more}).plan, 0, 30 * RATE)
            for more in ({}, {"when": [{"startSec": 10, "endSec": 12}, {"startSec": 20, "endSec": 21}]})
        )
        inside = np.r_[10 * RATE + 300 : 12 * RATE - 300, 20 * RATE + 300 : 21 * RATE - 300]
        assert np.array_equal(parts[inside], whole[inside])
        for first, last in ((0, 10), (12, 20), (21, 30)):
            assert not parts[first * RATE : last * RATE].any()

    def test_those_after_the_end_are_left_out_with_a_note(self) -> None:
        spans = [{"startSec": at, "endSec": at + 2} for at in (1, 3, 29, 31)]
        result = compiled({"kind": "noise", "when": spans}, {"kind": "tone", "hz": 50, "when": spans[3:]})
        assert [layer.name for layer in result.plan.layers] == ["noise"]
        assert [span[:2] for span in result.plan.layers[0].spans(30 * RATE)][2] == (29 * RATE, 30 * RATE)
        words = "begin after the track or the recording has ended, so they are not heard."
        assert result.notes == (f"Of the 4 spans of noise.when 1 {words}", f"Of the 1 spans of tone.when 1 {words}")

    def test_a_tone_is_promised_in_the_longest(self) -> None:
        spans = [{"startSec": 2, "endSec": 6}, {"startSec": 8, "endSec": 20}, {"startSec": 26}]
        tone = {"kind": "tone", "hz": 432, "fadeInMs": 1000, "fadeOutMs": 2000}
        result = compiled({**tone, "when": spans}, {**tone, "sequence": [432, 528], "when": spans, "crossfadeSec": 2})
        promised = [(tone.from_s, tone.to_s) for tone in promised_of(result.plan, 0.0).tones]
        assert promised == [(9.0, 18.0), (9.0, 14.0), (16.0, 18.0)]


class TestVoices:
    SECOND: ClassVar[dict[str, Any]] = {
        "kind": "speech",
        "name": "whisper",
        "script": "Hi.",
        "voice": VOICE,
        "startSec": 5,
        "endSec": 25,
        "pauseSec": 3,
    }

    def both(self, *layers: dict[str, Any], **second: Any) -> Compiled:
        return compiled(
            {**self.SECOND, **second}, *layers, script="One. Two.", voice=VOICE, startDelaySec=2, pauseSec=4
        )

    def test_each_has_its_own_times(self) -> None:
        result = self.both()
        assert result.voices == ("voice", "whisper")
        starts = {name: [span.start for span in result.spoken if span.layer == name] for name in result.voices}
        assert starts["voice"][0] == 2 * RATE
        assert starts["whisper"][0] == 5 * RATE
        assert max(span.stop for span in result.spoken if span.layer == "whisper") <= 25 * RATE
        assert [span.start for span in result.spoken] == sorted(span.start for span in result.spoken)

    def test_each_has_its_own_chance(self) -> None:
        jitter = {"pauseJitterSec": 2, "startSec": 2, "pauseSec": 4, "endSec": None}
        result = compiled(
            {**self.SECOND, **jitter},
            {**self.SECOND, **jitter, "name": "third"},
            script="Hi.",
            voice=VOICE,
            **{"startDelaySec": 2, "pauseSec": 4, "pauseJitterSec": 2},
        )
        starts = {tuple(span.start for span in result.spoken if span.layer == name) for name in result.voices}
        assert len(starts) == 3

    def test_one_that_does_not_fit_names_the_length_that_would_do(self) -> None:
        with pytest.raises(JobError, match="durationMin: found") as caught:
            self.both(startSec=24, endSec=25)
        assert caught.value.code == "job.voice_too_long"

    def test_music_is_ducked_by_those_that_it_names(self) -> None:
        beds = [
            {"kind": "music", "name": name, "url": "m.mp3", "duckedBy": names}
            for name, names in (("both", ["voice", "whisper"]), ("one", ["whisper"]), ("none", []))
        ]
        result = self.both(*beds)
        both, one = layer_of(result, "both").gain, layer_of(result, "one").gain
        assert isinstance(both, Product)
        assert isinstance(one, Product)
        assert isinstance(both.curves[1], Ducking)
        assert isinstance(one.curves[1], Ducking)
        of_whisper = [(span.start, span.stop) for span in result.spoken if span.layer == "whisper"]
        assert list(one.curves[1].speech) == of_whisper
        covered = np.zeros(result.plan.frames, bool)
        for span in result.spoken:
            covered[span.start : span.stop] = True
        ducked = np.zeros(result.plan.frames, bool)
        for start, stop in both.curves[1].speech:
            assert not ducked[start:stop].any()
            ducked[start:stop] = True
        assert np.array_equal(covered, ducked)
        assert isinstance(layer_of(result, "none").gain, Constant)


def test_speakers_get_every_beat_made_for_them() -> None:
    beats = ({"kind": "binaural"}, {"kind": "binaural", "carrierHz": 300}, {"kind": "binaural", "mode": "monaural"})
    result = compiled(*beats, deliver=["headphones", "speakers"])
    assert result.twin is not None
    assert [type(layer.source) for layer in result.plan.layers][:2] == [Binaural, Binaural]
    assert [type(layer.source) for layer in result.twin.layers][:2] == [Isochronic, Isochronic]
    assert result.twin.layers[2] == result.plan.layers[2]
    only = compiled(*beats, deliver=["speakers"])
    assert [layer.source for layer in only.plan.layers] == [layer.source for layer in result.twin.layers]


def test_a_panned_tone_is_promised_in_the_channels_in_which_it_is_heard() -> None:
    result = compiled(
        {"kind": "tone", "hz": 432, "gainDb": -20, "pan": -1},
        {"kind": "tone", "hz": 500, "gainDb": -20, "pan": 0.5, "startSec": 5, "fadeInMs": 2000},
        {"kind": "tone", "hz": 600, "pan": [{"atMin": 0, "pan": -1}, {"atMin": 0.4, "pan": 1}]},
        {"kind": "binaural", "name": "beat"},
    )
    promised = promised_of(result.plan, 0.0)
    found = [(tone.layer, tone.channel, tone.level_dbfs, tone.from_s) for tone in promised.tones]
    assert found == [
        ("tone", "left", -16.99, 0.0),
        ("tone 2", "left", -25.33, 7.0),
        ("tone 2", "right", -17.68, 7.0),
        ("tone 3", "both", None, 0.0),
        ("beat", "left", -20.0, 0.0),
        ("beat", "right", -20.0, 0.0),
    ]
    assert [beat.layer for beat in promised.beats] == ["beat"]


TRACK_S = 7
AT_SEC = st.integers(0, TRACK_S - 2).map(float)


@st.composite
def listed_layers(draw: st.DrawFn) -> dict[str, Any]:
    """Any entry of the list, of any kind."""
    kind = draw(st.sampled_from(["speech", "music", "recording", "tone", "binaural", "noise"]))
    start = draw(AT_SEC)
    layer: dict[str, Any] = {"kind": kind, "startSec": start, "gainDb": draw(st.integers(-40, 6))}
    if kind == "speech":
        layer |= {"script": "Hi.", "voice": VOICE, "loopMode": draw(st.booleans()), "pauseSec": draw(st.integers(0, 3))}
    else:
        layer |= draw(st.fixed_dictionaries({}, optional={"endSec": AT_SEC.map(lambda more: start + more + 0.5)}))
    if kind in ("music", "recording"):
        layer |= {"url": "a.mp3", "loop": draw(st.sampled_from([True, False, "whole"]))}
    if kind == "tone":
        layer["hz"] = draw(st.sampled_from([20, 111.1, 432, 16_000]))
    if kind != "binaural":
        point = st.floats(-1, 1, width=16)
        points = st.tuples(point, point).map(lambda at: [{"atMin": 0, "pan": at[0]}, {"atMin": 0.2, "pan": at[1]}])
        layer |= draw(st.fixed_dictionaries({}, optional={"pan": point | points}))
    level = st.integers(-40, 6)
    if draw(st.booleans()):
        layer["gain"] = [{"atMin": at, "db": draw(level)} for at in (0.01, 0.06)]
    if kind != "speech" and draw(st.booleans()):
        edges = sorted(draw(st.sets(st.integers(1, 20), min_size=2, max_size=6)))
        spans = [{"startSec": start + a / 10, "endSec": start + b / 10} for a, b in pairwise(edges)]
        layer["when"] = spans[:: draw(st.integers(1, 2))]
        layer["endSec"] = max(layer.get("endSec", 0.0), layer["when"][-1]["endSec"])
        return layer | draw(
            st.fixed_dictionaries({}, optional={"fadeInMs": st.integers(0, 50), "fadeOutMs": st.just(50)})
        )
    fades = st.sampled_from([0, 10, 3000, 600_000])
    return layer | draw(st.fixed_dictionaries({}, optional={"fadeInMs": fades, "fadeOutMs": fades}))


def power(samples: np.ndarray[Any, Any]) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))


@settings(max_examples=12, deadline=None)
@given(
    layers=st.lists(listed_layers(), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, TRACK_S * RATE - 1), max_size=4),
)
def test_any_list_in_any_parts_is_the_whole_and_no_layer_moves_another(
    layers: list[dict[str, Any]], cuts: list[int]
) -> None:
    assume(len([layer for layer in layers if layer["kind"] == "speech" and layer["startSec"] > TRACK_S - 3]) == 0)
    result = compiled({"kind": "noise", "name": "always", "gainDb": -30}, *layers, durationMin=TRACK_S / 60)
    plan = result.plan
    assert plan.frames == TRACK_S * RATE
    whole = render(plan, 0, plan.frames)
    edges = [0, *sorted(cuts), plan.frames]
    parts = [render(plan, *span) for edge in pairwise(edges) for span in spans(*edge)]
    assert np.abs(np.concatenate(parts) - whole).max() <= 2e-6
    alone = [render(replace(plan, layers=(layer,)), 0, plan.frames) for layer in plan.layers]
    assert np.abs(np.sum(alone, axis=0, dtype=np.float64) - whole).max() <= 2e-6
    for layer, sound in zip(plan.layers, alone, strict=True):
        first, last = layer.within(0, plan.frames)
        assert power(sound[:first]) == power(sound[last:]) == 0.0


def over_time(points: Any, name: str, minutes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A steady value, or straight lines between points."""
    if not isinstance(points, list):
        return np.full(len(minutes), float(points))
    return np.interp(minutes, [point["atMin"] for point in points], [point[name] for point in points])


@settings(max_examples=20, deadline=None)
@given(layers=st.lists(listed_layers(), min_size=1, max_size=6))
def test_the_level_of_every_layer_is_what_its_gain_asks(layers: list[dict[str, Any]]) -> None:
    """Of all kinds, wherever they are and however they move: within 0.1 dB, where nothing fades."""
    assume(len([layer for layer in layers if layer["kind"] == "speech" and layer["startSec"] > TRACK_S - 3]) == 0)
    stated = {f"layer {number}": layer for number, layer in enumerate(layers)}
    plan = compiled(*({**layer, "name": name} for name, layer in stated.items()), durationMin=TRACK_S / 60).plan
    for layer in plan.layers:
        asked = stated[layer.name]
        correction_db = 0.0
        if asked["kind"] == "speech":
            correction_db = -16.0 - SPEECH.loudness_lufs
        elif asked["kind"] in ("music", "recording"):
            correction_db = -16.0 - (-18.0 if isinstance(layer.source, Looped) else MUSIC.loudness_lufs)
        for start, stop, fade in layer.spans(plan.frames):
            first, last = start + fade.in_frames, stop - fade.out_frames
            if first >= last:
                continue
            minutes = np.arange(first, last) / RATE / 60
            level_db = over_time(asked.get("gain", asked["gainDb"]), "db", minutes) + correction_db
            angle = (over_time(asked.get("pan", 0.0), "pan", minutes) + 1) * np.pi / 4
            by_channel = 2 * np.stack([np.cos(angle) ** 2, np.sin(angle) ** 2], axis=1)
            source = np.square(layer.source.render(first - layer.origin, last - layer.origin), dtype=np.float64)
            sound = render(replace(plan, layers=(layer,)), first, last)
            wanted = float((source * by_channel * 10 ** (level_db[:, None] / 10)).sum())
            assert power(sound) == pytest.approx(wanted, rel=0.023, abs=1e-12)  # 0.1 dB
