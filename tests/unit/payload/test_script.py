"""Scripts: exact pauses, whole sentences, nothing lost; and pieces that fit a provider."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.errors import JobError
from worker.payload.script import Pause, Sentence
from worker.payload.script import parse_script as parse
from worker.payload.script_pieces import pieces


def parse_script(script: str) -> tuple[Sentence | Pause, ...]:
    return parse(script).parts


def texts(script: str) -> list[str]:
    return [part.text for part in parse_script(script) if isinstance(part, Sentence)]


def pauses(script: str) -> list[float]:
    return [part.seconds for part in parse_script(script) if isinstance(part, Pause)]


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [
        ("[pause 3s]", 3),
        ("[pause 500ms]", 0.5),
        ("[PAUSE  2.5 S ]", 2.5),
        ("[ pause 0,5 s]", 0.5),
        ("[pause: 4 seconds]", 4),
        ("[pause 3]", 3),
        ("[pause 2 min]", 120),
        ("[pause .25s]", 0.25),
        ("[pause 600s]", 600),
        ('<break time="1.5s"/>', 1.5),
        ("<break time='1500ms' />", 1.5),
        ('< BREAK\n time = " 2s " >', 2),
        ('<break strength="weak" time="1s"/>', 1),
        ("<break/>", 0.75),
        ('<break strength="strong"/>', 1.0),
        ("<break>", 0.75),
    ],
)
def test_a_pause_is_exact_and_not_spoken(tag, seconds):
    assert parse_script(f"Breathe in.{tag}Breathe out.") == (
        Sentence("Breathe in."),
        Pause(pytest.approx(seconds)),
        Sentence("Breathe out."),
    )


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("[pause 601s]", "of 601 s"),
        ("[pause -1s]", "of -1 s"),
        ("[pause 11 minutes]", "of 660 s"),
        ('<break time="3600s"/>', "of 3600 s"),
        ("[pause 3 hours]", "without a readable time"),
        ("[pause 1.2.3s]", "without a readable time"),
        ('<break time="soon"/>', "without a readable time"),
        ("<break time=3s/>", "without a readable time"),
    ],
)
def test_a_pause_out_of_range_or_unreadable_is_refused_with_its_place(tag, found):
    with pytest.raises(JobError) as caught:
        parse_script(f"Quiet. {tag} Now.")
    assert str(caught.value).startswith(f"script: found a pause {found} at character 8, allowed is 0 to 600 s")


def test_pauses_add_up_and_zero_is_none():
    assert pauses("[pause 1s][pause 2s] a [pause 0s] b [pause 3s]") == [1, 2, 3]


@pytest.mark.parametrize(
    ("script", "sentences"),
    [
        ("I am calm. I am safe!  Am I?", ["I am calm.", "I am safe!", "Am I?"]),
        ("No end", ["No end"]),
        ("Dr. Smith and Mrs. Jones agree. So do I.", ["Dr. Smith and Mrs. Jones agree.", "So do I."]),
        ("Count e.g. to 3.5. Then rest.", ["Count e.g. to 3.5.", "Then rest."]),
        ("The U.S. Army. J. K. Rowling.", ["The U.S. Army.", "J. K. Rowling."]),
        ("So am I. You are too.", ["So am I.", "You are too."]),
        ("Breathe in... and out. In... I rest… Now.", ["Breathe in... and out.", "In...", "I rest…", "Now."]),
        ('"Peace!" she said. "I am." (Yes.) Go.', ['"Peace!" she said.', '"I am."', "(Yes.)", "Go."]),
        ("Really?! Yes!!! Good.", ["Really?!", "Yes!!!", "Good."]),
        ("Visit example.com now. Done.", ["Visit example.com now.", "Done."]),
        ("I am calm\nI am safe\nand sound", ["I am calm", "I am safe and sound"]),
        ("1. I am calm.\n2. I am safe.", ["1. I am calm.", "2. I am safe."]),
        ("- I am calm\n- I am safe", ["I am calm", "I am safe"]),
        (
            "私は穏やかです。私は安全です！よし？終わり",
            ["私は穏やかです。", "私は安全です！", "よし？", "終わり"],
        ),
        ("彼は「安全。」と言った。次。", ["彼は「安全。」と言った。", "次。"]),
        ("他说：“我很平静。”我也是。", ["他说：“我很平静。”", "我也是。"]),
        ("أنا هادئ؟ نعم.", ["أنا هادئ؟", "نعم."]),
        ("मैं शांत हूँ। मैं सुरक्षित हूँ।", ["मैं शांत हूँ।", "मैं सुरक्षित हूँ।"]),
        ("Hello … — World.", ["Hello …", "— World."]),
        ("... [pause 1s] — ready", ["— ready"]),
        ("", []),
        (" \n\t ", []),
        ("...!? —", []),
    ],
)
def test_sentences(script, sentences):
    assert texts(script) == sentences


def test_a_blank_line_ends_a_paragraph():
    assert parse_script("One\ntwo.\n \nThree.") == (
        Sentence("One two.", ends_paragraph=True),
        Sentence("Three."),
    )


@pytest.mark.parametrize(
    ("script", "sentences"),
    [
        (
            '<speak>Hello <prosody rate="slow">dear</prosody>. <p>One</p><s>Two</s></speak>',
            ["Hello dear.", "One", "Two"],
        ),
        ("a < b and <3 you", ["a < b and <3 you"]),
        ("[softly] I am calm.", ["I am calm."]),
        ("[pause and breathe] Now.", ["[pause and breathe] Now."]),
        ("Left open [pause 3s", ["Left open [pause 3s"]),
        ('Left open <break time="3s"', ['Left open <break time="3s"']),
        ("<b>Bold</b> words", ["Bold words"]),
        ("One<!-- a note. Two. -->way", ["Oneway"]),
    ],
)
def test_tags_of_speech_are_taken_out_and_everything_else_is_text(script, sentences):
    assert texts(script) == sentences


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def marks(text: str) -> str:
    return "".join(text.split())


plain = st.text(st.sampled_from("aAbI1.!?…。！,;\"'”)(「」 \n\tÄé😀–3"), max_size=80)


@settings(max_examples=300, deadline=None)
@given(plain)
@example("a.\n\n\n.b")
@example("。。」a")
def test_no_text_is_lost_and_no_sentence_is_empty(script):
    sentences = texts(script)
    assert all(letters(sentence) and sentence == sentence.strip() for sentence in sentences)
    assert not any("\n" in sentence for sentence in sentences)
    if letters(script):
        assert marks("".join(sentences)) == marks(script)
    else:
        assert sentences == []


@settings(max_examples=100, deadline=None)
@given(st.lists(plain, min_size=1, max_size=4), st.lists(st.integers(1, 600_000), min_size=3, max_size=3))
def test_pauses_stand_between_the_right_words(stretches, milliseconds):
    script = stretches[0]
    for stretch, ms in zip(stretches[1:], milliseconds, strict=False):
        script += f"[pause {ms}ms]" + stretch
    said = "".join("|" if isinstance(part, Pause) else letters(part.text) for part in parse_script(script))
    assert said == "|".join(letters(stretch) for stretch in stretches)
    assert pauses(script) == [pytest.approx(ms / 1000) for ms in milliseconds[: len(stretches) - 1]]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(script):
    try:
        parts = parse_script(script)
    except JobError:
        return
    assert all(part.seconds > 0 if isinstance(part, Pause) else part.text for part in parts)


class TestPieces:
    @pytest.mark.parametrize("limit", [10, 21, 1000])
    def test_each_sentence_is_a_piece_whatever_the_voice_takes_at_once(self, limit):
        parts = parse_script("I am calm. I am safe. [pause 1s] I rest.\nI am here.\n\nI am.")
        assert pieces(parts, limit) == parts

    def test_a_long_sentence_is_cut_at_commas_then_spaces_then_anywhere(self):
        assert pieces((Sentence("I am calm, and safe, and sound"),), 20) == (
            Sentence("I am calm, and safe,"),
            Sentence("and sound"),
        )
        assert pieces((Sentence("one two three four"),), 9) == (
            Sentence("one two"),
            Sentence("three"),
            Sentence("four"),
        )
        assert pieces((Sentence("abcdefg"),), 3) == (Sentence("abc"), Sentence("def"), Sentence("g"))

    def test_the_end_of_a_paragraph_is_kept(self):
        assert pieces(parse_script("One.\n\nTwo."), 4) == (
            Sentence("One.", ends_paragraph=True),
            Sentence("Two."),
        )

    def test_an_accent_stays_with_its_letter(self):
        assert pieces((Sentence("abe\u0301f"),), 3) == (Sentence("ab"), Sentence("e\u0301f"))

    def test_a_limit_below_one_is_an_error(self):
        with pytest.raises(ValueError, match="limit_characters is 0"):
            pieces((), 0)

    @settings(max_examples=150, deadline=None)
    @given(plain, st.integers(1, 40))
    def test_no_piece_is_too_long_or_empty_and_nothing_is_lost(self, script, limit):
        grouped = pieces(parse_script(script), limit)
        said = [part.text for part in grouped if isinstance(part, Sentence)]
        assert all(0 < len(text) <= limit for text in said)
        assert marks("".join(said)) == marks("".join(texts(script)))
