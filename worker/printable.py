"""Text of strangers, fit for one line of a log or a terminal."""

from __future__ import annotations

import unicodedata

_LONGEST_CHARACTERS = 200


def printable(text: str, *, longest: int | None = _LONGEST_CHARACTERS) -> str:
    """A stranger's text, such as a file's name, on one line: what would act on a terminal is escaped.

    That is control characters, line ends, half surrogate pairs, and the marks that change the direction of writing,
    which make one name look like another. `longest` is in characters; None leaves the length as it is.
    """
    shown = "".join(character if _is_plain(character) else _escaped(character) for character in text)
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 1]}…"


def _is_plain(character: str) -> bool:
    return character == " " or unicodedata.category(character)[0] not in "CZ"


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]
