"""Which chapters a track has, and where they begin and end."""

from __future__ import annotations

from worker.plan.lyrics import as_lrc, as_webvtt
from worker.plan.repetitions import SpokenSpan
from worker.render.chapters import chapters

SR = 44_100
TRACK = 60 * SR


def spoken(*repetitions: tuple[float, ...]) -> list[SpokenSpan]:
    """Lines of two seconds that begin at these seconds."""
    return [
        SpokenSpan(f"Line {line}.", round(begin * SR), round((begin + 2) * SR), number)
        for number, begins in enumerate(repetitions)
        for line, begin in enumerate(begins, start=1)
    ]


def found(spans: list[SpokenSpan], marks: str) -> list[tuple[str, float, float]]:
    return [(each.title, each.start_s, each.stop_s) for each in chapters(spans, marks, frames=TRACK)]  # type: ignore[arg-type]


def test_a_voice_that_speaks_once_has_a_chapter_for_each_line():
    lines = [("Line 1.", 3.0, 8.0), ("Line 2.", 8.0, 60.0)]
    assert found(spoken((3.0, 8.0)), "auto") == found(spoken((3.0, 8.0)), "lines") == lines


def test_a_voice_that_repeats_has_a_chapter_for_each_repetition():
    spans = spoken((3.0, 8.0), (20.0, 25.0))
    expected = [("Repetition 1", 3.0, 20.0), ("Repetition 2", 20.0, 60.0)]
    assert found(spans, "auto") == found(spans, "repetitions") == expected


def test_chapters_of_lines_come_in_every_repetition_where_asked_for():
    titles = [title for title, _, _ in found(spoken((3.0, 8.0), (20.0, 25.0)), "lines")]
    assert titles == ["Line 1.", "Line 2.", "Line 1.", "Line 2."]


def test_chapters_that_are_switched_off_or_have_nothing_to_name():
    assert found(spoken((3.0, 8.0), (20.0,)), "none") == []
    assert found(spoken((3.0, 8.0)), "repetitions") == []
    assert found([], "auto") == []


def test_a_recording_without_words_has_no_chapters_of_lines():
    recording = [SpokenSpan("", 0, SR, 0), SpokenSpan("", 2 * SR, 3 * SR, 1)]
    assert found(recording[:1], "auto") == []
    assert found(recording, "lines") == []
    assert [title for title, _, _ in found(recording, "auto")] == ["Repetition 1", "Repetition 2"]


def test_a_long_line_gives_a_short_title():
    span = SpokenSpan("Breathe in and " * 20, 0, SR, 0)
    (title, _, _), *_ = found([span], "auto")
    assert len(title) <= 80
    assert title.endswith(" …")


def test_there_are_a_thousand_chapters_at_most():
    for repetitions, step in ((1000, 1), (1001, 2), (28_800, 29)):
        titles = [title for title, _, _ in found(spoken(*((0.001 * at,) for at in range(repetitions))), "auto")]
        assert len(titles) <= 1000
        assert titles == [f"Repetition {number}" for number in range(1, repetitions + 1, step)]


def test_lyrics_and_chapters_name_the_voice_where_there_are_several():
    spoken = (SpokenSpan("I am calm.", SR, 2 * SR, 0), SpokenSpan("Yes.", 3 * SR, 4 * SR, 0, "second <2>"))
    assert as_lrc(spoken, SR).splitlines()[0] == "[00:01.00]voice: I am calm."
    assert "<v second &lt;2&gt;>Yes." in as_webvtt(spoken, SR)
    assert [each.title for each in chapters(spoken, "auto", frames=5 * SR)] == ["voice: I am calm.", "second <2>: Yes."]
    again = (*spoken, SpokenSpan("I am calm.", 4 * SR, 5 * SR, 1))
    titles = [each.title for each in chapters(again, "auto", frames=6 * SR)]
    assert titles == ["voice, repetition 1", "second <2>, repetition 1", "voice, repetition 2"]
