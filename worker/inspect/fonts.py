"""What can be written in a picture: fonts for any writing, as far as the machine has them; and titles that fit."""

from __future__ import annotations

from functools import cache

BOX = "□"  # for what no font has

_OWN = "DejaVu Sans"  # comes with matplotlib
_MOST_FONTS = 500


def families(text: str) -> list[str]:
    """Fonts for a text, in the order in which they are asked for a character."""
    wanted = {ord(character) for character in text} - _characters_of_own()
    found = [_OWN]
    for name, characters in _others() if wanted else ():
        if wanted & characters:
            found.append(name)
            wanted -= characters
    return found


def drawable(text: str) -> str:
    """A text with a box for each run of characters that no font of this machine has."""
    missing = {ord(character) for character in text} - _characters_of_own()
    for _, characters in _others() if missing else ():
        missing -= characters
    boxed = "".join(BOX if ord(character) in missing else character for character in text)
    while BOX * 2 in boxed:
        boxed = boxed.replace(BOX * 2, BOX)
    return boxed


def shortened(text: str, longest: int) -> str:
    """A text with its middle left out, so that it has so many characters: name and ending stay."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


@cache
def _characters_of_own() -> frozenset[int]:
    from matplotlib.font_manager import findfont

    return _characters(findfont(_OWN))


@cache
def _others() -> tuple[tuple[str, frozenset[int]], ...]:
    from matplotlib.font_manager import fontManager

    plain = [font for font in fontManager.ttflist if font.style == "normal" and font.name != _OWN]
    plain = [font for font in plain if not font.name.startswith(("STIX", "cm", "DejaVu", "Last Resort"))]
    return tuple((font.name, _characters(font.fname)) for font in plain[:_MOST_FONTS])


def _characters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that is gone, or broken
        return frozenset()
