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
    key_variable, url_variable, model_variable, voice_variable, parallel_variable : str
        The settings with its key, its address, its model, its voice and how many requests its key may have at once;
        empty for a voice that needs no service.
    default_model, default_voice : str
        For a job that names none, where no setting does. Empty where the vendor has none that stays.
    compatible_model : str
        The model at another address than the provider's own: a name that most services there know. The web app writes
        it into every job, so a job that names it has chosen nothing.
    voices : tuple of str
        Names of the provider's own voices; any other may be a customer's, cloned or uploaded.
    own_url : str
        Its address where the setting names none.
    model_prefixes : tuple of str
        Beginnings of the model names that belong to this provider only; any other name may be anybody's.
    """

    title: str
    implementation: str
    starting_pace_s: float
    key_variable: str = ""
    url_variable: str = ""
    model_variable: str = ""
    voice_variable: str = ""
    parallel_variable: str = ""
    default_model: str = ""
    default_voice: str = ""
    compatible_model: str = ""
    voices: tuple[str, ...] = ()
    own_url: str = ""
    model_prefixes: tuple[str, ...] = ()


_OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"),
)

PROVIDERS: Final[Mapping[str, VoiceProvider]] = MappingProxyType(
    {
        "openai": VoiceProvider(
            "OpenAI",
            "worker.tts.openai_voice:OpenAIVoice",
            starting_pace_s=0.066,
            key_variable="OPENAI_API_KEY",
            url_variable="OPENAI_BASE_URL",
            model_variable="OPENAI_TTS_MODEL",
            voice_variable="OPENAI_TTS_VOICE",
            parallel_variable="OPENAI_PARALLEL",
            default_model="gpt-realtime-2.1-mini",  # every model of /audio/speech ends on 2027-01-06
            default_voice="nova",  # of /audio/speech
            compatible_model="tts-1",
            voices=_OPENAI_VOICES,
            own_url="https://api.openai.com/v1",
            model_prefixes=("tts-1", "gpt-"),
        ),
        "openai-realtime": VoiceProvider(
            "OpenAI's Realtime API",
            "worker.tts.openai_realtime_voice:OpenAIRealtimeVoice",
            starting_pace_s=0.066,
            key_variable="OPENAI_API_KEY",
            url_variable="OPENAI_BASE_URL",
            model_variable="OPENAI_TTS_MODEL",
            voice_variable="OPENAI_TTS_VOICE",
            parallel_variable="OPENAI_PARALLEL",
            default_model="gpt-realtime-2.1-mini",
            default_voice="marin",
            voices=_OPENAI_VOICES,  # three of them by others
            own_url="https://api.openai.com/v1",
            model_prefixes=("gpt-realtime", "gpt-4o-realtime", "gpt-4o-mini-realtime"),
        ),
        "elevenlabs": VoiceProvider(
            "ElevenLabs",
            "worker.tts.elevenlabs_voice:ElevenLabsVoice",
            starting_pace_s=0.068,
            key_variable="ELEVENLABS_API_KEY",
            url_variable="ELEVENLABS_BASE_URL",
            model_variable="ELEVENLABS_TTS_MODEL",
            voice_variable="ELEVENLABS_TTS_VOICE",
            parallel_variable="ELEVENLABS_PARALLEL",
            default_model="eleven_multilingual_v2",
            own_url="https://api.elevenlabs.io",
            model_prefixes=("eleven_",),
        ),
        "uploaded": VoiceProvider("a recording", "", starting_pace_s=0.0),
        "local": VoiceProvider("the local voice", "worker.tts.local_voice:local_voice", starting_pace_s=0.072),
    }
)


def model_owner(model: str) -> str | None:
    """Name the provider that a model's name belongs to, by the longest prefix; None where the name does not tell."""
    name = model.strip().lower()
    owners = {prefix: key for key, provider in PROVIDERS.items() for prefix in provider.model_prefixes}
    return owners.get(max((prefix for prefix in owners if name.startswith(prefix)), key=len, default=""))
