"""Find what stands for something in a cleaned script: pauses, ends of paragraphs, directions, placeholders.

A pause may be written in many ways, in brackets of any kind and in words of six languages. Text in brackets that is
none of these stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from worker.errors import JobError
from worker.payload.script_brackets import is_direction, is_placeholder
from worker.payload.script_pauses import TIME_IN_BRACKETS, Silence, plain_words, read_pause, read_time
from worker.payload.script_text import count_of

MAX_PAUSE_S: Final = 600.0
# SSML 1.1, 3.2.3 names the strengths and leaves their lengths open; these are Azure's
BREAK_S: Final = {"none": 0.0, "x-weak": 0.25, "weak": 0.5, "medium": 0.75, "strong": 1.0, "x-strong": 1.25}

GLUE: Final = "\ue000"  # a space at which no sentence ends; a cleaned text has no private characters of its own
_FIRST_DIRECTION: Final = 0xF0000

_LONG_TIME_S: Final = 60.0
_POINTS: Final = tuple(",.;:!?\u2026")
_SHOWN_CHARACTERS: Final = 40

_LINE_EDGES: Final = frozenset(
    ("s", "br", "li", "dt", "dd", "td", "th", "tr", "option", "label", "button", "summary", "caption", "figcaption")
)
_PARAGRAPH_EDGES: Final = frozenset((
    "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "section", "article",
    "header", "footer", "aside", "hr", "title", "address",
))  # fmt: skip
_CANDIDATE: Final = re.compile(
    r"<#\s*+(?P<timed>[0-9.,]+)\s*+#>"
    r"|\[\[\s*+slnc\s++(?P<slnc>[0-9]+)\s*+\]\]"
    r"|(?P<template>[$#]\{[^{}\n]{1,100}\}|\{\{[^{}\n]{1,100}\}\}|\{%[^{}\n]{1,100}%\}|<%[^<>\n]{1,100}%>"
    r"|\*\|[^|*\n]{1,100}\|\*|(?<![\w%])%{1,2}[A-Za-z_][\w.]{0,60}%{1,2}(?![\w%]))"
    r"|(?P<blank>(?<![\w_])_{3,}(?![\w_]))"
    r"|<{1,2}(?P<angle>[^<>]{1,300})>{1,2}"
    r"|[\[\u3010\uff3b]{1,2}(?P<square>[^\[\]\u3010\u3011\uff3b\uff3d{}<>]{1,120})[\]\u3011\uff3d]{1,2}"
    r"|\{(?P<curly>[^\[\]{}<>]{1,120})\}"
    r"|[(\uff08](?P<round>[^()\uff08\uff09\[\]{}<>]{1,80})[)\uff09]",
)
_ELEMENT: Final = re.compile(r"\s*(?P<end>/?)\s*(?P<name>[A-Za-z][\w-]*)(?P<more>\s.*|/)?", re.DOTALL)
_BREAK_TIME: Final = re.compile(
    r"""\btime\s*=\s*["']\s*(?P<time>[-+]?[.,]?[0-9][0-9.,]*\s*[a-z]*)\s*["']""", re.IGNORECASE
)
_BREAK_STRENGTH: Final = re.compile(r"""\bstrength\s*=\s*["']?\s*([a-z-]+)""", re.IGNORECASE)
_CLOSERS: Final = "\"'\u201d\u2019\u00bb)]}*_ \t"


@dataclass(frozen=True)
class Stretch:
    """Text up to a pause or the end of a paragraph.

    Attributes
    ----------
    text : str
        Directions in it are private characters, to look up in `Tagged.directions`.
    pause_s : float
        The silence behind it.
    ends_paragraph : bool
    """

    text: str
    pause_s: float = 0.0
    ends_paragraph: bool = False


@dataclass(frozen=True)
class Tagged:
    """A script without its tags.

    Attributes
    ----------
    stretches : tuple of Stretch
    directions : mapping
        From the private character that stands for a direction to the direction, as ``[whispers]``.
    """

    stretches: tuple[Stretch, ...]
    directions: dict[str, str]


@dataclass(frozen=True)
class _Pause:
    seconds: float
    guess: str = ""


@dataclass(frozen=True)
class _Edge:
    ends_paragraph: bool


@dataclass(frozen=True)
class _Direction:
    words: str


@dataclass(frozen=True)
class _Inline:
    """Taken out of the text, which goes on."""

    replacement: str = ""
    is_unknown_tag: bool = False


_Meaning = _Pause | _Edge | _Direction | _Inline


