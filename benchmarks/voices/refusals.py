"""Every answer that a dead, full or peculiar voice gives, as on 2027-01-07: what becomes of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from standins.compatible import compatible_service
from standins.realtime import Handshake, Turn, api_error, realtime_service
from standins.speech import (
    ELEVENLABS_PAID_VOICES,
    ELEVENLABS_VOICES,
    TOO_MANY,
    Answer,
    elevenlabs_refusal,
    openai_refusal,
    speech_service,
)

from benchmarks.voices.jobs import JobEnd, run_job

_SCRIPT = "I am calm.\nI am safe."
_LONG = ", ".join(f"part number {number} of one sentence" for number in range(20)) + "."
_RETIRED = "VR6AewLTigWG4xSOukaG"
_EVER = 99  # more often than anything is asked for
_LINK = "Rate limit reached. See https://platform.openai.com/account/billing and add credit to raise it."
_TO_REALTIME = "elevenlabs/*/* → openai-realtime/gpt-realtime-2.1-mini/marin"
_TO_REALTIME_BY_NAME = f"elevenlabs/*/{_RETIRED} → openai-realtime/gpt-realtime-2.1-mini/marin"
_TO_ELEVENLABS = f"*/*/* → elevenlabs/eleven_v3/{ELEVENLABS_VOICES[1]}"
_OPENAI: Mapping[str, Any] = {"provider": "openai", "model": "tts-1", "id": "nova"}
_ELEVENLABS: Mapping[str, Any] = {"provider": "elevenlabs", "id": ELEVENLABS_VOICES[0]}
_REALTIME: Mapping[str, Any] = {"provider": "openai-realtime"}
_OTHER: Mapping[str, Any] = {"provider": "openai", "id": "nova"}


@dataclass(frozen=True)
class _Case:
    """An answer, and the job that gets it.

    Attributes
    ----------
    says : str
        The answer in words.
    voice : mapping
        Of the job.
    answers : tuple of Answer
        What the job's own service gives before it speaks; `_EVER` of one where it never does.
    rules : str
        `VOICE_FALLBACKS`; empty where the job needs no fallback.
    settings, script
        Of the worker and the job.
    turns, handshakes
        The same as `answers`, of the Realtime API.
    """

    says: str
    voice: Mapping[str, Any]
    answers: tuple[Answer, ...] = ()
    rules: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    script: str = _SCRIPT
    turns: tuple[Turn, ...] = ()
    handshakes: tuple[Handshake, ...] = ()


def _cases() -> Iterator[_Case]:
    def ended(says: str, answer: Answer, voice: Mapping[str, Any] = _OPENAI, **more: Any) -> _Case:
        return _Case(says, voice, (answer,) * _EVER, **{"rules": _TO_ELEVENLABS, **more})

    own = "elevenlabs/*/* → openai-realtime/*/marin"
    yield ended(
        "OpenAI: 404 `model_not_found`",
        openai_refusal(404, "The model `tts-1` does not exist.", code="model_not_found"),
    )
    yield ended("OpenAI: 404 “Invalid URL”, code null", openai_refusal(404, "Invalid URL (POST /v1/audio/speech)"))
    yield ended("OpenAI: 410", openai_refusal(410, "This model has been shut down."))
    yield ended("OpenAI: 400, `param` is `model`", openai_refusal(400, "Not a speech model.", param="model"))
    gone = elevenlabs_refusal(404, "voice_not_found", f"A voice with the voice_id {_RETIRED} was not found.")
    retired = {"elevenlabs_tts_voice": _RETIRED}
    yield ended(
        "ElevenLabs: 404 for the voice that a setting chose",
        gone,
        {"provider": "elevenlabs"},
        rules=own,
        settings=retired,
    )
    yield ended(
        "ElevenLabs: 404 for the voice that the job names",
        gone,
        {**_ELEVENLABS, "id": _RETIRED},
        rules=_TO_REALTIME_BY_NAME,
    )
    paid = {"elevenlabs_tts_voice": ELEVENLABS_PAID_VOICES[0]}
    yield _Case("ElevenLabs: 402 `paid_plan_required`", {"provider": "elevenlabs"}, rules=own, settings=paid)
    closed = Handshake(
        error=api_error("invalid_request_error", "model_not_found", "The model does not exist."),
        code=4004,
        reason="invalid_request_error.model_not_found",
    )
    yield _Case(
        "Realtime API: closes with `model_not_found`", _REALTIME, rules=_TO_ELEVENLABS, handshakes=(closed,) * _EVER
    )
    yield _Case(
        "Realtime API: reads other words, twice", _REALTIME, rules=_TO_ELEVENLABS, turns=(Turn("Sure! {}"),) * _EVER
    )
    yield ended("OpenAI: 503 for longer than VOICE_FALLBACK_AFTER_MIN", Answer(503, b""))
    limited = Answer(
        429, {"error": {"message": _LINK, "type": "requests", "code": "rate_limit_exceeded"}}, {"Retry-After": "0"}
    )
    yield _Case("OpenAI: 429 `rate_limit_exceeded` with a link to billing, twice", _OPENAI, (limited,) * 2)
    yield _Case("ElevenLabs: 429 `too_many_concurrent_requests`, once", _ELEVENLABS, (TOO_MANY,))
    context = elevenlabs_refusal(
        400, "unsupported_model", "Providing previous_request_ids is not yet supported with this model."
    )
    yield _Case("ElevenLabs: 400 `unsupported_model` about context", _ELEVENLABS, (context,))
    steps = elevenlabs_refusal(
        400, "invalid_ttd_stability", "Invalid TTD stability value. Must be one of: [0.0, 0.5, 1.0]"
    )
    stable = {**_ELEVENLABS, "model": "eleven_v4", "settings": {"stability": 0.7}}
    yield _Case("ElevenLabs: 400 stability not in steps", stable, (steps,))
    long = openai_refusal(400, "This model's maximum context length is 2000 tokens.", param="input")
    yield _Case("OpenAI: 400 too many tokens", _OPENAI, (long,), script=_LONG)
    plan = elevenlabs_refusal(400, "max_character_limit_exceeded", "The plan allows 500 characters a request.")
    yield _Case("ElevenLabs: 400 the plan's limit of characters", _ELEVENLABS, (plan,), script=_LONG)
    yield _Case("ElevenLabs is asked for `tts-1`", {**_ELEVENLABS, "model": "tts-1"})
    yield ended("OpenAI: 401", openai_refusal(401, "Incorrect API key provided.", code="invalid_api_key"), rules="")


def refusals(say: Callable[[str], None]) -> None:
    """Print what becomes of a job without a fallback, and with one."""
    say("| answer | without a fallback | with one |\n|---|---|---|")
    for case in _cases():
        say(f"| {case.says} | {_told(_run(case, ''))} | {_told(_run(case, case.rules)) if case.rules else '–'} |")
    with compatible_service() as service:
        there = {"openai_base_url": service.url}
        job = {"script": _SCRIPT, "voice": _OTHER}
        say(f"| another service: no such model | {_told(run_job(job, **there))} | – |")
        told = _told(run_job(job, openai_tts_model="kokoro", **there))
        say(f"| another service: no such voice | {told} | – |")
        told = _told(run_job(job, openai_tts_model="kokoro", openai_voice_map={"nova": "af_heart"}, **there))
        say(f"| the same with `OPENAI_VOICE_MAP` | {told} | – |")


def _run(case: _Case, rules: str) -> JobEnd:
    with ExitStack() as stack:
        own, other, realtime = (
            stack.enter_context(service()) for service in (speech_service, speech_service, realtime_service)
        )
        own.answers = list(case.answers)
        realtime.turns, realtime.handshakes = list(case.turns), list(case.handshakes)
        # the service that is asked first is the one that answers so; the fallback's is in order
        is_elevenlabs = case.voice["provider"] == "elevenlabs"
        is_realtime = is_elevenlabs or case.voice["provider"] == "openai-realtime"
        return run_job(
            {"script": case.script, "voice": dict(case.voice)},
            rules=rules,
            openai_base_url=realtime.url if is_realtime else f"{own.url}/v1",
            elevenlabs_base_url=own.url if is_elevenlabs else other.url,
            **case.settings,
        )


def _told(ended: JobEnd) -> str:
    if not ended.spoken_by:
        return ended.how
    changed = [note for note in ended.notes if note.startswith("voice")]
    return f"delivered by {ended.spoken_by}" + (f"; {len(changed)} note{'s' * (len(changed) > 1)}" if changed else "")
