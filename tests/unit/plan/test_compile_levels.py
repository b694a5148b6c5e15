"""Levels in a plan: gains, music, loops, fades, ducking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from clips import ArrayClip
from compiled_jobs import SR, clip, compiled, gain_at, source, speech

from dsp.envelope import Constant, Fade
from dsp.plan import render
from dsp.recorded import Looped, Placed
from worker.errors import JobError, MediaError
from worker.payload.script import Pause
from worker.plan.recordings import Loop, Media, Music, Speech, Spoken


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
