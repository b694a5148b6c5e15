"""Script text as people write it: pauses, directions, placeholders; no markup is spoken and no letter lost."""

from __future__ import annotations

import contextlib
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.payload.script import Pause, Script, Sentence, parse_script
from worker.payload.script_text import clean_text


def said(script: str, **options: bool) -> str:
    """What the voice is given, sentences parted by a bar."""
    return "|".join(part.said for part in parse_script(script, **options).parts if isinstance(part, Sentence))


def note_of(script: str) -> str:
    """The one note that a script gives."""
    (note,) = parse_script(script).notes
    return note


EXACT = [
    ("[2s pause]", 2),
    ("[wait 3s]", 3),
    ("[pause for 2 seconds]", 2),
    ("[pause of 2 sec.]", 2),
    ("[pause 1m30s]", 90),
    ("[pause 1m30]", 90),
    ("[pause 1 minute and 30 seconds]", 90),
    ("[pause 1:30]", 90),
    ("[pause 0:05]", 5),
    ("[pause 1½ min]", 90),
    ("[pause two minutes]", 120),
    ("[half a minute of silence]", 30),
    ("[silence for 10 s]", 10),
    ("[2-second pause]", 2),
    ("[pause_3s]", 3),
    ("[PAUSE-3S]", 3),
    ('[pause="2s"]', 2),
    ("[pause 3s please]", 3),
    ("[Pause – 3s]", 3),
    ("[pause (3s)]", 3),
    ("[pause ~3 s]", 3),
    ("[pause ３ｓ]", 3),
    ("[hold 4 seconds]", 4),
    ("(pause 2s)", 2),
    ("(pause for ten seconds)", 10),
    ("{pause 2s}", 2),
    ("{{pause 2s}}", 2),
    ("[[pause 2s]]", 2),
    ("<pause 2s>", 2),
    ('<pause time="2s"/>', 2),
    ('<silence msec="500"/>', 0.5),
    ("<break 2s>", 2),
    ("【pause 2s】", 2),
    ("（pause 2s）", 2),
    ("<#0.5#>", 0.5),
    ("[[slnc 500]]", 0.5),
    ("**[pause 2s]**", 2),
    ("&lt;break time=&quot;2s&quot;/&gt;", 2),
    ("[pau\u00adse 2\u200bs]", 2),
    ("[pause 2 Sekunden]", 2),
    ("[2 Sekunden Pause]", 2),
    ("[Pause von zwei Minuten]", 120),
    ("[eine halbe Minute Stille]", 30),
    ("[pausa 2s]", 2),
    ("[pausa de 3 segundos]", 3),
    ("[3 segundos de silencio]", 3),
    ("[pause de 3 secondes]", 3),
    ("[silence pendant 10 secondes]", 10),
    ("[pausa di due secondi]", 2),
    ("[pausa por dois minutos]", 120),
]
GUESSED = [
    ("[pause]", 2, "script: 1 pause without a length was taken as 2 s."),
    ("(pause)", 2, "script: 1 pause without a length was taken as 2 s."),
    ("<pause/>", 2, "script: 1 pause without a length was taken as 2 s."),
    ("[pause here]", 2, "script: 1 pause without a length was taken as 2 s."),
    ("[long pause]", 4, "script: 1 long pause without a length was taken as 4 s."),
    ("[very long pause]", 4, "script: 1 long pause without a length was taken as 4 s."),
    ("[short pause]", 1, "script: 1 short pause without a length was taken as 1 s."),
    ("[beat]", 1, "script: 1 short pause without a length was taken as 1 s."),
    ("[lange Pause]", 4, "script: 1 long pause without a length was taken as 4 s."),
    ("[pausa larga]", 4, "script: 1 long pause without a length was taken as 4 s."),
    ("[pause courte]", 1, "script: 1 short pause without a length was taken as 1 s."),
    ("[pausa lunga]", 4, "script: 1 long pause without a length was taken as 4 s."),
    ("[pausa longa]", 4, "script: 1 long pause without a length was taken as 4 s."),
    ("[silêncio]", 2, "script: 1 pause without a length was taken as 2 s."),
    ("[2s]", 2, "script: 1 time in brackets was taken as a pause."),
    ("(2s)", 2, "script: 1 time in brackets was taken as a pause."),
    ("[2 minutes]", 120, "script: 1 time in brackets was taken as a pause."),
    ("[two seconds]", 2, "script: 1 time in brackets was taken as a pause."),
    ("[pause to breathe]", 2, "script: 1 pause without a length was taken as 2 s."),
    ("[pause 5 seconds to breathe]", 5, "script: 1 pause with more words in its brackets was taken as 5 s."),
    ("[pause 5s — and breathe]", 5, "script: 1 pause with more words in its brackets was taken as 5 s."),
    ("[pause for 3 breaths]", 15, "script: 1 pause counted in breaths was taken as 15 s."),
    ("[pause 2-3 seconds]", 2.5, "script: 1 pause without an exact length was taken as 2.5 s."),
    ("[pause for a few seconds]", 3, "script: 1 pause without an exact length was taken as 3 s."),
]


