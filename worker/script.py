"""The script: what the customer wrote becomes sentences and exact silences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pause:
    """An exact silence, made in the plan."""

    seconds: float


@dataclass(frozen=True)
class Sentence:
    """Words to speak; never empty. `ends_paragraph` says that a blank line follows in the script."""

    text: str
    ends_paragraph: bool = False


def parse_script(text: str) -> tuple[Sentence | Pause, ...]:
    raise NotImplementedError


def pieces(parts: tuple[Sentence | Pause, ...], limit_characters: int) -> tuple[Sentence | Pause, ...]:
    raise NotImplementedError
