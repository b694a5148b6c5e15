"""Parse a script, as people write it, into sentences and exact silences.

| module | does |
|---|---|
| `script_text` | takes out what no voice should say: Markdown, entities, invisible characters, styling tags |
| `script_tags` | finds pauses, ends of paragraphs, performance directions and placeholders |
| `script_pauses`, `script_brackets` | read the words in a bracket |
| `script_sentences` | cuts what is left into sentences |
| `script_pieces` | cuts sentences that are too long for a voice, and puts silences between them |
| `worker.pronounce` | respells words for the voice |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.errors import JobError
from worker.payload.script_sentences import cut_sentences
from worker.payload.script_tags import GLUE, find_tags, refused_tags
from worker.payload.script_text import clean_text
from worker.pronounce import NO_PRONUNCIATIONS, Pronunciations


@dataclass(frozen=True)
class Pause:
    """An exact silence, made in the plan; 0 to 600 s."""

    seconds: float


@dataclass(frozen=True)
class Sentence:
    """Words to speak, on one line.

    Attributes
    ----------
    text : str
        In the customer's own spelling: for lyrics and reports; never empty in a parsed script.
    ends_paragraph : bool
        Whether a blank line follows in the script.
    said_as : str
        What the voice is given, where that is not `text`: with respelled words and performance directions.
    """

    text: str
    ends_paragraph: bool = False
    said_as: str = ""

    @property
    def said(self) -> str:
        """What the voice is given."""
        return self.said_as or self.text


Part = Sentence | Pause


@dataclass(frozen=True)
class Script:
    """A parsed script.

    Attributes
    ----------
    parts : tuple of Sentence or Pause
        In order. Every letter and digit outside tags is in exactly one sentence.
    notes : tuple of str
        One plain sentence for each kind of change.
    """

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def parse_script(
    text: str, *, keeps_directions: bool = False, pronunciations: Pronunciations = NO_PRONUNCIATIONS
) -> Script:
    """Cut a script into sentences and silences.

    Parameters
    ----------
    text : str
        Any text.
    keeps_directions : bool
        Whether the voice knows performance directions such as ``[whispers]``; if not, they are left out.
    pronunciations : Pronunciations
        For what the voice is given.

    Returns
    -------
    Script

    Raises
    ------
    JobError
        If a pause is longer than 600 s, negative, or in no known unit; with code ``script.placeholder`` if a
        placeholder such as ``[Your Name]`` is left in.
    """
    notes: list[str] = []
    tagged = find_tags(clean_text(text, notes), script=text, keeps_directions=keeps_directions, notes=notes)
    parts: list[Part] = []
    for stretch in tagged.stretches:
        for words, ends_paragraph in cut_sentences(stretch.text):
            parts.append(_sentence(words, ends_paragraph, tagged.directions, pronunciations))
        if stretch.ends_paragraph and parts and isinstance(last := parts[-1], Sentence):
            parts[-1] = replace(last, ends_paragraph=True)
        if stretch.pause_s:
            parts.append(Pause(stretch.pause_s))
    return Script(tuple(parts), tuple(notes))


def script_mistakes(text: str) -> list[JobError]:
    """All for which `parse_script` would raise, in order."""
    return refused_tags(clean_text(text, []), script=text)


def _sentence(
    words: str, ends_paragraph: bool, directions: Mapping[str, str], pronunciations: Pronunciations
) -> Sentence:
    words = words.replace(GLUE, " ")
    shown = " ".join("".join(character for character in words if character not in directions).split())
    said = pronunciations.respelled(" ".join(words.split()))
    for mark, direction in directions.items():
        said = re.sub(rf"(?<=\S){mark}", f" {direction}", said).replace(mark, direction)
    return Sentence(shown, ends_paragraph, said if said != shown else "")