class TestPauses:
    @pytest.mark.parametrize(("tag", "seconds"), EXACT)
    def test_a_length_in_any_spelling_is_exact(self, tag, seconds):
        parts = parse_script(f"Breathe in. {tag} Breathe out.").parts
        assert parts == (Sentence("Breathe in."), Pause(pytest.approx(seconds)), Sentence("Breathe out."))

    @pytest.mark.parametrize(("tag", "seconds", "note"), GUESSED)
    def test_a_guess_is_noted(self, tag, seconds, note):
        script = parse_script(f"Breathe in. {tag} Breathe out.")
        assert script == Script((Sentence("Breathe in."), Pause(seconds), Sentence("Breathe out.")), (note,))

    def test_guesses_of_a_kind_are_one_note(self):
        assert note_of("One [pause] two [pause] three.") == "script: 2 pauses without a length were taken as 2 s."

    @pytest.mark.parametrize(
        ("strength", "seconds"),
        [("x-weak", 0.25), ("weak", 0.5), ("medium", 0.75), ("strong", 1), ("x-strong", 1.25), ("unknown", 0.75)],
    )
    def test_a_break_is_as_long_as_its_strength(self, strength, seconds):
        parts = parse_script(f'In.<break strength="{strength}"/>Out.').parts
        assert parts == (Sentence("In."), Pause(seconds), Sentence("Out."))

    @pytest.mark.parametrize("space", ["", " "])
    def test_strength_none_is_no_pause_and_no_end_of_a_sentence(self, space):
        assert parse_script(f'In.{space}<break strength="none"/>{space}Out.').parts == (Sentence("In. Out."),)

    @pytest.mark.parametrize(
        "text",
        [
            "[pause and breathe]",
            "[breathe in]",
            "[2]",
            "[00:12]",
            "(wait)",
            "(she said)",
            "[rest]",
            "It takes long (2 minutes) to do.",
            "[e.g. this]",
            "1 < 2 and 3 > 2",
            "Evening calm [10 min]",
        ],
    )
    def test_other_words_in_brackets_stay_text(self, text):
        assert said(text) == text

    @pytest.mark.parametrize(
        ("tag", "found"),
        [
            ("[wait 11 minutes]", "of 660 s"),
            ("(pause 11 minutes)", "of 660 s"),
            ("<pause -1s>", "of -1 s"),
            ("[pausa 3 horas]", "without a readable time"),
        ],
    )
    def test_a_bad_pause_is_refused_with_its_place(self, tag, found):
        with pytest.raises(JobError, match=f"found a pause {found} at character 14,"):
            parse_script(f"Calm &amp; I. {tag}"[1:])


DIRECTIONS = [
    "[whispers]", "[sighs deeply]", "[softly]", "[in a soft voice]", "[clears throat]", "[laughs, then sighs]",
    "[flüstert]", "[susurrando]", "[chuchote]", "[dolcemente]", "[WHISPERING]", "{whispers}", "<whispers>", "(softly)",
    "[soft music plays]", "[bell rings]",
]  # fmt: skip


class TestDirections:
    @pytest.mark.parametrize("tag", DIRECTIONS)
    def test_a_voice_that_does_not_know_them_is_not_given_them(self, tag):
        assert said(f"I am calm. {tag} I am safe.") == "I am calm.|I am safe."
        assert note_of(f"{tag} I am calm.") == (
            f"script: 1 performance direction was left out, such as {tag}; this voice does not know them."
        )

    @pytest.mark.parametrize("tag", DIRECTIONS)
    def test_a_voice_that_knows_them_gets_them_and_no_reader_does(self, tag):
        script = parse_script(f"I am calm. {tag} I am safe.", keeps_directions=True)
        words = tag.strip("[](){}<>")
        assert script == Script((Sentence("I am calm."), Sentence("I am safe.", said_as=f"[{words}] I am safe.")))

    def test_the_gap_is_closed(self):
        assert said("I am calm [sighs], and [softly] safe[laughs].") == "I am calm, and safe."
        assert said("Calm [sighs], yes.", keeps_directions=True) == "Calm [sighs], yes."

    def test_round_brackets_within_a_sentence_are_text(self):
        assert said("I breathe (softly) in.") == "I breathe (softly) in."

    def test_a_direction_alone_is_nothing_to_say(self):
        assert parse_script("[whispers]", keeps_directions=True).parts == ()


