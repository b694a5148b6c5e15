"""Whether a transcript says the words of a text, for voices that may reword what they are to read."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

WORDS_PER_DIFFERENCE = 25
"""A transcript may differ in one word of so many; a shorter text must be read word for word."""

_SPACELESS_SHARE = 0.2  # scripts without spaces: one word may be written in several ways, so so much may differ
_SPACELESS = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Hiragana, Katakana
    "\u3400-\u9fff\uf900-\ufaff"  # Chinese characters
)
_SYMBOLS = "%&$€£¥+=@#°"
_WORD = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\W_])+(?:'(?:(?![{_SPACELESS}])[^\W_])+)*|[{_SYMBOLS}]")
# What these are read as is the reader's choice.
_ABBREVIATION = re.compile(
    "dr|mr|mrs|ms|st|prof|sr|jr|vs|etc|eg|ie|approx|dept|ave|blvd|ok|usw|bzw|bspw|zb|ca|sra|srta|mme|mlle|"
    "km|kg|cm|mm|ml|mg|lb|lbs|oz|ft|mph|kmh|hz|khz|db"
)
_ROMAN = re.compile(r"[IVXLCDM]{2,}")
_ABBREVIATION_WORDS = 3
_NUMBER_WORDS = 3  # and as many again for each digit
_SYMBOL_WORDS = 3
_JOINED_WORDS = 5  # "U S A" is "USA"
_SPELLING_LENGTH = 5  # from so many letters on, one letter makes no other word: "colour", "color"
_AT_AN_END = 1000.0  # the first word and the last must be the text's: no "Sure! …" before it, nothing behind it


@dataclass(frozen=True)
class _Word:
    """A word without case, accents and apostrophes.

    Attributes
    ----------
    letters : str
    parts : tuple of str
        What stands before and after its apostrophe; empty where it has none.
    fewest, most : int
        How many words of the other text it may stand for; 1 and 1 for an ordinary word.
    """

    letters: str
    parts: tuple[str, ...] = ()
    fewest: int = 1
    most: int = 1


def differences(text: str, transcript: str) -> float:
    """Count the words by which a transcript differs from a text: missing, added or other ones.

    Numbers, symbols and common abbreviations match the few words that they may be read as, but no other number. Case,
    accents, punctuation, the apostrophes of contractions and words written together or apart do not count, nor does
    one letter of a long word. In scripts without spaces a character counts as a word.

    Parameters
    ----------
    text : str
        What was to be read.
    transcript : str
        What was said.

    Returns
    -------
    float
        Words; over 1000 where the first or the last word differs, as with "Sure! …".
    """
    given, said = _words(text), _words(transcript)
    if [word.letters for word in given] == [word.letters for word in said]:
        return 0.0
    edge = 1.0 if _is_spaceless(given) else _AT_AN_END
    # costs[i][j] of the first i words of the text against the first j of the transcript
    costs = [[0.0] * (len(said) + 1) for _ in range(len(given) + 1)]
    for i in range(len(given) + 1):
        for j in range(len(said) + 1):
            if i == j == 0:
                continue
            best = float("inf")
            other = edge if i in (1, len(given)) else 1.0
            if i:
                best = costs[i - 1][j] + other * (given[i - 1].fewest > 0)
            if j:
                added = edge if i in (0, len(given)) else 1.0
                best = min(best, costs[i][j - 1] + added * (said[j - 1].fewest > 0))
            if i and j:
                best = min(best, costs[i - 1][j - 1] + other * (not _is_same(given[i - 1], said[j - 1])))
                for count in range(2, max(given[i - 1].most, _JOINED_WORDS) + 1):
                    if count <= j and _stands_for(given[i - 1], said[j - count : j]):
                        best = min(best, costs[i - 1][j - count])
                for count in range(2, max(said[j - 1].most, _JOINED_WORDS) + 1):
                    if count <= i and _stands_for(said[j - 1], given[i - count : i]):
                        best = min(best, costs[i - count][j - 1])
            costs[i][j] = best
    return costs[-1][-1]


def is_reading_of(transcript: str, text: str) -> bool:
    """Whether a transcript is the text, read aloud, within `WORDS_PER_DIFFERENCE`."""
    words = _words(text)
    allowed = len(words) * _SPACELESS_SHARE if _is_spaceless(words) else len(words) // WORDS_PER_DIFFERENCE
    return differences(text, transcript) <= allowed


def _words(text: str) -> list[_Word]:
    text = unicodedata.normalize("NFKD", text.replace("’", "'"))
    text = "".join(character for character in text if not unicodedata.category(character).startswith("M"))
    shouts = sum(map(str.isupper, text)) > sum(map(str.islower, text))
    return [_word(found, shouts=shouts) for found in _WORD.findall(text)]


def _word(found: str, *, shouts: bool) -> _Word:
    parts = tuple(found.casefold().split("'"))
    letters = "".join(parts)
    if found in _SYMBOLS:
        return _Word(letters, fewest=0, most=_SYMBOL_WORDS)
    if digits := sum(map(str.isdigit, found)):
        return _Word(letters, most=_NUMBER_WORDS * (1 + digits))
    if _ABBREVIATION.fullmatch(letters) or (not shouts and _ROMAN.fullmatch(found)):
        return _Word(letters, most=_ABBREVIATION_WORDS)
    return _Word(letters, parts if len(parts) == 2 else ())


def _is_spaceless(words: list[_Word]) -> bool:
    return 2 * sum(re.fullmatch(f"[{_SPACELESS}]", word.letters) is not None for word in words) > len(words)


def _is_same(first: _Word, second: _Word) -> bool:
    if first.letters == second.letters:
        return True
    if first.letters.isdecimal() and second.letters.isdecimal():
        return int(first.letters) == int(second.letters)  # "07"
    if max(first.most, second.most) > 1:
        return True
    shorter, longer = sorted((first.letters, second.letters), key=len)
    if len(shorter) < _SPELLING_LENGTH or len(longer) - len(shorter) > 1:
        return False
    at = next((at for at, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    return shorter[at + (len(shorter) == len(longer)) :] == longer[at + 1 :]


def _stands_for(one: _Word, several: list[_Word]) -> bool:
    """Whether a word is read or written as these: as a number, together, or apart (``don't``, ``do not``)."""
    if one.most >= len(several) and all(word.letters != one.letters for word in several):
        return True
    joined = "".join(word.letters for word in several)
    if joined == one.letters:
        return True
    return len(several) == 2 and bool(one.parts) and joined.startswith(one.parts[0]) and joined.endswith(one.parts[1])
