"""What speech costs, about, and when models and voices end: the vendors' tables in `vendors.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from worker.fallbacks import VoiceName
from worker.voices import PROVIDERS

WARNED_DAYS = 60


@dataclass(frozen=True)
class VoiceUse:
    """What one voice was used for in a job: characters that it was asked for, and that the cache had of it."""

    name: VoiceName
    asked_characters: int
    cached_characters: int

    @property
    def cents(self) -> float | None:
        """An estimate by list price; 0 for a voice that needs no service, None for a model that is not in the table."""
        if not PROVIDERS[self.name.provider].key_variable or not self.asked_characters:
            return 0.0
        price = _table()["cents_per_1000_characters"].get(self.name.provider, {}).get(self.name.model)
        return None if price is None else round(price * self.asked_characters / 1000, 4)


def speech_figures(uses: Sequence[VoiceUse]) -> dict[str, Any] | None:
    """What a job's speech took, for its report; None where nothing was spoken.

    `provider`, `model` and `voice` are of the voice that spoke: the last one; `cents` is of all, None where a price is
    not known.
    """
    if not uses:
        return None
    cents = [use.cents for use in uses]
    name = uses[-1].name
    return {
        "provider": name.provider,
        "model": name.model,
        "voice": name.voice,
        "characters_asked": sum(use.asked_characters for use in uses),
        "characters_cached": sum(use.cached_characters for use in uses),
        "cents": None if None in cents else round(sum(each for each in cents if each is not None), 4),
        "prices_of": _table()["as_of"].isoformat(),
        "voices": [
            {
                "provider": use.name.provider,
                "model": use.name.model,
                "characters_asked": use.asked_characters,
                "characters_cached": use.cached_characters,
                "cents": use.cents,
            }
            for use in uses
        ],
    }


def shutdown_of(name: VoiceName) -> date | None:
    """The day on which a voice's model, or the voice, ends; None where none was announced by the table's date."""
    table = _table()
    days = (
        table["shutdown"].get(name.provider, {}).get(name.model),
        table["shutdown_of_voices"].get(name.provider, {}).get(name.voice),
    )
    return min((day for day in days if day is not None), default=None)


def days_left(name: VoiceName, *, today: date | None = None) -> int | None:
    """Days until a voice ends, negative after it; None where no end is known."""
    end = shutdown_of(name)
    return None if end is None else (end - (today or datetime.now(UTC).date())).days


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("worker") / "vendors.toml").read_text(encoding="utf-8"))
