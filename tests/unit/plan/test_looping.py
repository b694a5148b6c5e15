"""Which part of its music a track repeats: what a job states, what is left out, and what the notes say of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from clips import ArrayClip
from music_pieces import PIECES, RATE
from signals import both

from dsp.blocks import Block
from dsp.loudness import integrated_lufs, measure
from dsp.recorded import Looped
from worker.errors import JobError
from worker.payload.schema import MusicLoop
from worker.plan.looping import loop_of
from worker.plan.recordings import Loop

AUTO = MusicLoop.model_validate("auto")


@cache
def piece(name: str) -> Block:
    return PIECES[name]()


def loop_in(sound: Block, wanted: MusicLoop, *, track_s: float | None = 600) -> Loop | None:
    frames = None if track_s is None else round(track_s * RATE)
    return loop_of(ArrayClip(sound), measure([sound], RATE).energies, wanted, frames=frames)


def stated(sound: Block, first_s: float, last_s: float) -> Loop:
    loop = loop_in(sound, MusicLoop.model_validate({"from": first_s, "to": last_s}))
    assert loop is not None
    return loop


def looped(sound: Block, loop: Loop) -> Looped:
    return Looped(ArrayClip(sound), loop.crossfade_frames, start=loop.start, stop=loop.stop, likeness=loop.likeness)


def test_music_loops_as_a_whole_where_the_job_says_so():
    assert loop_in(piece("fade-out"), MusicLoop.model_validate("whole")) is None


def test_no_loop_is_looked_for_where_the_track_is_not_longer():
    assert loop_in(piece("fade-out"), AUTO, track_s=68) is None
    assert loop_in(piece("fade-out"), AUTO, track_s=None) is not None


def test_the_loudness_is_that_of_the_part():
    sound = np.concatenate([piece("fade-out")[: 40 * RATE], 0.01 * piece("fade-out")])
    loop = loop_in(sound, AUTO)
    assert loop is not None
    part = integrated_lufs(measure([sound[loop.start : loop.stop]], RATE).energies)
    assert loop.loudness_lufs == pytest.approx(part, abs=0.1)


def test_the_note_names_what_is_left_out_and_why():
    silent = loop_in(piece("silent end"), AUTO)
    assert silent is not None
    assert silent.note.startswith("music: loops from 0:0")
    assert silent.note.endswith("s are left out (silence of 6.0 s)")
    faded = loop_in(piece("fade-out"), AUTO)
    assert faded is not None
    assert "s are heard once and its last" in faded.note
    assert "(a fade or soft ending of 7." in faded.note


def test_a_stated_second_is_followed_by_the_other():
    """A ramp: the value tells the second of the piece. In the middle of the crossfade the one becomes the other."""
    ramp = both(np.arange(60 * RATE) / RATE / 100)
    loop = stated(ramp, 10, 50)
    assert loop.stated
    track = looped(ramp, loop).render(0, 120 * RATE)[:, 0] * 100
    for second, value in ((9, 9), (49, 49), (51, 11), (89, 49), (91, 11)):
        assert track[second * RATE] == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize(("first_s", "last_s"), [(0, 50), (10, 60), (0.1, 59.9)])
def test_a_stated_loop_has_the_stated_length_at_the_ends_of_a_piece_too(first_s, last_s):
    sound = both(np.zeros(60 * RATE))
    assert looped(sound, stated(sound, first_s, last_s)).period_frames == round((last_s - first_s) * RATE)


def test_a_stated_whole_piece_has_a_crossfade_of_a_hundredth_second():
    sound = both(np.zeros(60 * RATE))
    loop = stated(sound, 0, 60)
    assert (loop.start, loop.stop, loop.note) == (0, 60 * RATE, "")
    assert loop.crossfade_frames == RATE // 100


def test_a_stated_loop_says_what_is_left_out():
    assert stated(both(np.zeros(70 * RATE)), 10, 60).note == (
        "music: loops from 0:09.8 to 1:00.2; its first 9.8 s are heard once and its last 9.8 s are left out"
    )


def test_a_stated_part_beyond_the_music_is_refused_by_its_field():
    sound = both(np.zeros(round(61.23456 * RATE)))
    with pytest.raises(JobError) as caught:
        stated(sound, 10, 61.5)
    assert str(caught.value) == (
        "backgroundMusic.loop.to: found 61.5, allowed is at most 61.234: the music's length in seconds"
    )
    stated(sound, 10, 61.234)