class TestPlaceholders:
    @pytest.mark.parametrize(
        "tag",
        [
            "[Your Name]", "[NAME]", "[name]", "[first name]", "[insert name]", "[insert your goal here]",
            "[name here]", "[Your partner's name]", "[your city]", "[first_name]", "[firstName]", "[customer.name]",
            "[[name]]", "[XXX]", "{{name}}", "{{ user.first_name }}", "{name}", "{0}", "${name}", "#{name}",
            "{% name %}", "<name>",
            "<Your Name>", "<<name>>", "<%= name %>", "%NAME%", "%first_name%", "*|FNAME|*", "(your name)", "(name)",
            "____", "[object Object]", "[Dein Name]", "[Name einfügen]", "[tu nombre]", "[votre prénom]",
            "[il tuo nome]", "[seu nome]", "[insira nome]", "**[Your Name]**", "&lt;name&gt;",
        ],
    )  # fmt: skip
    def test_one_that_is_left_in_fails_the_job_before_anything_is_paid(self, tag):
        with pytest.raises(JobError) as caught:
            parse_job({"script": f"I, {tag}, am calm."})
        assert caught.value.code == "script.placeholder"
        assert caught.value.message.startswith("script: found a placeholder at character ")
        assert tag not in caught.value.message
        assert "placeholder in it: " in caught.value.customer_message
        assert "am calm" not in caught.value.customer_message

    @pytest.mark.parametrize(
        "text", ["100%sure% of it", "I am [calm]", "A row\n_____\nbelow", "my (good) name", "a_b_c"]
    )
    def test_what_is_none_is_taken(self, text):
        parse_script(text)

    def test_a_script_that_is_not_spoken_is_not_looked_at(self):
        parse_job({"script": "[Your Name]", "voice": {"provider": "uploaded", "url": "me.wav"}})


class TestMarkup:
    @pytest.mark.parametrize(
        ("text", "spoken"),
        [
            ("# My day\nI am calm.", "My day|I am calm."),
            ("**I am** _calm_ and ***safe***, __so__ *so* ~~not~~ ==free==.", "I am calm and safe, so so not free."),
            ("- one\n* two\n+ three\n• four\n- [x] five", "one|two|three|four|five"),
            ("> quoted\n> text", "quoted text"),
            ("One.\n---\nTwo.\n***\nThree.", "One.|Two.|Three."),
            ("Title\n=====\nText.", "Title|Text."),
            ("A [link](https://a.b/c_(d)?e=f) and ![image](a.png) here.[^1]", "A link and image here."),
            ("| a | b |\n|---|---|\n| c | d |", "a, b|c, d"),
            ("```text\nI am calm.\n```", "I am calm."),
            ("~~~text\nI am calm.\n~~~", "I am calm."),
            ("```\nI am calm.\n```", "I am calm."),
            ("```calm", "calm"),
            ("```calm\nI am.", "calm|I am."),
            ("`calm` and don`t", "calm and don't"),
            (r"5 \* 3 is \[not\] bold", "5 * 3 is [not] bold"),
            ("2 * 3 * 4 and snake_case_word", "2 * 3 * 4 and snake_case_word"),
            ("#calm and C# and a_b", "#calm and C# and a_b"),
            ("Tom &amp; Ana &#8211; caf&eacute; &amp;lt;3", "Tom & Ana – café <3"),
            ("AT&T, R&D; Q&A &notanentity;", "AT&T, R&D; Q&A &notanentity;"),
            ("I am\u200b ca\u00adlm \u202eand\u202c s\u0007afe\ufeff.", "I am calm and safe."),
            ("One.\r\n\r\nTwo.\u2028Three.", "One.|Two.|Three."),
            ("e\u0301te\u0301", "été"),
            ("👩\u200d👩\u200d👧 smiles, a\u200db", "👩\u200d👩\u200d👧 smiles, ab"),
            ("👩\u200c👧 go", "👩👧 go"),
            ("क्\u200dष می\u200cخواهم", "क्\u200dष می\u200cخواهم"),
            (
                "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f go",
                "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f go",
            ),
            ("<b>Be</b> <i class='x'>still</i>.<br>Now<br/>then. <img src=x>", "Be still.|Now|then."),
            ("<div>One</div><div>two</div><ul><li>three</li></ul>", "One|two|three"),
            ("<style>p {color: red}</style>Calm.<script>x()</script>", "Calm."),
            ("<amazon:effect name='whispered'>Hush</amazon:effect> now.", "Hush now."),
            ('<mstts:express-as style="calm">Hush</mstts:express-as> <google:style name="x">now', "Hush now"),
            ("<foo>bar</foo> <x y='1'/>end", "bar end"),
            ("One.\\nTwo.\\n\\nThree.", "One.|Two.|Three."),
        ],
    )
    def test_it_is_not_spoken(self, text, spoken):
        assert said(text) == spoken

    @pytest.mark.parametrize(
        ("text", "note"),
        [
            ("**calm**", "script: the marks of Markdown (headings, lists, emphasis, links) were left out."),
            ("Tom &amp; Ana", "script: HTML entities such as &amp; were read as the characters they stand for."),
            ("ca\u00adlm", "script: 1 invisible character was left out."),
            ("<b>calm</b>", "script: 2 tags were left out as style only; the words within are spoken."),
            ("<x y='1'/>calm", "script: 1 unknown tag was left out."),
            ("calm<!-- not -->", "script: 1 comment was left out."),
        ],
    )
    def test_each_change_is_noted(self, text, note):
        assert note_of(text) == note

    def test_plain_text_has_no_notes(self):
        assert parse_script("I am calm. [pause 2s] I am safe!\n\n<p>Now</p> <break/> 3 < 4.").notes == ()


