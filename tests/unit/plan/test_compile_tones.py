"""Tones and beats in a plan, and a second track that differs in its beat."""

from __future__ import annotations

import pytest
from compiled_jobs import SR, clip, compiled, source, speech

from dsp.envelope import Breakpoints
from dsp.noise import Noise
from dsp.plan import render
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.plan.recordings import Media, Music


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
