"""Which provider, model and voice speak for a job: what it names, what the settings say, what is left by default."""

from __future__ import annotations

from worker.config import Config
from worker.fallbacks import ANY, VoiceName
from worker.voices import PROVIDERS, model_owner

NAMELESS = "-"  # the model or voice where there is none


def speaker(provider: str, model: str | None, config: Config) -> str:
    """Name the provider that speaks: a Realtime model moves OpenAI's jobs to the API that serves it."""
    if provider != "openai":
        return provider
    named = config.openai_tts_model or model
    if named is None or model_owner(named) not in (None, "openai", "openai-realtime"):
        named = default_model("openai", config)
    return "openai-realtime" if model_owner(named) == "openai-realtime" else "openai"


def stated_model(model: str | None, provider: str) -> str | None:
    """The model that is named, if it can be this provider's."""
    return model if model is not None and model_owner(model) in (None, provider) else None


def default_model(provider: str, config: Config) -> str:
    """The model of a job that names none, where no setting does."""
    info = PROVIDERS[provider]
    return (place_of(provider, config) and info.compatible_model) or info.default_model


def default_voice(provider: str, config: Config) -> str:
    """The voice of a job that names none, by the settings or by default; empty where there is none."""
    info = PROVIDERS[provider]
    named: str | None = getattr(config, info.voice_variable.lower(), None)
    return named or info.default_voice


def place_of(provider: str, config: Config) -> str:
    """The address that the settings name, in one spelling; empty where it is the provider's own."""
    info = PROVIDERS[provider]
    url: str = getattr(config, info.url_variable.lower(), None) or info.own_url
    scheme, separator, rest = url.strip().rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    address = f"{scheme.lower()}{separator}{host.lower()}{slash}{path}"
    return "" if address == info.own_url else address


def name_in_effect(provider: str, model: str | None, voice: str | None, config: Config) -> VoiceName:
    """Name the voice that speaks for what a job names, as `VOICE_FALLBACKS` names it; before OPENAI_VOICE_MAP."""
    provider = speaker(provider, model, config)
    info = PROVIDERS[provider]
    setting: str | None = getattr(config, info.model_variable.lower(), None)
    if provider == "openai-realtime" and setting is not None and model_owner(setting) != provider:
        setting = None  # it is for `/audio/speech`
    named = stated_model(setting, provider) or stated_model(model, provider) or default_model(provider, config)
    voice = voice or default_voice(provider, config) or NAMELESS
    return VoiceName(provider, named or NAMELESS, voice.lower() if voice.lower() in info.voices else voice)


def configured_voices(config: Config) -> list[VoiceName]:
    """The voices that the settings name or leave: of jobs that name none, of the web app's model, and the fallbacks."""
    names: list[VoiceName] = []
    for provider in ("openai", "openai-realtime", "elevenlabs"):
        info = PROVIDERS[provider]
        if getattr(config, info.key_variable.lower()) is not None:
            models = (None, info.compatible_model or None)
            names += [name_in_effect(provider, model, None, config) for model in models]
    for rule in config.voice_fallbacks:
        to = rule.to
        voice = None if to.voice == ANY else to.voice
        if to.model == ANY:
            names.append(name_in_effect(to.provider, None, voice, config))
        else:
            names.append(VoiceName(to.provider, to.model, voice or default_voice(to.provider, config) or NAMELESS))
    return list(dict.fromkeys(names))
