"""Jobs into plans: exact frames, exact gains, and what is shortened."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from clips import ArrayClip
from compiled_jobs import SR, clip, compiled, speech, starts
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.envelope import Fade
from dsp.plan import render
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.payload.script import Pause
from worker.plan.compile import compile_plan
from worker.plan.recordings import Media, Music, Speech, Spoken


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
