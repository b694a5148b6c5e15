"""Voices of the services' stand-ins, and scripts that they speak."""

from __future__ import annotations

import time

from pydantic import SecretStr
from short_limits import QUICK
from standins.speech import ELEVENLABS_VOICES

from worker.config import Config
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice
from worker.payload.script import parse_script
from worker.tts.cache import SpeechCache
from worker.tts.elevenlabs_voice import ElevenLabsVoice
from worker.tts.openai_voice import OpenAIVoice
from worker.tts.speech import speak_script


def voice(service, provider: str, *, setting: str | None = None, named: str | None = None, limits=QUICK, **choice):
    config = Config(
        openai_tts_model=setting if provider == "openai" else None,
        elevenlabs_tts_model=setting if provider == "elevenlabs" else None,
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=f"{service.url}/v1",
        elevenlabs_api_key=SecretStr("el-test"),
        elevenlabs_base_url=service.url,
        openai_tts_voice=named,
        elevenlabs_tts_voice=named or ELEVENLABS_VOICES[0],
        service_limits=limits,
    )
    kind = OpenAIVoice if provider == "openai" else ElevenLabsVoice
    return kind(VoiceChoice(provider=provider, **choice), config)


PROVIDERS = ("openai", "elevenlabs")


def speak(service, tmp_path, script, *, cache=None, said=None, **choice):
    return speak_parts(script, voice(service, "openai", **choice), tmp_path, cache=cache, said=said)


def speak_parts(script, there, tmp_path, *, cache=None, **options):
    folder = tmp_path / f"job-{time.monotonic_ns()}"
    folder.mkdir()
    return speak_script(
        parse_script(script).parts,
        there,
        cache=cache or SpeechCache(tmp_path / "cache", 100),
        ffmpeg=find_ffmpeg(),
        folder=folder,
        **options,
    )
