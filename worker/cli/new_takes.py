"""`--new-take`: lines of a script become the sentences that a voice speaks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from worker.errors import JobError
from worker.payload.script import Sentence, parse_script


def sentences_of(lines: Sequence[int], script: str) -> list[str]:
    """The sentences that stand, at least in part, in some lines of a script, which are counted from 1."""
    written, sentences = script.splitlines(), _sentences(script)
    ends = list(accumulate(map(_letters, sentences)))
    wanted = []
    for number in lines:
        first, last = (
            sum(map(_letters, _sentences("\n".join(written[: max(0, count)])))) for count in (number - 1, number)
        )
        found = [
            sentence
            for sentence, end in zip(sentences, ends, strict=True)
            if end > first and end - _letters(sentence) < last
        ]
        if first == last or not found:
            raise JobError(f"--new-take: found line {number}, which has no words; the script has {len(written)} lines")
        wanted += found
    return wanted


def _sentences(script: str) -> list[str]:
    return [part.text for part in parse_script(script).parts if isinstance(part, Sentence)]


def _letters(text: str) -> int:
    """Characters that do not change with where a script is cut."""
    return sum(character.isalnum() for character in text)
