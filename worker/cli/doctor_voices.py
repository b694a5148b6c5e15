"""What `mindscript-worker doctor` finds about configured models and voices: when they end, and whether they exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from worker.cli.doctor_finding import Finding
from worker.config import Config
from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.fallbacks import VoiceName
from worker.vendors import WARNED_DAYS, shutdown_of
from worker.voice_names import NAMELESS, configured_voices, place_of
from worker.voices import PROVIDERS

_LIMIT_S = 6.0
_RESTRICTED = ("missing_permissions", "missing scopes", "insufficient permissions")  # of a key that may not list
_CUSTOM = "voice_"  # OpenAI lists no voices; these are an account's own


@dataclass(frozen=True)
class _Offer:
    """What a service says that it has: its models with the day on which they end, its voices if it lists them."""

    models: Mapping[str, date | None]
    voices: frozenset[str] | None


def examine_voices(config: Config, *, online: bool, today: date | None = None) -> Iterator[Finding]:
    """Check every voice that the settings name or leave; with `online`, ask the services too."""
    today = today or datetime.now(UTC).date()
    offers: dict[str, _Offer | WorkerError] = {}
    for name in configured_voices(config):
        info = PROVIDERS[name.provider]
        what, offer = f"voice {name.model}", None
        if not info.key_variable:
            continue
        if name.voice == NAMELESS:
            yield Finding(what, None, f"jobs that name no voice wait: set {info.voice_variable}")
        if online and getattr(config, info.key_variable.lower()) is not None:
            if info.key_variable not in offers:
                offers[info.key_variable] = _asked(name.provider, config)
            answer = offers[info.key_variable]
            if isinstance(answer, WorkerError):
                yield Finding(what, None if isinstance(answer, TransientError) else False, answer.message)
            else:
                offer = answer
        yield from _ends(what, name, offer, config, today)


def _ends(what: str, name: VoiceName, offer: _Offer | None, config: Config, today: date) -> Iterator[Finding]:
    info = PROVIDERS[name.provider]
    is_own_place = not place_of(name.provider, config)
    if offer is not None and name.model not in offer.models:
        yield Finding(what, False, f"{info.title} has no such model; set {info.model_variable}, or VOICE_FALLBACKS")
        return
    if offer is not None and not _has_voice(name, offer, own_place=is_own_place):
        says = f"the voice {name.voice} is not among the account's; set {info.voice_variable}, or VOICE_FALLBACKS"
        yield Finding(what, False, says)
        return
    known = [shutdown_of(name) if is_own_place else None, None if offer is None else offer.models[name.model]]
    end = min((day for day in known if day is not None), default=None)
    if end is None:
        if offer is not None:
            yield Finding(what, True, f"{name} is offered, and no end is announced")
        return
    left = (end - today).days
    if left > WARNED_DAYS:
        yield Finding(what, True, f"{name} ends on {end}, in {left} days")
        return
    when = f"ended on {end}" if left < 0 else f"ends on {end}, in {left} days"
    instead = [str(rule.to) for rule in config.voice_fallbacks if rule.applies_to(name, own=False)]
    if instead:
        yield Finding(what, None, f"{name} {when}; {instead[0]} speaks then")
    else:
        says = f"{name} {when}; set {info.model_variable} or VOICE_FALLBACKS: see the how-to on January 2027"
        yield Finding(what, None if left >= 0 else False, says)


def _has_voice(name: VoiceName, offer: _Offer, *, own_place: bool) -> bool:
    if name.voice == NAMELESS:
        return True
    if offer.voices is not None:
        return name.voice in offer.voices
    return not own_place or name.voice in PROVIDERS[name.provider].voices or name.voice.startswith(_CUSTOM)


def _asked(provider: str, config: Config) -> _Offer | WorkerError:
    try:
        if provider == "elevenlabs":
            return _elevenlabs(config)
        return _openai(config)
    except WorkerError as error:
        return error


def _openai(config: Config) -> _Offer:
    headers = {"Authorization": f"Bearer {_key('openai', config)}"}
    listed = _get("openai", "/models", headers, config).get("data")
    entries = [entry for entry in _objects(listed) if isinstance(entry.get("id"), str)]
    return _Offer({entry["id"]: _day(entry.get("shutdown_date")) for entry in entries}, None)


def _elevenlabs(config: Config) -> _Offer:
    headers = {"xi-api-key": _key("elevenlabs", config)}
    models = _objects(_get("elevenlabs", "/v1/models", headers, config).get("data"))
    voices = _objects(_get("elevenlabs", "/v1/voices", headers, config).get("voices"))
    speaking = [entry for entry in models if entry.get("can_do_text_to_speech", True)]
    return _Offer(
        {str(entry.get("model_id")): _day(entry.get("shutdown_date")) for entry in speaking},
        frozenset(str(entry.get("voice_id")) for entry in voices),
    )


def _key(provider: str, config: Config) -> str:
    key = getattr(config, PROVIDERS[provider].key_variable.lower())
    return str(key.get_secret_value())


def _get(provider: str, path: str, headers: Mapping[str, str], config: Config) -> dict[str, Any]:
    """Ask for a list; one that is not in an object comes back as its `data`."""
    import httpx

    info = PROVIDERS[provider]
    base = str(getattr(config, info.url_variable.lower()) or info.own_url).rstrip("/")
    try:
        answer = httpx.get(f"{base}{path}", headers=dict(headers), timeout=_LIMIT_S)
        found = answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError) as error:
        says = f"{provider} gave no list ({path}): {type(error).__name__}; look at {info.url_variable} and the network"
        raise TransientError(says) from None
    if answer.status_code in (401, 403):
        if any(word in answer.text.lower() for word in _RESTRICTED):
            raise TransientError(f"not checked: {info.key_variable} is taken, but may not list models and voices")
        raise ConfigurationError(
            f"{provider} refuses the key (it answered {answer.status_code}); check {info.key_variable}: copy it anew"
        )
    if isinstance(found, list):
        return {"data": found}
    if not isinstance(found, dict):
        says = f"{provider} gave no list ({path}): it answered {answer.status_code}; look at {info.url_variable}"
        raise TransientError(says)
    return found


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _day(value: object) -> date | None:
    """A day as a service writes it: seconds since 1970, or a text that begins with the date."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC).date()
        return date.fromisoformat(str(value)[:10]) if value else None
    except (ValueError, OverflowError, OSError):
        return None
