"""Clean a script: what a writer or an editor leaves in a text, and no voice should say.

Out go invisible characters, HTML entities, Markdown, and tags of HTML and SSML that only style. Pauses, breaks,
paragraphs, performance directions and placeholders stay: `worker.payload.script_tags` finds them.
"""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata
from collections.abc import Callable
from typing import Final

_LINE_ENDS: Final = re.compile(r"\r\n?|[\v\f\x85\u2028]")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_JOINERS: Final = "\u200c\u200d"
# scripts in which the joiners are spelling: Arabic, Syriac to N'Ko, Indic to Khmer, Mongolian, Arabic's other forms
_JOINED_SCRIPTS: Final = (
    (0x0600, 0x07FF), (0x0860, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x18AF), (0xA840, 0xA87F), (0xA8E0, 0xA9FF),
    (0xFB50, 0xFDFF), (0xFE70, 0xFEFE), (0x11000, 0x11FFF),
)  # fmt: skip
_TAG_CHARACTERS: Final = range(0xE0020, 0xE0080)  # spell the flags of England, Scotland and Wales
_BLACK_FLAG: Final = "\U0001f3f4"
_UNSPEAKABLE: Final = (
    "\ufffc\ufffd\u034f\u2800\u3164\uffa0"  # for a lost object or character; blanks that count as letters
)
_INVISIBLE: Final = re.compile(r"[^\n\t\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff]")  # all that needs a closer look

_LINK_TARGET: Final = (
    r"\(\s*(?:https?:|mailto:|tel:|www\.|[/.#]|[\w-]+\.[a-z]{2,})(?:[^\s()]|\([^\s()]*\)){0,500}"
    r"(?:\s+\"[^\"\n]*\")?\s*\)"
)
_BULLETS: Final = r"^(?:[ \t]*[-*+\u2022\u2023\u25e6\u25aa\u25cf][ \t]+)+"
_LINE_END, _PARAGRAPH_END = "<br/>", "<p/>"  # read by worker.payload.script_tags
_MARKDOWN: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    # a block of code: the word behind its first fence names a language; without a last fence that is a word to speak
    (
        re.compile(
            r"^[ \t]*(```|~~~)[`~]*[ \t]*[\w+-]+[ \t]*\n((?:[^\n]*\n){0,400}?)[ \t]*\1[`~]*[ \t]*$", re.MULTILINE
        ),
        r"\2",
    ),
    (re.compile(r"^[ \t]*(?:```+|~~~+)[ \t]*$", re.MULTILINE), ""),
    (re.compile(rf"!?\[([^\[\]\n]*)\]{_LINK_TARGET}", re.IGNORECASE), r"\1"),
    (re.compile(r"^[ \t]*\[[^\[\]\n]+\]:[ \t]+https?:\S+[^\n]*$", re.MULTILINE), ""),
    (re.compile(r"\[\^[\w-]{1,20}\]:?"), ""),
    (re.compile(r"^[ \t]*\|?[ \t]*:?-{3,}:?[ \t]*(?:\|[ \t]*:?-{3,}:?[ \t]*)+\|?[ \t]*$", re.MULTILINE), ""),
    (
        re.compile(r"^[ \t]*\|(.+)\|[ \t]*$", re.MULTILINE),
        lambda row: _LINE_END + ", ".join(cell.strip() for cell in row[1].split("|") if cell.strip()),
    ),
    # a rule, or the underline of a heading
    (re.compile(r"^[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|={3,}[ \t]*)$", re.MULTILINE), ""),
    (
        re.compile(r"^(?:[ \t]*#{1,6}[ \t]+)+([^\n]*)$", re.MULTILINE),
        lambda heading: _PARAGRAPH_END + heading[1].rstrip("# \t") + _PARAGRAPH_END,
    ),
    (re.compile(r"^[ \t]*(?:>[ \t]*)+(?=\S)", re.MULTILINE), ""),
    (re.compile(rf"{_BULLETS}(?:\[[ xX]\][ \t]+)?(?=\S)", re.MULTILINE), _LINE_END),
    (re.compile(r"(?<![\w*\\])(\*{1,3})(?![\s*|])((?:[^*\n]|\n(?!\n)){1,1000}?)(?<![\s|\\])\1(?![\d*])"), r"\2"),
    (
        re.compile(r"(?<![\w\\])(_{1,3})(?![\s_])((?:[^_\n]|(?<=\w)_(?=\w)|\n(?!\n)){1,1000}?)(?<![\s\\])\1(?!\w)"),
        r"\2",
    ),
    (re.compile(r"(?<=\d)(?:~~|\*\*+)(?=\d)|(?<=\w)==+(?=\w)"), " "),
    (re.compile(r"~~|==+|\*\*+"), ""),
    (re.compile(r"(?<=\w)`(?=\w)"), "'"),
    (re.compile(r"`"), ""),
    (re.compile(r"\\([\\*_#\[\](){}<>~|+.!-])"), r"\1"),
)
_TYPED_LINE_END: Final = re.compile(r"(?:\\r)?\\n(?![a-z])")  # a line end that was escaped twice

