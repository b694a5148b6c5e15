"""Make a script's sentences the pieces that a voice speaks, and put silences between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from worker.payload.script import Part, Pause, Sentence

# where an over-long sentence may be cut, best first: behind these, or before a space
_BEHIND: Final = re.compile(r"[,;:、，；：–—](?=\s)|[、，；：]")
_SPACE: Final = re.compile(r"\s")
# Thai and Lao have no spaces between words: what is written before its consonant, and what never begins a syllable
_LEADING_VOWELS: Final = "เแโใไເແໂໃໄ"
_TRAILING_SIGNS: Final = "ะาำๅๆฯະາຳໆ"
_LONGEST_CLUSTER: Final = 100


def pieces(parts: Sequence[Part], limit_characters: int) -> tuple[Part, ...]:
    """Cut the sentences that are longer than a provider takes in one go; all others are a piece as they are.

    Parameters
    ----------
    parts : tuple of Sentence or Pause
        From `parse_script`.
    limit_characters : int
        Longest piece as it is said, at least 1.

    Returns
    -------
    parts : tuple of Sentence or Pause
        The same words and pauses in the same order. A sentence is cut after a comma or the like, else at a space,
        else between two characters as a reader sees them.

    Raises
    ------
    ValueError
        If `limit_characters` is below 1.
    """
    if limit_characters < 1:
        raise ValueError(f"limit_characters is {limit_characters}; at least 1 is needed")
    cut: list[Part] = []
    for part in parts:
        cut.extend([part] if isinstance(part, Pause) else _shortened(part, limit_characters))
    return tuple(cut)


def with_gaps(parts: Sequence[Part], *, sentence_gap_s: float, paragraph_gap_s: float) -> tuple[Part, ...]:
    """Put a silence between sentences that follow each other without a pause of the script's own."""
    spaced: list[Part] = []
    for part in parts:
        if isinstance(part, Sentence) and spaced and isinstance(before := spaced[-1], Sentence):
            spaced.append(Pause(paragraph_gap_s if before.ends_paragraph else sentence_gap_s))
        spaced.append(part)
    return tuple(spaced)


def _shortened(sentence: Sentence, limit: int) -> list[Sentence]:
    """Cut a sentence into parts that are at most `limit` characters as they are said."""
    said = _cut(sentence.said, limit)
    if len(said) == 1:
        return [sentence]
    shown = said if not sentence.said_as else _in_proportion(sentence.text, [len(part) for part in said])
    return [
        Sentence(text, sentence.ends_paragraph and number == len(said), part if sentence.said_as else "")
        for number, (text, part) in enumerate(zip(shown, said, strict=True), 1)
    ]


def _in_proportion(text: str, lengths: list[int]) -> list[str]:
    """Share out the words of a text, so that each part has about its share of the characters."""
    words, shares, total = text.split(), [], sum(lengths)
    passed, first = 0, 0
    for length in lengths[:-1]:
        passed += length
        last = max(first, round(len(words) * passed / total))
        shares.append(" ".join(words[first:last]))
        first = last
    return [*shares, " ".join(words[first:])]


def _cut(text: str, limit: int) -> list[str]:
    """Cut a text into parts of at most `limit` characters."""
    short: list[str] = []
    while len(text) > limit:
        commas = (mark.end() for mark in _BEHIND.finditer(text, 0, limit + 1) if mark.end() <= limit)
        spaces = (space.start() for space in _SPACE.finditer(text, 0, limit + 1))
        cut = max(commas, default=0) or max(spaces, default=0) or _cluster_end(text, limit)
        short.append(text[:cut].strip())
        text = text[cut:].strip()
    return [*short, text] if text else short


def _cluster_end(text: str, limit: int) -> int:
    """The last place up to `limit` where no character as a reader sees it, and no Thai syllable, is cut."""
    import regex

    ends = [
        end for cluster in regex.finditer(r"\X", text[: limit + _LONGEST_CLUSTER]) if (end := cluster.end()) <= limit
    ]
    whole = [end for end in ends if text[end - 1] not in _LEADING_VOWELS and text[end] not in _TRAILING_SIGNS]
    return max(whole, default=0) or max(ends, default=0) or limit