def find_tags(text: str, *, script: str, keeps_directions: bool, notes: list[str]) -> Tagged:
    """Cut a text where it has pauses, and take out all that is not for speaking.

    Parameters
    ----------
    text : str
        From `clean_text`.
    script : str
        The same as its customer wrote it: for the place of what is refused.
    keeps_directions : bool
        Whether the voice knows performance directions; if not, they are left out, with a note.
    notes : list of str
        What was guessed or left out is added.

    Returns
    -------
    Tagged

    Raises
    ------
    JobError
        If a pause is longer than 600 s, negative, or in no known unit; with code ``script.placeholder`` if a
        placeholder such as ``[Your Name]`` is left in.
    """
    stretches: list[Stretch] = []
    directions: dict[str, str] = {}
    guesses: dict[str, list[float]] = {}
    left_out: list[str] = []
    unknown_tags = 0
    words = ""
    done = 0
    for found, meaning in _meanings(text, script):
        words += text[done : found.start()]
        done = found.end()
        if isinstance(meaning, _Direction):
            if keeps_directions:
                mark = chr(_FIRST_DIRECTION + len(directions))
                directions[mark] = f"[{meaning.words}]"
                following = text[done : done + 1]
                words = words.rstrip(" \t") + mark if following in _POINTS else f"{words} {mark} "
            else:
                left_out.append(found[0])
                words = _without(words, text[done : done + 1])
        elif isinstance(meaning, _Inline):
            unknown_tags += meaning.is_unknown_tag
            words += meaning.replacement
        elif isinstance(meaning, _Pause):
            if meaning.guess:
                guesses.setdefault(meaning.guess, []).append(meaning.seconds)
            stretches.append(Stretch(words, pause_s=meaning.seconds))
            words = ""
        else:
            stretches.append(Stretch(words, ends_paragraph=meaning.ends_paragraph))
            words = ""
    stretches.append(Stretch(words + text[done:]))
    notes += [_guess_note(guess, seconds) for guess, seconds in guesses.items()]
    if unknown_tags:
        notes.append(f"script: {count_of(unknown_tags, 'unknown tag')} left out.")
    if left_out:
        count = count_of(len(left_out), "performance direction")
        notes.append(f"script: {count} left out, such as {_shown(left_out[0])}; this voice does not know them.")
    closed = (replace(stretch, text=_without_space_at_glue(stretch.text)) for stretch in stretches)
    return Tagged(tuple(closed), directions)


def _without_space_at_glue(text: str) -> str:
    return GLUE.join(part.strip() for part in text.split(GLUE)) if GLUE in text else text


def _without(words: str, following: str) -> str:
    """Close the gap that a direction leaves; its neighbours do not grow together."""
    if following in _POINTS:
        return words.rstrip(" \t")
    return words + " " if words and following and words[-1].isalnum() and following.isalnum() else words


def _guess_note(guess: str, seconds: list[float]) -> str:
    counted = count_of(len(seconds), guess, guess.replace("pause", "pauses", 1).replace("time", "times", 1))
    if guess == TIME_IN_BRACKETS:
        return f"script: {counted} taken as {'a pause' if len(seconds) == 1 else 'pauses'}."
    lengths = ", ".join(f"{length:g}" for length in dict.fromkeys(seconds))
    return f"script: {counted} taken as {lengths} s."


def _shown(tag: str) -> str:
    tag = " ".join(tag.split())
    return tag if len(tag) <= _SHOWN_CHARACTERS else f"{tag[: _SHOWN_CHARACTERS - 1]}\u2026"


def refused_tags(text: str, *, script: str) -> list[JobError]:
    """All for which `find_tags` would raise, in order; arguments as there."""
    refused: list[JobError] = []
    for _ in _meanings(text, script, refused):
        pass
    return refused


def _meanings(
    text: str, script: str, refused: list[JobError] | None = None
) -> Iterator[tuple[re.Match[str], _Meaning]]:
    """Find tags. What a script may not hold is raised, or added to `refused`."""
    place = 0
    while (found := _CANDIDATE.search(text, place)) is not None:
        try:
            meaning = _meaning(found, script)
        except JobError as error:
            if refused is None:
                raise
            refused.append(error)
            place = found.end()
            continue
        if meaning is None:
            place = found.start() + 1
        else:
            yield found, meaning
            place = found.end()