_HTML: Final = (
    "a abbr acronym b bdi bdo big center cite code data del details dfn dl em figure font html i img input ins kbd"
    " main mark nav pre q rp rt ruby samp script small span strike strong style sub sup svg time tt u var wbr link head"
    " body iframe form"
)
_SSML: Final = (
    "speak prosody emphasis say-as phoneme sub voice lang mark audio desc w token lexicon meta metadata lookup"
    " par seq media bookmark"
)
# without an end these may be placeholders
_ALSO_FIELDS: Final = frozenset(("code", "data", "time", "voice", "form"))
_PLAIN: Final = frozenset({"speak", "html", "body"})  # taken out without loss, so without a note
_STYLE_NAMES: Final = frozenset(f"{_HTML} {_SSML}".split())
_ELEMENT: Final = re.compile(r"<\s*+/?\s*+([A-Za-z][\w-]*+(?::[\w-]++)?)(?:\s[^<>]*+|/)?>")
_NOT_TEXT: Final = re.compile(
    r"<!--.{0,1000}?-->|<\?[^<>]*+>|<!\[CDATA\[|\]\]>|<!doctype[^<>]*+>|<(script|style)\b[^<>]*+>.{0,20000}?</\1\s*>",
    re.IGNORECASE | re.DOTALL,
)


def clean_text(text: str, notes: list[str]) -> str:
    """Take out of a text what no voice should say.

    Parameters
    ----------
    text : str
        Any text.
    notes : list of str
        One sentence for each kind of change is added.

    Returns
    -------
    text : str
        In Unicode's form NFC, with `\\n` as its only line end, without private characters. Cleaning it again changes
        nothing.
    """
    found: dict[str, int] = {}
    while (cleaned := _cleaned(text, found)) != text:
        text = cleaned  # what was taken out may have stood between two halves of something else
    if count := found.get("invisible"):
        notes.append(f"script: {count_of(count, 'invisible character')} left out.")
    if found.get("entity"):
        notes.append("script: HTML entities such as &amp; were read as the characters they stand for.")
    if found.get("markdown"):
        notes.append("script: the marks of Markdown (headings, lists, emphasis, links) were left out.")
    if count := found.get("tag"):
        notes.append(f"script: {count_of(count, 'tag')} left out as style only; the words within are spoken.")
    if count := found.get("hidden"):
        notes.append(f"script: {count_of(count, 'comment')} left out.")
    return text


def count_of(count: int, what: str, several: str = "") -> str:
    """Say how many of something there were; `several` is its plural, where that is not made by an s."""
    return f"{count} {what} was" if count == 1 else f"{count} {several or what + 's'} were"


def _cleaned(text: str, found: dict[str, int]) -> str:
    text = _LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n")
    text = _counted(_ENTITY, _character, text, found, "entity")
    text = _visible(text, found)
    text = unicodedata.normalize("NFC", text)
    text = _TYPED_LINE_END.sub("\n", text)
    text = _counted(_NOT_TEXT, "", text, found, "hidden")
    text = _ELEMENT.sub(lambda element: _without_style(element, found), text)
    for pattern, replacement in _MARKDOWN:
        text = _counted(pattern, replacement, text, found, "markdown")
    return text


def _character(entity: re.Match[str]) -> str:
    if entity[0][1] == "#":
        return html.unescape(entity[0])
    return html.entities.html5.get(entity[0][1:], entity[0])


def _counted(
    pattern: re.Pattern[str],
    replacement: str | Callable[[re.Match[str]], str],
    text: str,
    found: dict[str, int],
    kind: str,
) -> str:
    changed, count = pattern.subn(replacement, text)
    if count and changed != text:
        found[kind] = found.get(kind, 0) + count
    return changed


def _without_style(element: re.Match[str], found: dict[str, int]) -> str:
    name = element[1].lower()
    if ":" not in name and name not in _STYLE_NAMES:
        return element[0]
    if name in _ALSO_FIELDS and element[0] == f"<{element[1]}>" and f"</{name}" not in element.string.lower():
        return element[0]
    if name not in _PLAIN:
        found["tag"] = found.get("tag", 0) + 1
    return ""


def _visible(text: str, found: dict[str, int]) -> str:
    """Drop characters that nobody can see or say; joiners stay where they are spelling."""
    if _INVISIBLE.search(text) is None:
        return text
    kept: list[str] = []
    for index, character in enumerate(text):
        if _is_heard(character, kept[-1] if kept else "\n", text[index + 1 : index + 2]):
            kept.append(character)
        else:
            found["invisible"] = found.get("invisible", 0) + 1
    return "".join(kept)


def _is_heard(character: str, before: str, after: str) -> bool:
    if character.isprintable() or character in "\n\t":
        return character not in _UNSPEAKABLE
    if character in _JOINERS:
        return _joins(before, after, character)
    if _is_tag(character):
        return before == _BLACK_FLAG or _is_tag(before)
    return unicodedata.category(character) in ("Zs", "Cn")


def _is_tag(character: str) -> bool:
    return ord(character) in _TAG_CHARACTERS


def _joins(before: str, after: str, joiner: str) -> bool:
    if any(first <= ord(before) <= last for first, last in _JOINED_SCRIPTS):
        return True
    is_emoji = unicodedata.category(before) in ("So", "Sk") or before == "\ufe0f"
    return joiner == "\u200d" and is_emoji and bool(after) and unicodedata.category(after) == "So"
