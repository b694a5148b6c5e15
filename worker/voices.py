"""The registry of voices: one entry for each provider that speaks. Payload, settings checks and `voices` follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class VoiceProvider:
    """What is known of a provider before its module is loaded.

    Attributes
    ----------
    title : str
        Its name in sentences.
    implementation : str
        ``module:name`` of what makes its `worker.tts.voice.Voice` of a `VoiceChoice` and a `Config`, such as the class.
        Empty for ``uploaded``, a recording that is not spoken here.
    starting_pace_s : float
        Seconds per character at speed 1, for a voice that has not been measured yet.
    key_variable, url_variable, model_variable : str
        The settings with its key, its address and its model; empty for a voice that needs no service.
    model_prefixes : tuple of str
        Beginnings of the model names that belong to this provider only; any other name may be anybody's.
    """

    title: str
    implementation: str
    starting_pace_s: float
    key_variable: str = ""
    url_variable: str = ""
    model_variable: str = ""
    default_model: str = ""
    model_prefixes: tuple[str, ...] = ()


PROVIDERS: Final[Mapping[str, VoiceProvider]] = MappingProxyType(
    {
        "openai": VoiceProvider(
            "OpenAI",
            "worker.tts.openai_voice:OpenAIVoice",
            starting_pace_s=0.066,
            key_variable="OPENAI_API_KEY",
            url_variable="OPENAI_BASE_URL",
            model_variable="OPENAI_TTS_MODEL",
            default_model="tts-1",
            model_prefixes=("tts-1", "gpt-"),
        ),
        "elevenlabs": VoiceProvider(
            "ElevenLabs",
            "worker.tts.elevenlabs_voice:ElevenLabsVoice",
            starting_pace_s=0.068,
            key_variable="ELEVENLABS_API_KEY",
            url_variable="ELEVENLABS_BASE_URL",
            model_variable="ELEVENLABS_TTS_MODEL",
            default_model="eleven_multilingual_v2",
            model_prefixes=("eleven_",),
        ),
        "uploaded": VoiceProvider("a recording", "", starting_pace_s=0.0),
        "local": VoiceProvider("the local voice", "worker.tts.local_voice:local_voice", starting_pace_s=0.072),
    }
)


def model_owner(model: str) -> str | None:
    """Name the provider that a model's name belongs to; None where the name does not tell."""
    name = model.strip().lower()
    return next((key for key, provider in PROVIDERS.items() if name.startswith(provider.model_prefixes or "\0")), None)