def _meaning(found: re.Match[str], script: str) -> _Meaning | None:
    """What a candidate stands for; None for text."""
    kind = found.lastgroup
    if kind in ("timed", "slnc"):
        return _checked(read_time(found[kind] + ("s" if kind == "timed" else "ms")), found, script)
    if kind == "blank":
        return _refuse_placeholder(found, script) if _is_beside_words(found) else None
    content = found[kind or 0].strip("{}[]<>$#%*|") if kind == "template" else found[kind or 0]
    if kind == "angle" and (meaning := _element(found, script)) is not None:
        return meaning
    words = plain_words(content.replace(GLUE, " "))
    if not words:
        return _refuse_placeholder(found, script) if kind == "template" else None
    silence = read_pause(words, in_round_brackets=kind == "round")
    if silence is not None and not (_may_be_text(silence, kind) and not _stands_alone(found)):
        return _checked(silence, found, script)
    if is_direction(words) and (kind != "round" or _stands_alone(found)):
        return _Direction(" ".join(content.split()).strip("/ "))
    if kind == "template" or is_placeholder(words, content.strip(), kind or ""):
        return _refuse_placeholder(found, script)
    if kind == "angle" and _is_markup(found):
        return _Inline(is_unknown_tag=True)
    return None


def _may_be_text(silence: Silence, kind: str | None) -> bool:
    """Whether a time without the word pause may be meant otherwise, as in "Evening calm [10 min]"."""
    return silence.guess == TIME_IN_BRACKETS and (kind == "round" or (silence.seconds or 0.0) >= _LONG_TIME_S)


def _is_beside_words(blank: re.Match[str]) -> bool:
    """Whether a row of underscores has words on its line; alone it is a rule."""
    text = blank.string
    first, last = text.rfind("\n", 0, blank.start()) + 1, text.find("\n", blank.end())
    line = text[first : last if last >= 0 else len(text)]
    return any(character.isalnum() for character in line)


def _stands_alone(found: re.Match[str]) -> bool:
    """Whether a bracket begins a line or follows the end of a sentence or another bracket."""
    before = found.string[: found.start()].rstrip(" \t")
    return not before or before[-1] in "\n]}>" or before.rstrip(_CLOSERS)[-1:] in (*".!?\u2026:\u3002\uff01\uff1f", "")


def _element(found: re.Match[str], script: str) -> _Meaning | None:
    element = _ELEMENT.fullmatch(found["angle"])
    if element is None:
        return None
    name = element["name"].lower()
    if name in _LINE_EDGES or name in _PARAGRAPH_EDGES:
        return _Edge(ends_paragraph=name in _PARAGRAPH_EDGES)
    if name != "break":
        return None
    if element["end"]:
        return _Inline()
    more = element["more"] or ""
    time = _BREAK_TIME.search(more)
    if time is not None:
        return _checked(read_time(time["time"].lower()), found, script)
    if re.search(r"\btime\b", more, re.IGNORECASE):
        raise _bad_pause(found, script, "without a readable time")
    strength = _BREAK_STRENGTH.search(more)
    if strength is None and more.strip(" \t\n/"):
        return None  # <break 2s>
    seconds = BREAK_S.get(strength[1].lower() if strength else "medium", BREAK_S["medium"])
    return _Pause(seconds) if seconds else _Inline(GLUE)


def _is_markup(found: re.Match[str]) -> bool:
    """Whether text in angles is a tag of some language: it ends something, has attributes, or is ended later."""
    content = found["angle"].strip()
    if re.fullmatch(r"/\s*[A-Za-z][\w:-]*|[A-Za-z][\w:-]*\s*/|[A-Za-z][\w:-]*(?:\s+[\w:-]+\s*=\s*[^=]+)+", content):
        return True
    return re.fullmatch(r"[A-Za-z][\w:-]*", content) is not None and f"</{content}>" in found.string


def _checked(silence: Silence | None, found: re.Match[str], script: str) -> _Pause:
    if silence is None or silence.seconds is None:
        raise _bad_pause(found, script, "without a readable time")
    if not 0 <= silence.seconds <= MAX_PAUSE_S:
        raise _bad_pause(found, script, f"of {silence.seconds:g} s")
    return _Pause(silence.seconds, silence.guess)


def _bad_pause(found: re.Match[str], script: str, what: str) -> JobError:
    return JobError(
        f"script: found a pause {what} at character {_place(found, script)}, allowed is 0 to {MAX_PAUSE_S:g} s, "
        'written [pause 3s], [pause 500ms] or <break time="1.5s"/>'
    )


def _place(found: re.Match[str], script: str) -> int:
    """Where a tag is in the customer's own text, counted from 1; there it may be spelt otherwise."""
    place = script.find(found[0])
    return (place if place >= 0 else found.start()) + 1


def _refuse_placeholder(found: re.Match[str], script: str) -> _Meaning:
    raise JobError(
        f"script: found a placeholder at character {_place(found, script)}, allowed is text to speak: write the words "
        "that belong in its place",
        code="script.placeholder",
        customer_message=(
            f"The script still has a placeholder in it: {_shown(found[0])}. Please put your own words in its place, or "
            "take it out, and try again."
        ),
    )
