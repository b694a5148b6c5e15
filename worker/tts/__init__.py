"""Voices behind one protocol; each is imported when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass

from worker.config import Config
from worker.errors import ConfigurationError
from worker.payload.schema import VoiceChoice
from worker.tts.voice import Utterance, Voice

__all__ = ["Utterance", "Voice", "VoiceInfo", "available_voices", "open_voice"]


@dataclass(frozen=True)
class VoiceInfo:
    """One line of `mindscript-worker voices`."""

    provider: str
    usable: bool
    detail: str


def open_voice(choice: VoiceChoice, config: Config) -> Voice:
    """Open the voice a job asks for.

    Raises
    ------
    ConfigurationError
        If its key or program is missing; says what else would do.
    JobError
        If there is no such voice.
    """
    if choice.provider == "openai":
        from worker.tts.openai_voice import OpenAIVoice

        return OpenAIVoice(choice, config)
    if choice.provider == "elevenlabs":
        from worker.tts.elevenlabs_voice import ElevenLabsVoice

        return ElevenLabsVoice(choice, config)
    if choice.provider == "local":
        from worker.tts.local_voice import LocalVoice

        return LocalVoice(choice.id, choice.speed)
    raise ConfigurationError("voice.provider uploaded is a recording, not a voice that speaks")


def missing_key(provider: str, variable: str) -> ConfigurationError:
    """Say what a cloud voice still needs."""
    return ConfigurationError(
        f"voice.provider {provider}: {variable} is not set; set it, "
        'give a recording with --voice FILE, or use "provider": "local"',
        code="configuration.key",
    )


def available_voices(config: Config) -> list[VoiceInfo]:
    """Tell which voices can be used now, and what each of the others needs."""
    from worker.tts.local_voice import MEND, espeak_path, has_hibari, hibari_voices

    voices = []
    if has_hibari():
        voices.append(VoiceInfo("local", True, f"hibari: {', '.join(hibari_voices())} (offline)"))
    elif espeak_path():
        voices.append(VoiceInfo("local", True, "espeak-ng: any of its voices by name (offline)"))
    else:
        voices.append(VoiceInfo("local", False, MEND))
    for provider, key, variable in (
        ("openai", config.openai_api_key, "OPENAI_API_KEY"),
        ("elevenlabs", config.elevenlabs_api_key, "ELEVENLABS_API_KEY"),
    ):
        if key is None:
            voices.append(VoiceInfo(provider, False, f"needs {variable}"))
        else:
            voices.append(VoiceInfo(provider, True, f"{variable} is set"))
    voices.append(VoiceInfo("uploaded", True, "voice.url in the job, or --voice FILE"))
    return voices
