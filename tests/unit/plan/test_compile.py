"""Jobs into plans: exact frames, exact gains, and what is shortened."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from clips import ArrayClip
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.envelope import Breakpoints, Constant, Fade
from dsp.noise import Noise
from dsp.plan import RenderPlan, render
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.errors import JobError, MediaError
from worker.payload.parse import RenderJob, parse_job
from worker.payload.script import Pause
from worker.plan.compile import Compiled, compile_plan
from worker.plan.recordings import Loop, Media, Music, Speech, Spoken

SR = 44_100


def clip(seconds: float, level: float = 0.25) -> ArrayClip:
    return ArrayClip(np.full((round(seconds * SR), 2), level, np.float32))


def speech(*parts: float | Pause, lufs: float = -16.0) -> Speech:
    """Spoken stretches of so many seconds, and pauses."""
    return Speech(
        tuple(part if isinstance(part, Pause) else Spoken(f"line {i}", clip(part)) for i, part in enumerate(parts)),
        lufs,
    )


def job(**fields: Any) -> RenderJob:
    return parse_job({"script": "Hi", **fields}, recordings=("voice", "music"))


def compiled(media: Media | None = None, **fields: Any) -> Compiled:
    return compile_plan(job(**fields), Media(speech(2.0)) if media is None else media)


def starts(result: Compiled) -> list[int]:
    """First frame of each repetition."""
    first: dict[int, int] = {}
    for span in result.spoken:
        first.setdefault(span.repetition, span.start)
    return list(first.values())


def source(plan: RenderPlan, name: str) -> Any:
    return next(layer.source for layer in plan.layers if layer.name == name)


def gain_at(plan: RenderPlan, name: str, frame: int) -> float:
    curve = next(layer.gain for layer in plan.layers if layer.name == name)
    return float(np.ravel(curve.at(frame, frame + 1))[0])


class TestLength:
    @pytest.mark.parametrize("minutes", [0.05, 1, 1.5, 7 / 3, 480, 0.1 + 0.2])
    def test_is_exact_to_the_frame(self, minutes):
        assert compiled(Media(), durationMin=minutes, carrierType="pink").plan.frames == round(minutes * 60 * SR)

    def test_without_a_duration_it_is_the_speech_once_plus_fades(self):
        older = parse_job({"script": "Hi", "output": {"normalize": True}})
        result = compile_plan(older, Media(speech(2.0, Pause(1.5), 3.0, Pause(0.5))))
        assert result.plan.frames == SR * 7 + SR + round(1.5 * SR)
        assert (result.repetitions, starts(result)) == (1, [SR])
        assert result.plan.fade == Fade(result.plan.frames, SR, round(1.5 * SR))

    def test_without_a_duration_and_speech_it_is_five_minutes(self):
        older = parse_job({"output": {"normalize": True}}, recordings=("voice",))
        result = compile_plan(older, Media(music=Music(clip(1), -16)))
        assert result.plan.frames == 5 * 60 * SR


class TestRepetitions:
    def test_start_delay_and_pauses_are_exact_to_the_frame(self):
        result = compiled(Media(speech(2.0, Pause(0.5), 1.0)), durationMin=0.5, startDelaySec=3, pauseSec=5)
        assert starts(result) == [round(SR * at) for at in (3, 11.5, 20)]
        assert [(s.text, s.start, s.stop, s.repetition) for s in result.spoken[:3]] == [
            ("line 0", 3 * SR, 5 * SR, 0),
            ("line 2", round(5.5 * SR), round(6.5 * SR), 0),
            ("line 0", round(11.5 * SR), round(13.5 * SR), 1),
        ]

    def test_what_is_heard_is_where_the_spans_say(self):
        result = compiled(Media(speech(1.0, Pause(0.25), 0.5)), durationMin=0.2, pauseSec=1.1)
        sound = np.abs(render(result.plan, 0, result.plan.frames)[:, 0]) > 0
        expected = np.zeros(result.plan.frames, bool)
        for span in result.spoken:
            expected[span.start : span.stop] = True
        assert result.repetitions > 2
        assert np.array_equal(sound, expected)

    def test_the_last_starts_only_if_its_words_end_before_the_fade_out(self):
        # 10 s track; words must end at 8.5 s; starts at 3 s: the second would take 5.5 to 7.5
        media = Media(speech(2.0))
        assert compiled(media, durationMin=10 / 60, pauseSec=0.5).repetitions == 2
        exact = (8.5 - 3 - 2 - 2) * SR
        for extra, repetitions in ((0, 2), (1, 1)):
            result = compiled(media, durationMin=10 / 60, pauseSec=(exact + extra) / SR)
            assert result.repetitions == repetitions

    def test_a_final_pause_may_reach_into_the_fade(self):
        media = Media(speech(2.0, Pause(30.0)))
        assert compiled(media, durationMin=10 / 60).repetitions == 1
        assert starts(compiled(media, durationMin=1, pauseSec=1)) == [3 * SR, 36 * SR]

    def test_loop_mode_false_speaks_once(self):
        assert compiled(durationMin=5, loopMode=False).repetitions == 1

    def test_interval_counts_from_start_to_start(self):
        result = compiled(durationMin=2, loopMode="interval", intervalSec=30, startDelaySec=1)
        assert starts(result) == [SR * at for at in (1, 31, 61, 91)]

    def test_an_interval_shorter_than_the_voice_waits_for_its_end(self):
        result = compiled(Media(speech(40.0)), durationMin=3, loopMode="interval", intervalSec=30, startDelaySec=0)
        assert starts(result) == [SR * at for at in (0, 40, 80, 120)]

    def test_a_script_of_rounded_pauses_stays_in_step(self):
        pause = Pause(1 / 3)
        result = compiled(Media(speech(0.1, pause, 0.1, pause, 0.1)), durationMin=1, loopMode=False)
        assert [span.start - 3 * SR for span in result.spoken] == [0, 4410 + 14700, 2 * (4410 + 14700)]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.floats(0.1, 3).map(lambda s: round(s, 3)), min_size=1, max_size=3),
        st.floats(0, 4),
        st.floats(0, 20),
        st.floats(0, 10),
        st.sampled_from([True, "interval"]),
        st.floats(0, 5000),
        st.booleans(),
        st.integers(0, 10**9),
    )
    def test_never_overlap_and_never_run_into_the_fade_out(
        self, lengths, gap, pause, jitter, mode, fade_ms, shuffle, seed
    ):
        parts: list[float | Pause] = []
        for length in lengths:
            parts += [length, Pause(gap)]
        fields = {"pauseSec": pause, "pauseJitterSec": jitter, "loopMode": mode, "seed": seed}
        result = compiled(
            Media(speech(*parts)),
            durationMin=3,
            voice={"shuffle": shuffle},
            intervalSec=30,
            fade={"outMs": fade_ms},
            **fields,
        )
        assert result.repetitions >= 1
        assert result.spoken[0].start == 3 * SR
        assert all(before.stop <= after.start for before, after in pairwise(result.spoken))
        assert result.spoken[-1].stop <= result.plan.frames - round(fade_ms / 1000 * SR)
        assert len(result.spoken) == result.repetitions * len(lengths)
        one = round(sum(round(length * SR) + round(gap * SR) for length in lengths))
        if mode is True:
            for before, after in pairwise(starts(result)):
                assert abs((after - before - one) - round(pause * SR)) <= round(jitter * SR)
                assert after - before >= one


class TestVariety:
    PARTS = (1.0, Pause(0.5), 2.0, Pause(0.25), 0.5, 1.5)

    def orders(self, **fields: Any) -> list[tuple[str, ...]]:
        result = compiled(Media(speech(*self.PARTS)), durationMin=5, pauseSec=1, **fields)
        lines: dict[int, list[str]] = {}
        for span in result.spoken:
            lines.setdefault(span.repetition, []).append(span.text)
        return [tuple(order) for order in lines.values()]

    def test_lines_keep_their_order_unless_asked(self):
        assert set(self.orders()) == {("line 0", "line 2", "line 4", "line 5")}

    def test_shuffle_varies_all_but_the_first_repetition(self):
        orders = self.orders(voice={"shuffle": True})
        assert orders[0] == ("line 0", "line 2", "line 4", "line 5")
        assert all(sorted(order) == sorted(orders[0]) for order in orders)
        assert len(set(orders)) > len(orders) / 3
        assert all(before != after for before, after in pairwise(orders))
        assert all(before[-1] != after[0] for before, after in pairwise(orders))

    def test_two_lines_can_swap(self):
        result = compiled(Media(speech(1.0, 0.5)), durationMin=10, pauseSec=0, voice={"shuffle": True})
        firsts = {span.text for span in result.spoken[::2]}
        assert firsts == {"line 0", "line 1"}

    def test_the_seed_decides(self):
        shuffle = {"voice": {"shuffle": True}, "pauseJitterSec": 1}
        assert self.orders(seed=1, **shuffle) == self.orders(seed=1, **shuffle)
        assert self.orders(seed=1, **shuffle) != self.orders(seed=2, **shuffle)

    def test_jitter_moves_pauses_both_ways(self):
        result = compiled(durationMin=10, pauseSec=5, pauseJitterSec=2)
        pauses = [(after - before) / SR - 2 for before, after in pairwise(starts(result))]
        assert min(pauses) < 4
        assert max(pauses) > 6
        assert all(3 <= pause <= 7 for pause in pauses)


class TestVoiceTooLong:
    def test_is_refused_with_the_lengths_and_the_least_duration_that_fits(self):
        with pytest.raises(JobError) as caught:
            compiled(Media(speech(75.2)), durationMin=1)
        assert str(caught.value) == (
            "durationMin: found 1, allowed is at least 1.33: the voice takes 75.2 s, begins at 3.0 s and must end "
            "before the fade-out of 1.5 s"
        )
        assert compiled(Media(speech(75.2)), durationMin=1.33).repetitions == 1

    @settings(max_examples=50, deadline=None)
    @given(st.integers(SR, 90 * SR), st.floats(0, 30), st.floats(0, 30_000))
    def test_the_least_duration_named_does_fit(self, frames, delay, fade_ms):
        media = Media(Speech((Spoken("", ArrayClip(np.zeros((frames, 2), np.float32))),), -16))
        fields: dict[str, Any] = {"startDelaySec": delay, "fade": {"outMs": fade_ms}}
        with pytest.raises(JobError) as caught:
            compiled(media, durationMin=0.05, **{**fields, "startDelaySec": delay + 3})
        least = float(str(caught.value).split("at least ")[1].split(":")[0])
        assert compiled(media, durationMin=least, **{**fields, "startDelaySec": delay + 3}).repetitions >= 1


class TestLevels:
    @pytest.mark.parametrize("lufs", [-40.0, -16.0, -5.3])
    def test_voice_and_music_are_brought_to_minus_16_before_their_gain(self, lufs):
        media = Media(speech(2.0, lufs=lufs), Music(clip(30), lufs))
        result = compiled(media, gains={"voiceDb": -1, "musicDb": -10})
        assert result.layer_gains_db == {"voice": pytest.approx(-17 - lufs), "music": pytest.approx(-26 - lufs)}
        assert gain_at(result.plan, "voice", 0) == pytest.approx(10 ** ((-17 - lufs) / 20), rel=1e-12)
        assert gain_at(result.plan, "music", 0) == pytest.approx(10 ** ((-26 - lufs) / 20), rel=1e-12)

    def test_the_last_bits_of_a_measured_loudness_do_not_reach_the_samples(self):
        here, there = (
            compiled(Media(speech(2.0, lufs=-19.4 + bits), Music(clip(30), -16.5 + bits))) for bits in (0.0, 5e-7)
        )
        assert here.layer_gains_db == there.layer_gains_db == {"voice": 2.4, "music": -9.5}

    def test_reference_source_keeps_the_files_own_level(self):
        media = Media(speech(2.0, lufs=-30), Music(clip(30), -8))
        result = compiled(media, gains={"voiceDb": 3, "musicDb": 0, "reference": "source"})
        assert result.layer_gains_db == {"voice": 3, "music": 0}

    @pytest.mark.parametrize("lufs", [-math.inf, math.nan])
    def test_silence_does_not_blow_up_the_gain(self, lufs):
        result = compiled(Media(speech(2.0, lufs=lufs), Music(clip(30), lufs)))
        assert result.layer_gains_db == {"voice": -1, "music": -10}
        assert [note.split(",")[0] for note in result.notes] == ["The voice is silent", "The music is silent"]

    def test_a_tones_gain_is_its_peak_in_dbfs(self):
        result = compiled(
            Media(),
            solfeggio={"enabled": True, "hz": 528},
            gains={"solfeggioDb": -12, "binauralDb": 0},
            fade={"inMs": 0},
        )
        peak = np.abs(render(result.plan, 0, SR)).max()
        assert 20 * math.log10(peak) == pytest.approx(-12, abs=0.01)
        assert result.layer_gains_db == {"solfeggio": -12}

    def test_the_bed_has_its_own_gain(self):
        result = compiled(Media(), carrierType="brown", carrierGainDb=-33.5)
        assert result.layer_gains_db == {"noise": -33.5}
        assert source(result.plan, "noise").colour == "brown"

    def test_no_layer_moves_when_another_is_added(self):
        alone = compiled(Media(speech(2.0, lufs=-20)), durationMin=0.2)
        tones = {"solfeggio": {"hz": 528}, "binaural": {"band": "alpha"}, "carrierType": "pink"}
        many = compiled(Media(speech(2.0, lufs=-20), Music(clip(3), -9)), durationMin=0.2, **tones)
        assert many.layer_gains_db["voice"] == alone.layer_gains_db["voice"]
        assert source(many.plan, "voice").starts == source(alone.plan, "voice").starts

    def test_a_gain_timeline_stands_in_for_the_gain_on_top_of_the_reference(self):
        points = [{"atMin": 0, "db": -30}, {"atMin": 1, "db": -10}, {"atMin": 2, "db": -10}]
        result = compiled(Media(music=Music(clip(30), -20)), gains={"musicDb": 5, "timeline": {"music": points}})
        for minute, db in ((0, -26), (0.5, -16), (1, -6), (4, -6)):
            assert 20 * math.log10(gain_at(result.plan, "music", round(minute * 60 * SR))) == pytest.approx(
                db, abs=1e-6
            )
        assert result.layer_gains_db == {"music": pytest.approx(-26)}

    def test_a_timeline_that_stands_still_is_a_constant(self):
        points = [{"atMin": 0, "db": -12}, {"atMin": 1, "db": -12}]
        result = compiled(Media(), carrierType="pink", gains={"timeline": {"noise": points}})
        assert result.plan.layers[0].gain == Constant(10 ** (-12 / 20))

    def test_points_that_fall_on_one_frame_are_one_point(self):
        points = [{"atMin": 0, "db": -12}, {"atMin": 1e-9, "db": -20}, {"atMin": 1, "db": -30}]
        result = compiled(Media(), carrierType="pink", gains={"timeline": {"noise": points}})
        assert result.layer_gains_db == {"noise": -20}


class TestMusic:
    def test_short_music_loops_with_two_seconds_of_crossfade(self):
        looped = source(compiled(Media(music=Music(clip(20), -16)), durationMin=1).plan, "music")
        assert isinstance(looped, Looped)
        assert looped.crossfade_frames == 2 * SR

    def test_a_very_short_loop_gets_a_shorter_crossfade(self):
        looped = source(compiled(Media(music=Music(clip(1), -16)), durationMin=1).plan, "music")
        assert looped.crossfade_frames == SR // 4

    @pytest.mark.parametrize("seconds", [60, 61])
    def test_long_music_is_trimmed_without_a_seam(self, seconds):
        plan = compiled(Media(music=Music(clip(seconds), -16)), durationMin=1, gains={"musicDb": 0}).plan
        assert isinstance(source(plan, "music"), Placed)
        assert np.allclose(render(plan, 30 * SR, 58 * SR), 0.25)


class TestLoopOfMusic:
    LOOP = Loop(5 * SR, 18 * SR, SR, 0.5, loudness_lufs=-20.0, note="music: loops")

    def test_a_longer_track_repeats_the_part_and_says_so(self):
        result = compiled(Media(music=Music(clip(20), -16, self.LOOP)), durationMin=1)
        looped = source(result.plan, "music")
        assert (looped.start, looped.stop, looped.crossfade_frames, looped.likeness) == (5 * SR, 18 * SR, SR, 0.5)
        assert result.notes == ("music: loops",)

    def test_its_gain_follows_from_the_loudness_of_the_part(self):
        """A long fade-out must not make the rest louder."""
        result = compiled(Media(music=Music(clip(20), -26, self.LOOP)), durationMin=1, gains={"musicDb": -10})
        assert result.layer_gains_db["music"] == pytest.approx(-10 - 16 + 20)

    @pytest.mark.parametrize("seconds", [60, 61])
    def test_a_piece_as_long_as_the_track_is_heard_once_at_its_own_loudness(self, seconds):
        result = compiled(Media(music=Music(clip(seconds), -26, self.LOOP)), durationMin=1, gains={"musicDb": -10})
        assert isinstance(source(result.plan, "music"), Placed)
        assert result.layer_gains_db["music"] == pytest.approx(-10 - 16 + 26)
        assert result.notes == ()

    def test_a_part_that_the_job_states_is_repeated_though_the_piece_goes_on(self):
        stated = replace(self.LOOP, stated=True)
        assert isinstance(
            source(compiled(Media(music=Music(clip(70), -16, stated)), durationMin=1).plan, "music"), Looped
        )


class TestBadMedia:
    @pytest.mark.parametrize("frames", [0, 1, 4409])
    def test_a_recording_too_short_to_be_one_is_refused(self, frames):
        tiny = ArrayClip(np.zeros((frames, 2), np.float32))
        with pytest.raises(MediaError, match=rf"^music: found a recording of {frames} frames"):
            compiled(Media(music=Music(tiny, -math.inf)))
        with pytest.raises(MediaError, match=rf"^voice: found a recording of {frames} frames"):
            compiled(Media(Speech((Spoken("", tiny), Pause(5.0)), -math.inf)))

    def test_nothing_to_hear_is_refused(self):
        with pytest.raises(JobError, match="no layer"):
            compiled(Media())


class TestFades:
    def test_are_exact(self):
        assert compiled(durationMin=1, fade={"inMs": 2500, "outMs": 0}).plan.fade == Fade(60 * SR, 110_250, 0)

    def test_that_do_not_fit_are_shortened_in_proportion_with_a_note(self):
        result = compiled(Media(), durationMin=0.05, fade={"inMs": 1000, "outMs": 29_000}, carrierType="pink")
        fade = result.plan.fade
        assert isinstance(fade, Fade)
        assert (fade.in_frames, fade.out_frames) == (SR // 10, 2.9 * SR)
        assert "shortened to 0.10 s and 2.90 s" in result.notes[0]


class TestTones:
    def test_solfeggio(self):
        result = compiled(Media(), solfeggio={"hz": 963, "wave": "triangle"})
        assert source(result.plan, "solfeggio") == Tone(963.0, SR, "triangle")

    def test_a_steady_beat_is_a_plain_number(self):
        result = compiled(Media(), binaural={"band": "theta", "carrierHz": 210})
        assert source(result.plan, "binaural") == Binaural(210.0, 6.0, SR)

    @pytest.mark.parametrize(("mode", "kind"), [("monaural", Monaural), ("isochronic", Isochronic)])
    def test_other_beats(self, mode, kind):
        assert source(compiled(Media(), binaural={"mode": mode, "beatHz": 4}).plan, "binaural") == kind(200.0, 4.0, SR)

    def test_a_timeline_moves_what_it_states(self):
        points = [{"atMin": 0, "beatHz": 10, "carrierHz": 200}, {"atMin": 0.5, "beatHz": 8}, {"atMin": 1, "beatHz": 4}]
        beat = source(compiled(Media(), binaural={"timeline": points}).plan, "binaural")
        assert beat == Binaural(200.0, Breakpoints((0, 30 * SR, 60 * SR), (10.0, 8.0, 4.0)), SR)

    def test_a_sequence_shares_what_is_left(self):
        sequence = [396, {"hz": 528, "minutes": 2}, 639]
        result = compiled(Media(), durationMin=6, solfeggio={"sequence": sequence, "crossfadeSec": 3})
        assert source(result.plan, "solfeggio") == ToneSequence(
            (396.0, 528.0, 639.0), (0, 120 * SR, 240 * SR), 3 * SR, SR, "sine"
        )
        assert result.notes == ()

    def test_neighbours_of_one_pitch_are_one_tone(self):
        sequence = source(
            compiled(Media(), durationMin=4, solfeggio={"sequence": [396, 396, 528, 528]}).plan, "solfeggio"
        )
        assert (sequence.tones_hz, sequence.starts) == ((396.0, 528.0), (0, 120 * SR))
        same = compiled(Media(), solfeggio={"sequence": [396, 396]})
        assert source(same.plan, "solfeggio") == Tone(396.0, SR, "sine")

    def test_the_crossfade_is_no_longer_than_the_shortest_tone(self):
        sequence = [{"hz": 396, "minutes": 0.05}, 528]
        result = compiled(Media(), solfeggio={"sequence": sequence, "crossfadeSec": 60})
        assert source(result.plan, "solfeggio").crossfade_frames == 3 * SR

    @pytest.mark.parametrize(
        "sequence",
        [
            [{"hz": 396, "minutes": 3}, 528, {"hz": 639, "minutes": 3}],
            [{"hz": 396, "minutes": 3}, {"hz": 528, "minutes": 3}, {"hz": 639, "minutes": 3}],
        ],
    )
    def test_tones_that_the_track_has_no_room_for_are_left_out_with_a_note(self, sequence):
        result = compiled(Media(), durationMin=5, solfeggio={"sequence": sequence})
        assert len(source(result.plan, "solfeggio").tones_hz) == 2
        assert len(result.notes) == 1
        render(result.plan, 179 * SR, 181 * SR)

    def test_the_bed_is_seeded_by_the_job(self):
        beds = [source(compiled(Media(), carrierType="pink", seed=seed).plan, "noise") for seed in (1, 1, 2)]
        assert isinstance(beds[0], Noise)
        assert beds[0] == beds[1] != beds[2]


class TestDucking:
    MEDIA = Media(speech(2.0, 1.0), Music(clip(60), -16))

    def test_is_off_unless_asked(self):
        plan = compiled(self.MEDIA, durationMin=0.5).plan
        assert gain_at(plan, "music", 4 * SR) == gain_at(plan, "music", 10)

    def test_holds_the_music_down_from_the_first_word_and_nothing_else(self):
        field = {"enabled": True, "depthDb": 12, "attackMs": 500, "holdMs": 0, "releaseMs": 1000}
        plan = compiled(self.MEDIA, durationMin=0.5, pauseSec=10, ducking=field, solfeggio={"hz": 528}).plan
        up, down = 10 ** (-10 / 20), 10 ** (-22 / 20)
        assert gain_at(plan, "music", 3 * SR - SR // 2 - 1) == pytest.approx(up)
        for frame in (3 * SR, 5 * SR, 6 * SR - 1):
            assert gain_at(plan, "music", frame) == pytest.approx(down)
        assert gain_at(plan, "music", 7 * SR + 1) == pytest.approx(up)
        assert gain_at(plan, "solfeggio", 4 * SR) == gain_at(plan, "solfeggio", 10)

    def test_without_speech_there_is_nothing_to_make_way_for(self):
        plan = compiled(Media(music=self.MEDIA.music), ducking={"enabled": True}).plan
        assert isinstance(plan.layers[0].gain, Constant)


class TestTwins:
    def test_share_everything_but_the_beat(self):
        media = Media(speech(2.0), Music(clip(20), -16))
        tones = {"solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}
        result = compiled(media, deliver=["headphones", "speakers"], **tones)
        assert source(result.plan, "binaural") == Binaural(200.0, 6.0, SR)
        assert result.twin is not None
        assert source(result.twin, "binaural") == Isochronic(200.0, 6.0, SR)
        for ours, theirs in zip(result.plan.layers, result.twin.layers, strict=True):
            assert (ours.source is theirs.source) == (ours.name != "binaural")
            assert ours.gain is theirs.gain
        assert result.twin.fade is result.plan.fade

    def test_speakers_alone_are_the_plan(self):
        result = compiled(Media(), deliver=["speakers"], binaural={"beatHz": 5, "speakersMode": "monaural"})
        assert source(result.plan, "binaural") == Monaural(200.0, 5.0, SR)
        assert result.twin is None

    def test_a_beat_that_speakers_can_play_is_left_as_asked(self):
        result = compiled(Media(), deliver=["speakers"], binaural={"mode": "monaural", "beatHz": 5})
        assert source(result.plan, "binaural") == Monaural(200.0, 5.0, SR)

    @pytest.mark.parametrize("tones", [{"carrierType": "pink"}, {"binaural": {"mode": "monaural"}}])
    def test_without_a_binaural_beat_there_is_no_twin(self, tones):
        result = compiled(Media(), deliver=["headphones", "speakers"], **tones)
        assert result.twin is None
        assert "serves speakers as well" in result.notes[0]

    def test_headphones_alone_have_none(self):
        assert compiled(Media(), binaural={"beatHz": 5}).twin is None


class TestHeardFrom:
    def test_is_the_first_word_after_the_fade_in(self):
        assert compiled(startDelaySec=3).heard_from == 3 * SR
        assert compiled(startDelaySec=0, fade={"inMs": 5000}, pauseSec=5).heard_from == 7 * SR

    def test_is_the_first_word_where_none_comes_after_the_fade_in(self):
        assert compiled(startDelaySec=1, loopMode=False, fade={"inMs": 30_000}).heard_from == SR

    def test_without_voice_is_the_end_of_the_fade_in(self):
        assert compiled(Media(), carrierType="pink").heard_from == SR


def test_the_same_job_gives_the_same_samples_for_any_split():
    media = Media(speech(1.0, Pause(0.3), 0.7), Music(clip(4), -18))
    fields: dict[str, Any] = {
        "durationMin": 0.3,
        "pauseSec": 1,
        "pauseJitterSec": 1,
        "solfeggio": {"sequence": [396, 528]},
        "binaural": {"timeline": [{"atMin": 0, "beatHz": 10}, {"atMin": 0.2, "beatHz": 4}]},
        "carrierType": "pink",
        "ducking": {"enabled": True},
        "voice": {"shuffle": True},
    }
    first, second = compiled(media, **fields).plan, compiled(media, **fields).plan
    whole = render(first, 0, first.frames)
    edges = [0, 1, 12_345, 200_001, first.frames]
    parts = np.concatenate([render(second, a, b) for a, b in pairwise(edges)])
    assert np.abs(whole - parts).max() <= 2**-23  # 1 LSB of 24 bits
