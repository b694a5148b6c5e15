"""The room that a track has for its voice, and the sentences that are projected to fit."""

from __future__ import annotations

import pytest
from fit_stage import RATE
from hypothesis import given
from hypothesis import strategies as st

from worker.payload.parse import parse_job
from worker.payload.script import Pause, Sentence
from worker.plan.fit import (
    MOST_TEMPO,
    Ending,
    Room,
    begins_at,
    count_sentences,
    first_sentences,
    last_ending_that_fits,
    project,
    room_for_voice,
    sentences_that_fit,
    tempo_to_fit,
)

frames = st.integers(0, 60 * RATE)
sentences = st.lists(
    st.one_of(
        st.builds(Sentence, st.text("abc ", min_size=1, max_size=80).map(lambda text: f"x{text}.")),
        st.builds(Pause, st.floats(0, 20)),
    ),
    max_size=12,
).map(tuple)


class TestRoom:
    def test_it_reaches_from_the_fade_in_to_the_fade_out(self):
        job = parse_job(
            {"script": "Hi", "durationMin": 0.5, "startDelaySec": 10, "fade": {"inMs": 2000, "outMs": 4000}}
        )
        assert room_for_voice(job) == Room(10 * RATE, 2 * RATE, 26 * RATE)

    def test_a_voice_ordered_within_the_fade_in_stays_there(self):
        job = parse_job({"script": "Hi", "startDelaySec": 0})
        assert room_for_voice(job).earliest == 0

    def test_a_track_as_long_as_its_speech_has_none(self):
        assert room_for_voice(parse_job({"script": "Hi", "output": {"normalize": True}})) is None

    @given(first=frames, earliest=frames, until=frames, length=frames)
    def test_a_voice_begins_as_late_as_it_may(self, first, earliest, until, length):
        room = Room(first, min(first, earliest), until)
        begins = begins_at(room, length)
        if begins is None:
            assert length > room.frames or until < room.earliest
            return
        assert room.earliest <= begins <= first
        assert begins + length <= until
        assert begins == first or begins + length == until

    @given(words=frames, silences=frames, room=frames)
    def test_words_are_no_faster_than_needed_and_than_allowed(self, words, silences, room):
        tempo = tempo_to_fit(words, silences, room)
        if tempo is None:
            assert silences + words / MOST_TEMPO > room - 1
            return
        assert 1.0 <= tempo <= MOST_TEMPO
        assert silences + int(words / tempo) <= room
        if tempo > 1.0:
            assert silences + words > room


class TestProjection:
    @given(parts=sentences, pace=st.floats(0.01, 0.3), room=frames)
    def test_the_sentences_that_fit_do_and_one_more_does_not(self, parts, pace, room):
        def projected(some):
            return project(some, pace_s=pace)

        count = sentences_that_fit(parts, room, projected)
        kept = first_sentences(parts, count)
        assert kept == parts[: len(kept)], "whole sentences from the beginning, none cut"
        assert count_sentences(kept) == count
        assert not kept or isinstance(kept[-1], Sentence)
        assert not count or projected(kept).frames(MOST_TEMPO) <= room
        if count < count_sentences(parts):
            assert projected(first_sentences(parts, count + 1)).frames(MOST_TEMPO) > room

    @given(parts=sentences, pace=st.floats(0.01, 0.3), room=frames, more=frames)
    def test_more_room_never_means_fewer_sentences(self, parts, pace, room, more):
        def fit(room_frames, pace_s):
            return sentences_that_fit(parts, room_frames, lambda some: project(some, pace_s=pace_s))

        assert fit(room, pace) <= fit(room + more, pace)
        assert fit(room, 2 * pace) <= fit(room, pace)

    def test_a_pause_at_the_end_takes_no_room(self):
        parts = (Sentence("Ten chars."), Pause(2.0), Sentence("Ten chars."), Pause(300.0))
        assert project(parts, pace_s=0.1).seconds() == pytest.approx(4.0)

    @given(
        lengths=st.lists(st.tuples(frames, frames), min_size=1, max_size=8),
        room=frames,
    )
    def test_the_last_ending_that_fits_is_taken(self, lengths, room):
        endings, words, silences = [], 0, 0
        for number, (word, silence) in enumerate(lengths):
            words, silences = words + word + 1, silences + silence
            endings.append(Ending(number, words, silences))
        chosen = last_ending_that_fits(endings, room)
        fitting = [e for e in endings if tempo_to_fit(e.words_frames, e.silences_frames, room) is not None]
        assert chosen == (fitting[-1] if fitting else None)
