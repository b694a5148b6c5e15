"""Parse a script into sentences and exact silences.

`[pause 3s]`, `[pause 500ms]` and `<break time="1.5s"/>` are silences. Of other SSML tags (`<speak>`, …)
only the content is spoken; `<p>` and `<s>` end a sentence. All other text is spoken unchanged, with its
brackets and angles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.errors import JobError

MAX_PAUSE_S: Final = 600.0
# `<break/>` without a time is SSML 1.1's medium strength, whose length it leaves open
UNTIMED_BREAK_S: Final = 0.75

_SECONDS_BY_UNIT: Final = (
    dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0)
    | dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001)
    | dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0)
)
_TIME: Final = r"(?P<{0}>[-+]?[.,]?[0-9][0-9.,]*+)\s*+(?P<{0}_unit>[a-z]*+)"
_TAG: Final = re.compile(
    rf"\[\s*+pause\s*+[:=]?\s*+{_TIME.format('pause')}\s*+\]"
    r"|<\s*+break(?P<break>\s[^<>]*+|/)?>"
    r"|</?\s*+(?P<edge>p|s)(?:\s[^<>]*+|/)?>"
    r"|</?\s*+(?:break|speak|prosody|emphasis|say-as|phoneme|sub|voice|lang|mark|audio|desc|w|token|lexicon|meta"
    r"|metadata)(?:\s[^<>]*+|/)?>"
    r"|<!--.{0,1000}?-->|<\?[^<>]*+>",
    re.IGNORECASE | re.DOTALL,
)
_BREAK: Final = re.compile(r"<\s*+break", re.IGNORECASE)
_BREAK_TIME: Final = re.compile(rf"""\btime\s*+=\s*+["']\s*+{_TIME.format("time")}\s*+["']""", re.IGNORECASE)

_CLOSERS: Final = "\"'”’»)\\]}」』）】》〉"
_HIRAGANA: Final = "\u3041-\u309f"
_END: Final = re.compile(
    # these end a sentence without a space after them, but not inside a quotation that goes on: 「…。」と言う
    rf"(?P<cjk>[。！？｡．]++(?:[{_CLOSERS}…]++(?![{_HIRAGANA}])|(?![{_CLOSERS}…])))"
    rf"|(?<![.!?…])(?P<mark>[.!?…؟۔।॥։]++)[{_CLOSERS}]*+(?=\s)"
    r"|(?P<paragraph>\n\s*\n)"
    r"|(?P<line>\n)"
)
_ABBREVIATED: Final = (
    "mr mrs ms dr prof st sr jr rev fr vs no nr vol fig approx ca e.g i.e a.m p.m cf al inc ltd dept est"
    " z.b d.h u.a bzw evtl ggf hr frl usw m. mme mlle p.ex ej sra dra ud uds"
)
_ABBREVIATIONS: Final = frozenset(_ABBREVIATED.split())
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|(?!I)[^\W\d_]")  # U.S, J; "So am I." is no initial
_LONGEST_WORD: Final = 40
# where an over-long sentence may be cut, best first
_CUTS: Final = (re.compile(r"[,;:、，；：–—](?=\s)|[、，；：]"), re.compile(r"\s"))


@dataclass(frozen=True)
class Pause:
    """An exact silence, made in the plan; 0 to 600 s."""

    seconds: float


@dataclass(frozen=True)
class Sentence:
    """Words to speak: never empty, on one line; `ends_paragraph` where a blank line follows in the script."""

    text: str
    ends_paragraph: bool = False


Part = Sentence | Pause


def parse_script(text: str) -> tuple[Part, ...]:
    """Cut a script into sentences and silences.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    parts : tuple of Sentence or Pause
        In order. Every letter and digit of the text outside tags is in exactly one sentence.

    Raises
    ------
    JobError
        If a pause is longer than 600 s, negative, or in no known unit.
    """
    parts: list[Part] = []
    done = 0
    for tag in _TAG.finditer(text):
        seconds = _pause_seconds(tag)
        if seconds is None and tag["edge"] is None:
            continue
        parts += _sentences(text[done : tag.start()])
        done = tag.end()
        if seconds:
            parts.append(Pause(seconds))
    parts += _sentences(text[done:])
    return tuple(parts)


def _pause_seconds(tag: re.Match[str]) -> float | None:
    """The length of the pause that a tag stands for; None for other tags."""
    if tag["pause"] is not None:
        number, unit = tag["pause"], tag["pause_unit"]
    elif _BREAK.match(tag[0]):
        attributes = tag["break"] or ""
        time = _BREAK_TIME.search(attributes)
        if time is None:
            if "time" in attributes.lower():
                raise _bad_pause(tag, "without a readable time")
            return UNTIMED_BREAK_S
        number, unit = time["time"], time["time_unit"]
    else:
        return None
    try:
        seconds = float(number.replace(",", ".")) * _SECONDS_BY_UNIT[unit.lower()]
    except (ValueError, KeyError):
        raise _bad_pause(tag, "without a readable time") from None
    if not 0 <= seconds <= MAX_PAUSE_S:
        raise _bad_pause(tag, f"of {seconds:g} s")
    return seconds


def _bad_pause(tag: re.Match[str], found: str) -> JobError:
    return JobError(
        f"script: found a pause {found} at character {tag.start() + 1}, allowed is 0 to {MAX_PAUSE_S:g} s, "
        'written [pause 3s], [pause 500ms] or <break time="1.5s"/>'
    )


def _sentences(text: str) -> Iterator[Sentence]:
    """Cut text without pauses; a part without letter or digit joins its neighbour, or is dropped."""
    text = _TAG.sub("", text)
    waiting = ""
    last: Sentence | None = None
    for raw, ends_paragraph in _cut(text):
        words = " ".join(raw.split())
        if not words:
            if last is not None and ends_paragraph:
                last = replace(last, ends_paragraph=True)
            continue
        if any(character.isalnum() for character in words):
            if last is not None:
                yield last
            last = Sentence(f"{waiting} {words}" if waiting else words, ends_paragraph)
            waiting = ""
        elif last is not None:
            last = Sentence(f"{last.text} {words}", ends_paragraph)
        else:
            waiting = f"{waiting} {words}" if waiting else words
    if last is not None:
        yield last


def _cut(text: str) -> Iterator[tuple[str, bool]]:
    """Parts of a text, one sentence each, and whether a blank line follows."""
    start = 0
    for end in _END.finditer(text):
        paragraph = end["paragraph"] is not None
        if not paragraph and end["cjk"] is None and not _ends_sentence(text, start, end):
            continue
        yield text[start : end.end()], paragraph
        start = end.end()
    yield text[start:], False


def _ends_sentence(text: str, start: int, end: re.Match[str]) -> bool:
    following = text[end.end() : end.end() + _LONGEST_WORD].lstrip()
    if following[:1].islower():
        return False  # '"Peace!" she said', 'in... and out', a line broken in mid-sentence
    if end["line"] is not None or end["mark"] != ".":
        return True
    before = text[max(start, end.start() - _LONGEST_WORD) : end.start()].split()
    if not before:
        return False
    word = before[-1].lstrip("([{\"'“‘«")
    if word.lower() in _ABBREVIATIONS or _INITIALS.fullmatch(word):
        return False
    opens_a_list_item = text[start : end.start()].strip().isdecimal() and end.end() - start < _LONGEST_WORD
    return not opens_a_list_item


def pieces(parts: Sequence[Part], limit_characters: int) -> tuple[Part, ...]:
    """Put sentences together into pieces that a provider takes in one go.

    The words and pauses stay the same, in the same order. Only a sentence that is too long by itself is cut: after a
    comma or the like, else at a space, else anywhere.

    Raises
    ------
    ValueError
        If `limit_characters` is below 1.
    """
    if limit_characters < 1:
        raise ValueError(f"limit_characters is {limit_characters}; at least 1 is needed")
    grouped: list[Part] = []
    for part in parts:
        if isinstance(part, Pause):
            grouped.append(part)
            continue
        texts = _shortened(part.text, limit_characters)
        for number, text in enumerate(texts, 1):
            ends_paragraph = part.ends_paragraph and number == len(texts)
            before = grouped[-1] if grouped else None
            if isinstance(before, Sentence):
                glue = "" if unicodedata.east_asian_width(before.text[-1]) in "WF" else " "
                if len(before.text) + len(glue) + len(text) <= limit_characters:
                    grouped[-1] = Sentence(before.text + glue + text, ends_paragraph)
                    continue
            grouped.append(Sentence(text, ends_paragraph))
    return tuple(grouped)


def with_gaps(parts: Sequence[Part], *, sentence_gap_s: float, paragraph_gap_s: float) -> tuple[Part, ...]:
    """Put a silence between sentences that follow each other without a pause of the script's own."""
    spaced: list[Part] = []
    for part in parts:
        if isinstance(part, Sentence) and spaced and isinstance(before := spaced[-1], Sentence):
            spaced.append(Pause(paragraph_gap_s if before.ends_paragraph else sentence_gap_s))
        spaced.append(part)
    return tuple(spaced)


def _shortened(text: str, limit: int) -> list[str]:
    """Cut a text into parts of at most `limit` characters."""
    short: list[str] = []
    while len(text) > limit:
        cut = 0
        for pattern in _CUTS:
            cut = max((mark.end() for mark in pattern.finditer(text, 0, limit + 1)), default=0)
            if cut:
                break
        if not cut:
            cut = limit
            while cut > 1 and unicodedata.combining(text[cut]):
                cut -= 1  # an accent stays with its letter
        short.append(text[:cut].strip())
        text = text[cut:].strip()
    return [*short, text] if text else short
