"""Which voice speaks in another's place: what `VOICE_FALLBACKS` says, read and asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.voices import PROVIDERS

ANY = "*"
_ARROW = re.compile(r"→|->")
_FORM = "provider/model/voice → provider/model/voice"


@dataclass(frozen=True)
class VoiceName:
    """A voice by name; `ANY` in a part that is left open."""

    provider: str
    model: str
    voice: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}/{self.voice}"


@dataclass(frozen=True)
class Fallback:
    """A rule: where a voice that it names does not speak, another one does."""

    of: VoiceName
    to: VoiceName

    def applies_to(self, name: VoiceName, *, own: bool) -> bool:
        """Whether the rule is about this voice; `own`: it may be a customer's own, which only its name matches."""
        parts = ((self.of.provider, name.provider), (self.of.model, name.model))
        return all(rule in (ANY, part) for rule, part in parts) and (
            self.of.voice == name.voice or (self.of.voice == ANY and not own)
        )


def read_fallbacks(text: str) -> tuple[Fallback, ...]:
    """Read rules, one a line or parted by semicolons.

    A model's name may hold slashes. On the right, `ANY` is the provider's model as for any job, and the same voice.

    Raises
    ------
    ValueError
        Saying which rule cannot be read, and what is allowed.
    """
    return tuple(_rule(rule.strip()) for rule in re.split(r"[;\n]", text) if rule.strip())


def fallbacks_of(rules: Sequence[Fallback], name: VoiceName, *, own: bool) -> list[VoiceName]:
    """Name the voices that speak in this one's place, in the order of the rules, each once."""
    return list(dict.fromkeys(rule.to for rule in rules if rule.applies_to(name, own=own) and rule.to != name))


def _rule(text: str) -> Fallback:
    sides = _ARROW.split(text)
    if len(sides) != 2:
        raise ValueError(f"found {text!r}, a rule is {_FORM}")
    of, to = (_name(side.strip(), text) for side in sides)
    if to.provider == ANY:
        raise ValueError(f"{text!r} does not name the provider that speaks instead")
    return Fallback(of, to)


def _name(text: str, rule: str) -> VoiceName:
    provider, slash, rest = text.partition("/")
    model, second, voice = rest.rpartition("/")
    provider, model, voice = provider.strip().lower(), model.strip(), voice.strip()
    if not (slash and second and provider and model and voice):
        raise ValueError(f"found {rule!r}, a rule is {_FORM}; any part may be {ANY}")
    speaking = [name for name, entry in PROVIDERS.items() if entry.implementation]
    if provider != ANY and provider not in speaking:
        raise ValueError(f"found the provider {provider!r}, allowed is one of {', '.join(speaking)}")
    return VoiceName(provider, model, voice)
