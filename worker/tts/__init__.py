"""Voices behind one protocol; each is imported when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from worker.config import Config
from worker.errors import ConfigurationError
from worker.payload.schema import VoiceChoice
from worker.tts.voice import Voice
from worker.voice_names import speaker
from worker.voices import PROVIDERS


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
    implementation = PROVIDERS[speaker(choice.provider, choice.model, config)].implementation
    if not implementation:
        raise ConfigurationError("voice.provider uploaded is a recording, not a voice that speaks")
    module, _, name = implementation.partition(":")
    voice: Voice = getattr(import_module(module), name)(choice, config)
    return voice


def available_voices(config: Config) -> list[VoiceInfo]:
    """Tell which voices can be used now, and what the others need."""
    from worker.tts.local_voice import INSTALL_HINT, espeak_path, has_hibari, hibari_voices_with_accents

    local = INSTALL_HINT
    if has_hibari():
        local = f"hibari, English only: {hibari_voices_with_accents()} (offline)"
    elif espeak_path():
        local = "espeak-ng: any of its voices by name (offline)"
    voices = [VoiceInfo("local", local != INSTALL_HINT, local)]
    for name, provider in PROVIDERS.items():
        if variable := provider.key_variable:
            usable = getattr(config, variable.lower()) is not None
            voices.append(VoiceInfo(name, usable, f"{variable} is set" if usable else f"needs {variable}"))
    return [*voices, VoiceInfo("uploaded", True, "voice.url in the job, or --voice FILE")]
