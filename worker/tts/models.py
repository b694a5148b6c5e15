"""Which model speaks, and who chose it: a model that the order names is the order's, every other one is ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

OWN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("tts-1", "gpt-"),
    "elevenlabs": ("eleven_",),
}
"""Beginnings of the model names that belong to one provider only; any other name may be anybody's."""

TITLES: Final[Mapping[str, str]] = {"openai": "OpenAI", "elevenlabs": "ElevenLabs"}


@dataclass(frozen=True)
class ModelChoice:
    """The model to ask for.

    Attributes
    ----------
    name : str
    by_order : bool
        Whether the order chose it; if not, a setting or this program did, and its refusal is no fault of the order.
    notes : tuple of str
        What was changed of what the order asked for.
    """

    name: str
    by_order: bool
    notes: tuple[str, ...] = ()


def choose_model(provider: str, stated: str | None, *, setting: str | None, default: str) -> ModelChoice:
    """Choose between the setting, the order's model and the default, in this order.

    The app writes ``tts-1`` into every order, whatever its provider. So a name of another provider counts as none,
    and the default's own name in an order counts as our choice: when that model ends, the orders wait for the
    operator instead of failing one after another.

    Parameters
    ----------
    provider : str
        ``openai`` or ``elevenlabs``.
    stated : str or None
        What the order says.
    setting : str or None
        OPENAI_TTS_MODEL or ELEVENLABS_TTS_MODEL.
    default : str
    """
    foreign = stated is not None and owner(stated) not in (None, provider)
    name = setting or (default if foreign or stated is None else stated)
    by_order = setting is None and not foreign and stated not in (None, default)
    if not foreign:
        return ModelChoice(name, by_order)
    note = f"voice.model: {stated} is no model of {TITLES[provider]}, so {name} was taken."
    return ModelChoice(name, by_order, (note,))


def owner(model: str) -> str | None:
    """Name the provider that a model belongs to by its name; None where that does not tell."""
    name = model.strip().lower()
    return next((provider for provider, begins in OWN_NAMES.items() if name.startswith(begins)), None)