def letters(text: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFC", text) if character.isalnum())


WORDS = [
    "stone",
    "Ana",
    "été",
    "e\u0301t",
    "мир",
    "平和",
    "هدوء",
    "शांति",
    "ไทย",
    "7th",
    "R2D2",
    "don't",
    "ǅ",
    "ﬁn",
    "½",
]
TAGS = [
    "[pause 2s]", "[long pause]", "<break/>", '<break strength="none"/>', "[whispers]", "{pause 1m30s}", "**", "*", "_",
    "~~", "`", "\n# ", "\n- ", "\n> ", "\n---\n", "&nbsp;", "&#8203;", "\u200b", "\u202e", "\u00ad", "<b>", "</b>",
    "<p>", "<amazon:effect x='y'>", "<!-- note -->", "\n\n", " ", "\t", ". ", "! ", "… ", "« ", " »", "(", ")", "[",
    "]", "\\*",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.sampled_from(TAGS), max_size=30), st.booleans())
@example(["stone", "[", "[pause 2s]", "]", "Ana"], False)
@example(["**", "stone", "**", "Ana", "_", "7th", "_"], False)
@example(["`", "`", "`", "stone"], False)
def test_no_letter_outside_tags_is_lost(tokens, keeps_directions):
    try:
        parts = parse_script("".join(tokens), keeps_directions=keeps_directions).parts
    except JobError:
        return  # brackets around a tag may make a placeholder of it
    spoken = "".join(part.text for part in parts if isinstance(part, Sentence))
    assert letters(spoken) == letters("".join(token for token in tokens if token in WORDS))


SHREDS = [
    "<", ">", "</", "/>", "b", "p", "break", "speak", "amazon:x", " ", "\n", "&", "amp", "lt", "gt", "#60", ";", "*",
    "**", "_", "~~", "`", "[", "]", "pause", "2s", "(", ")", "\u200b", "\u202e", "\u200d", "\ufeff", "\x07", "\ue000",
    "\U000f0000", "\\",    "a", "Word", "whispers", ". ", "-", "|", "=",
]  # fmt: skip
MARKUP = re.compile(
    r"</?\s*(?:b|p|break|speak|amazon:\w+)(?:\s[^<>]*|/)?>|&(?:amp|lt|gt|#60);|\*\*|~~|`|\[(?:pause|pause 2s|2s)\]"
    r"|[\x00-\x1f\u200b\u202e\ufeff\ue000-\uf8ff\U000f0000-\U0010ffff]",
    re.IGNORECASE,
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(SHREDS), max_size=25).map("".join))
@example("&amp;lt;b>x")
@example("<<b>b>x</</b>b>")
@example("[pa**use**]")
def test_nothing_that_is_spoken_is_markup(script):
    try:
        parts = parse_script(script).parts
    except JobError:
        return
    for part in parts:
        if isinstance(part, Sentence):
            assert MARKUP.search(part.said) is None
            assert part.text
            assert part.text == " ".join(part.text.split())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SHREDS) | st.text(max_size=3), max_size=25).map("".join))
def test_cleaning_twice_changes_nothing(script):
    once = clean_text(script, [])
    again: list[str] = []
    assert clean_text(once, again) == once
    assert again == []
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    "shred",
    ["*a ", "[your ", "<a ", "# ", "> ", "\n", "((", "&amp;", "**", "<!--", "| a ", "[^", "_a _", "%a", "e\u0301"],
)
def test_no_text_takes_long(shred):
    """A pattern that backtracks would need minutes here, and the test's own time limit would end it."""
    with contextlib.suppress(JobError):
        parse_script(shred * (20_000 // len(shred)))
