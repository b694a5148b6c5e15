"""Whether what was said is what was to be read: numbers and spellings may differ, words may not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.tts.transcript import WORDS_PER_DIFFERENCE, differences, is_reading_of

LONG = (
    "I walk slowly through the old forest and I listen to the birds and to the wind in the leaves as the sun goes "
    "down behind the hills and I am calm and at peace with all that is and was and will be and nothing can disturb "
    "this peace"
)
WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=9), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I am calm.", "i am calm"),
        ("“I am—calm…”", "I am calm."),
        ("Café für dich", "Cafe fur dich"),
        ("I don't worry.", "I do not worry."),
        ("I am calm.", "I'm calm."),
        ("Breathe in for 4 seconds.", "Breathe in for four seconds."),
        ("Breathe in for four seconds.", "Breathe in for 4 seconds."),
        ("It was 1984.", "It was nineteen eighty-four."),
        ("It was 1984.", "It was nineteen 84."),
        ("At 7:05 I paid 1,000.", "At 07:05 I paid 1000."),
        ("At 10:30, Dr. Lee ran 5 km.", "At half past ten, Doctor Lee ran five kilometers."),
        ("Give 50% & rest.", "Give fifty percent and rest."),
        ("Chapter IV begins.", "Chapter four begins."),
        ("The USA.", "The U.S.A."),
        ("My well-being.", "My wellbeing."),
        ("Colour my day.", "Color my day."),
        ("我很平静。", "我很平静"),
        ("ฉันสงบ", "ฉันสงบ"),
        ("مرحبا بك", "مرحبا بك"),
        ("शांति", "शांति"),
    ],
)
def test_a_faithful_reading_may_be_written_otherwise(text: str, said: str) -> None:
    assert differences(text, said) == 0
    assert is_reading_of(said, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I am calm.", "Sure! I am calm."),
        ("I am calm.", "I am calm. Is there anything else?"),
        ("I am not afraid.", "I am now afraid."),
        ("I am calm.", "Ich bin ruhig."),
        ("I am calm.", ""),
        ("I AM CALM.", "I AM TALL."),
        ("What is your name?", "I am your assistant."),
        ("Breathe in for 4 seconds.", "Breathe in for seconds."),
        ("Breathe in for 4 seconds.", "Breathe in for 7 seconds."),
        ("Count 1, 2, 3.", "Count 1, 3."),
        ("我很平静。", "我很高兴"),
        (LONG, f"Of course. {LONG}"),
        (LONG, f"{LONG} I hope that helps."),
        (LONG, f"We{LONG[1:]}"),
        (LONG, LONG.replace("through the old forest and I listen to the birds ", "")),
        (LONG, LONG.replace("forest", "garden").replace("birds", "rain").replace("hills", "sea")),
    ],
)
def test_other_words_are_none(text: str, said: str) -> None:
    assert not is_reading_of(said, text)


def test_a_long_text_may_differ_in_one_word_of_so_many() -> None:
    assert len(LONG.split()) == 2 * WORDS_PER_DIFFERENCE
    assert is_reading_of(LONG.replace("birds", "robins").replace("hills", "rocks"), LONG)
    assert not is_reading_of(LONG.replace("birds", "robins").replace("hills", "rocks").replace("sun", "moon"), LONG)


@settings(deadline=None)
@given(WORDS)
def test_every_text_is_a_reading_of_itself(words: list[str]) -> None:
    text = " ".join(words)
    assert is_reading_of(text.upper(), f"{text}.")


@settings(deadline=None)
@given(WORDS, st.data())
def test_the_first_and_the_last_word_are_never_others(words: list[str], data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([0, len(words)]))
    said = [*words[:at], "zzzzz", *words[at:]]
    assert not is_reading_of(" ".join(said), " ".join(words))


@settings(deadline=None)
@given(WORDS, st.data())
def test_a_missing_word_is_counted(words: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(words) - 1))
    said = words[:at] + words[at + 1 :]
    if "".join(said) != "".join(words):
        assert differences(" ".join(words), " ".join(said)) >= 1
