"""Pronunciations: how a voice is to say words that it would read wrongly, as respellings of whole words."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.os_errors import in_words

MOST_ENTRIES: Final = 200
LONGEST_CHARACTERS: Final = 100
ALLOWED: Final = (
    f"an object of at most {MOST_ENTRIES} words, each with its respelling, all texts of 1 to {LONGEST_CHARACTERS}"
    " characters"
)

# scripts without spaces between words, or before particles: Thai to Tibetan, Burmese, Khmer, Chinese, Japanese, Korean
_UNSPACED: Final = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER: Final = rf"[^\W{_UNSPACED}]"
_BEGINS: Final = rf"(?<!{_LETTER})"
# can't is another word than can, but Siobhan's is Siobhan
_ENDS: Final = rf"(?!{_LETTER})(?!['’](?![sS]?(?!\w))\w)"
_MARKUP: Final = re.compile(r"[<>\[\]{}]|&\w+;")
_SHOWN_CHARACTERS: Final = 40
_LINE: Final = re.compile(r"(?P<word>[^=]+)=(?P<respelling>.+)")


class Pronunciations:
    """Words and their respellings, applied to text.

    Parameters
    ----------
    entries : mapping of str to str
        A word, or several, and what a voice is given in its place. Case makes no difference.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._respellings = {_folded(word): " ".join(respelling.split()) for word, respelling in entries.items()}
        longest_first = sorted(self._respellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_as_pattern, longest_first)), re.IGNORECASE) if longest_first else None

    def respelled(self, text: str) -> str:
        """Put the respelling in the place of each word that has one; the longest word wins."""
        return text if self._pattern is None else self._pattern.sub(self._respelling, text)

    def _respelling(self, found: re.Match[str]) -> str:
        following = found.string[found.end() : found.end() + 1]
        if following and unicodedata.category(following).startswith("M"):
            return found[0]  # the word goes on with a vowel sign
        return self._respellings.get(_folded(found[0]), found[0])


NO_PRONUNCIATIONS: Final = Pronunciations({})


def check_entries(entries: object) -> dict[str, str]:
    """Check a list of pronunciations.

    Raises
    ------
    ValueError
        Saying what was found and what is allowed, without quoting more than a word.
    """
    if not isinstance(entries, Mapping):
        raise ValueError(f"found no object, allowed is {ALLOWED}")
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"found {len(entries)} words, allowed is {ALLOWED}")
    checked: dict[str, str] = {}
    for word, respelling in entries.items():
        for text in (word, respelling):
            if (fault := _fault(text)) is not None:
                raise ValueError(f"found {fault} at {str(word)[:_SHOWN_CHARACTERS]!r}, allowed is {ALLOWED}")
        checked[unicodedata.normalize("NFC", word).strip()] = unicodedata.normalize("NFC", respelling).strip()
    return checked


def _fault(text: object) -> str | None:
    """What is wrong with a word or a respelling."""
    if not isinstance(text, str):
        return "no text"
    if len(text) > LONGEST_CHARACTERS:
        return f"{len(text)} characters"
    if not text.isprintable():
        return "a line end or an invisible character"
    if not any(character.isalnum() for character in text):
        return "no letter"
    return "a bracket or an &, which only markup has," if _MARKUP.search(text) else None


def read_pronounce_file(path: Path) -> dict[str, str]:
    """Read pronunciations from a file: a JSON object, or lines of ``word = respelling``, where ``#`` begins a comment.

    Raises
    ------
    ValueError
        Saying what is wrong, and in which line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = in_words(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"the file cannot be read: {reason}") from None
    try:
        return check_entries(json.loads(text) if text.lstrip().startswith("{") else _from_lines(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no valid JSON at line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _from_lines(text: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _LINE.fullmatch(line)
        if entry is None:
            raise ValueError(f"line {number} is not `word = respelling`")
        entries[entry["word"].strip()] = entry["respelling"].strip()
    return entries


def _folded(word: str) -> str:
    return " ".join(unicodedata.normalize("NFC", word).replace("’", "'").split()).casefold()


def _as_pattern(word: str) -> str:
    pattern = re.escape(word).replace("'", "['’]").replace(r"\ ", r"\s+")
    begins = _BEGINS if re.match(_LETTER, word) else ""
    return f"{begins}{pattern}{_ENDS if re.match(_LETTER, word[-1]) else ''}"
