"""A voice longer than its track whose length is known: earlier, then faster, then to a whole sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import ArrayClip
from fit_stage import RATE
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.payload.script import Pause
from worker.plan.compile import compile_plan
from worker.plan.recordings import Media, Speech, Spoken
from worker.tts.shorten import fitted, quiet_spans


def buzz(seconds: float, level: float = 0.3) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return level * np.sin(2 * np.pi * 150 * t)


def talk(*lengths_s: float, pause_s: float = 0.3) -> ArrayClip:
    """Sound of so many seconds each, with pauses between."""
    stretches = [piece for length_s in lengths_s for piece in (buzz(length_s), np.zeros(round(pause_s * RATE)))][:-1]
    samples = np.concatenate(stretches)
    return ArrayClip(np.ascontiguousarray(np.stack([samples, samples], axis=1), np.float32))


class TestKnownLength:
    def job(self, **fields: Any):
        times = {"durationMin": 0.5, "fade": {"inMs": 1000, "outMs": 2000}}
        return parse_job({**times, **fields}, recordings=("voice",))

    def fit(self, tmp_path: Path, speech: Speech, fit="adapt", **fields: Any):
        notes: list[str] = []
        script = fields.pop("script", " ".join(part.text for part in speech.parts if isinstance(part, Spoken)))
        made = fitted(self.job(script=script, **fields), speech, fit=fit, folder=tmp_path, notes=notes)
        compiled = compile_plan(made.job, Media(made.speech))
        assert max(span.stop for span in compiled.spoken) <= 28 * RATE
        return made, compiled.spoken, notes

    def words(self, *lengths_s: float) -> Speech:
        return Speech(tuple(Spoken(f"Line {n}.", talk(length_s)) for n, length_s in enumerate(lengths_s)), -16)

    def test_speech_that_fits_stays_as_it_is(self, tmp_path):
        speech = self.words(24.9)
        made, spoken, notes = self.fit(tmp_path, speech)
        assert made.speech is speech
        assert (spoken[0].start, notes) == (3 * RATE, [])

    def test_first_it_begins_earlier_and_no_earlier_than_needed(self, tmp_path):
        made, spoken, notes = self.fit(tmp_path, self.words(26.0))
        assert (spoken[0].start, spoken[0].stop) == (2 * RATE, 28 * RATE)
        assert made.speech.parts[0].clip.frames == 26 * RATE
        assert notes == ["The voice begins at 2.0 s instead of 3.0 s, so that it ends before the track fades out."]

    @pytest.mark.parametrize("loop", [{"loopMode": False}, {"loopMode": "interval"}, {}])
    def test_a_delay_longer_than_the_track_begins_earlier(self, tmp_path, loop):
        _, spoken, notes = self.fit(tmp_path, self.words(5.0), startDelaySec=300, **loop)
        assert [(span.start, span.stop) for span in spoken] == [(23 * RATE, 28 * RATE)]
        assert "instead of 300.0 s" in notes[0]

    def test_then_it_is_faster_by_up_to_a_tenth(self, tmp_path):
        _, spoken, notes = self.fit(tmp_path, self.words(28.0))
        assert spoken[0].start == RATE
        assert 28 * RATE - spoken[0].stop <= 1
        assert any("3.7 % faster" in note for note in notes)

    def test_then_it_ends_at_the_last_whole_sentence(self, tmp_path):
        texts = [f"{number} sentence here." for number in ("First", "Second", "Third", "Fourth")]
        pieces = [part for text in texts for part in (Pause(0.3), Spoken(text, talk(9)))][1:]
        made, spoken, notes = self.fit(tmp_path, Speech(tuple(pieces), -16))
        assert [part.text for part in made.speech.parts if isinstance(part, Spoken)] == texts[:3]
        assert spoken[0].start >= RATE
        assert any("whole sentence" in note and "36.9 s" in note for note in notes)

    def test_a_piece_that_ends_within_a_sentence_is_no_place_to_end(self, tmp_path):
        """A sentence that is too long for the voice is spoken in pieces."""
        parts = (Spoken("One.", talk(8)), Spoken("Two begins,", talk(15)), Spoken("and ends.", talk(15)))
        made, _, _ = self.fit(tmp_path, Speech(parts, -16))
        assert [part.text for part in made.speech.parts] == ["One."]

    def test_pauses_of_the_script_stay_exact(self, tmp_path):
        parts = (Spoken("One.", talk(10)), Pause(6.25), Spoken("Two.", talk(12)))
        _, spoken, _ = self.fit(tmp_path, Speech(parts, -16))
        assert spoken[1].start - spoken[0].stop == round(6.25 * RATE)

    def test_a_recording_ends_in_its_last_pause_that_fits(self, tmp_path):
        _, spoken, notes = self.fit(tmp_path, Speech((Spoken("", talk(10, 10, 8, 10)),), -16))
        assert any("in a pause" in note for note in notes)
        assert (spoken[0].stop - spoken[0].start) / RATE == pytest.approx(27, abs=0.01)
        assert any("faster" in note for note in notes)

    def test_a_recording_without_pauses_fades_out(self, tmp_path):
        made, spoken, notes = self.fit(tmp_path, Speech((Spoken("", talk(60)),), -16))
        assert any("fading out" in note for note in notes)
        assert 28 * RATE - spoken[0].stop <= 2
        clip = made.speech.parts[0].clip
        end = clip.read(clip.frames - RATE // 5, clip.frames)
        assert np.abs(end[-5:]).max() < 0.01 < 0.05 < np.abs(end[: RATE // 20]).max()

    def test_a_recording_is_refused_where_that_is_wanted(self, tmp_path):
        with pytest.raises(JobError) as caught:
            self.fit(tmp_path, Speech((Spoken("", talk(26.0)),), -16), fit="fail")
        assert caught.value.code == "job.voice_too_long"
        assert "longer track" in caught.value.customer_message

    def test_words_that_were_paid_are_never_refused(self, tmp_path):
        _, spoken, _ = self.fit(tmp_path, self.words(26.0), fit="fail")
        assert spoken[0].start == 2 * RATE

    def test_fades_that_take_the_whole_track_leave_room_from_its_beginning(self, tmp_path):
        notes: list[str] = []
        job = parse_job({"script": "Hi.", "durationMin": 0.1, "fade": {"inMs": 4000, "outMs": 4000}})
        made = fitted(job, Speech((Spoken("", talk(60)),), -16), fit="adapt", folder=tmp_path, notes=notes)
        assert compile_plan(made.job, Media(made.speech)).spoken[0].start == 0

    @settings(deadline=None, max_examples=12)
    @given(
        lengths_s=st.lists(st.floats(0.3, 12.0), min_size=1, max_size=6),
        delay_s=st.integers(0, 300),
        is_recording=st.booleans(),
    )
    def test_it_never_ends_later_than_the_fade_out_begins(self, tmp_path_factory, lengths_s, delay_s, is_recording):
        folder = tmp_path_factory.mktemp("fit")
        speech = Speech((Spoken("", talk(*lengths_s)),), -16) if is_recording else self.words(*lengths_s)
        made, spoken, notes = self.fit(folder, speech, startDelaySec=delay_s)
        if not is_recording:
            kept = [part.text for part in made.speech.parts]
            assert kept == [f"Line {number}." for number in range(len(kept))]
        assert bool(notes) == (made.speech is not speech or made.job.start_delay_s != delay_s)
        assert spoken[0].start <= delay_s * RATE


class TestPauses:
    def test_quiet_spans_are_found_and_nothing_else(self):
        clip = talk(1.0, 2.0, 0.5, pause_s=0.2)
        found = [(round(a / RATE, 1), round(b / RATE, 1)) for a, b in quiet_spans(clip)]
        assert found == [(1.0, 1.2), (3.2, 3.4)]
        assert quiet_spans(talk(3.0)) == []
