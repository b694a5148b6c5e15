"""What `mindscript-worker doctor` finds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.config import VARIABLES

_SETTING = re.compile(r"\b(?:" + "|".join(sorted(map(str.upper, VARIABLES), key=len, reverse=True)) + r")\b")


@dataclass(frozen=True)
class Finding:
    """What one check has found, and what to do about it; `good` is None where the worker runs anyway."""

    what: str
    good: bool | None
    says: str


def named_settings(text: str) -> list[str]:
    """The settings that a message names, each once."""
    return list(dict.fromkeys(_SETTING.findall(text)))
