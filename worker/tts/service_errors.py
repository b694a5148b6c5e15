"""The errors of voice services: an HTTP answer becomes the error that tells who can put it right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.backoff import retry_after_s
from worker.errors import ConfigurationError, JobError, TransientError, WaitError, WorkerError
from worker.untrusted_json import read_json
from worker.voices import PROVIDERS

# Codes, types and parameters as the services name them. Their sentences are read only to find a text that is too long.
_QUOTA_CODES = {"insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "payment_required"}
_PLAN_CODES = {"paid_plan_required", "subscription_required", "feature_not_available"}
_FORMAT_CODES = {"output_format_not_allowed", "response_format", "output_format"}
_TOO_MANY_CODES = {"too_many_concurrent_requests", "concurrent_limit_exceeded"}
_LENGTH_CODES = {
    "string_above_max_length",
    "string_too_long",
    "text_too_long",
    "input_too_long",
    "max_character_limit_exceeded",
}
_LENGTH_WORDS = ("maximum context length", "input is too long", "too many tokens", "too many characters")
_MODEL_FIELDS, _VOICE_FIELDS = ("model", "model_id"), ("voice", "voice_id")
_TEXT_FIELDS = ("", "input", "text")
_SETTINGS_FIELDS = ("stability", "similarity_boost", "style", "use_speaker_boost", "voice_settings", "instructions")
_PASSING_STATUSES = (408, 409, 425, 429)
_TOO_LARGE = 413
_LONGEST_REASON = 200
_A_QUOTE = 16  # characters of the script in a row


class RewordedError(TransientError):
    """A voice that may choose its own words did not read the text, however often it was asked."""

    default_code = "voice.reworded"


class SpoiltError(TransientError):
    """A voice spoke a piece twice, and neither take can be used."""

    default_code = "voice.spoilt"


class TooManyAtOnceError(WaitError):
    """The account has as many requests at once as its plan allows."""

    default_code = "voice.full"


class PieceTooLongError(ConfigurationError):
    """The service takes less text at once than it was sent."""

    default_code = "voice.too_long"


@dataclass(frozen=True)
class Asked:
    """What a service is asked for, and whether the job named it; what it did not name, the operator must change."""

    provider: str
    voice: str
    model: str
    voice_of_job: bool
    model_of_job: bool


@dataclass(frozen=True)
class Reason:
    """A service's answer, taken apart.

    The codes are what it calls the failure (`code`, `type`, `status`), in lower case; the field is the part of the
    request that it is about, empty where it does not say; the message is its sentence, on one line.
    """

    codes: frozenset[str] = frozenset()
    field: str = ""
    message: str = ""

    @property
    def about_format(self) -> bool:
        """Whether the output format is refused."""
        return bool(self.codes & _FORMAT_CODES) or self.field in _FORMAT_CODES

    @property
    def about_length(self) -> bool:
        """Whether the text is too long."""
        return bool(self.codes & _LENGTH_CODES) or any(words in self.message.lower() for words in _LENGTH_WORDS)

    def names(self, word: str, *, but: str = "\0") -> bool:
        """Whether a code has this word in it, and not the other."""
        return any(word in code and but not in code for code in self.codes)

    def quotes(self, name: str) -> bool:
        """Whether it says no field, but quotes a name that was asked for, as many servers at other addresses do."""
        return not self.field and any(f"{mark}{name}{mark}" in self.message for mark in "'\"`")


def service_error(asked: Asked, text: str, status: int, reason: Reason, headers: Mapping[str, str]) -> WorkerError:
    """Turn a failed HTTP answer into an error; a reason that quotes the text to speak is not passed on."""
    info = PROVIDERS[asked.provider]
    key, model, voice = info.key_variable, asked.model, asked.voice
    says = f"{asked.provider} answered {status}"
    if reason.message and not _quotes(reason.message, text):
        says += f": {reason.message}"
    of_model = (asked.provider, model)
    no_credit = ConfigurationError(f"{says}; the account of {key} has no credit left", code="voice.quota", about=(key,))
    if reason.codes & _QUOTA_CODES:
        return no_credit
    if reason.codes & _PLAN_CODES:
        return ConfigurationError(
            f"{says}; the plan of {key}'s account does not include the voice {voice!r} with the model {model}",
            code="voice.plan",
            about=(*of_model, voice),
        )
    if status in _PASSING_STATUSES or status >= 500:
        header = {name.lower(): value for name, value in headers.items()}.get("retry-after")
        if reason.codes & _TOO_MANY_CODES:
            return TooManyAtOnceError(
                f"{says}; as many requests as the plan of {key}'s account allows are under way",
                retry_after_s=retry_after_s(header),
            )
        return TransientError(says, code="voice.unavailable", retry_after_s=retry_after_s(header))
    if reason.about_format:
        return ConfigurationError(
            f"{says}; none of the formats that are asked for is allowed to {key}", code="voice.format", about=(key,)
        )
    # OpenAI's answer to a model of another endpoint; with another path it is about the base URL
    elsewhere = asked.provider == "openai" and status == 404 and "(POST /v1/audio/speech)" in reason.message
    about_model = reason.field in _MODEL_FIELDS or reason.names("model") or reason.quotes(model)
    if about_model or status == 410 or elsewhere:
        if not asked.model_of_job:
            return ConfigurationError(
                f"{says}; the model {model} was chosen by a setting or by default: set {info.model_variable}",
                code="voice.model",
                about=of_model,
            )
        return JobError(
            f"voice.model: {asked.provider} has no speech model {model!r} ({says})",
            code="voice.model",
            customer_message="The chosen voice model is not available. Please choose another voice.",
        )
    if status == 402:
        return no_credit
    if status in (401, 403):
        return ConfigurationError(f"{says}; check {key} and what it may do", code="voice.key", about=(key,))
    if reason.about_length or status == _TOO_LARGE:
        return PieceTooLongError(f"{says}; {len(text)} characters are too many for the model {model}", about=of_model)
    if reason.field in _VOICE_FIELDS or reason.names("voice", but="setting") or reason.quotes(voice):
        if not asked.voice_of_job:
            return ConfigurationError(
                f"{says}; no customer can change the voice {voice!r}: set {info.voice_variable}"
                f"{', name one for it in OPENAI_VOICE_MAP' if key == 'OPENAI_API_KEY' else ''}, or have the app send "
                "another voice.id",
                code="voice.unknown",
                about=(*of_model, voice),
            )
        return JobError(
            f"voice.id: {asked.provider} has no voice {voice!r} ({says})",
            code="voice.unknown",
            customer_message="The chosen voice is not available any more. Please choose another voice.",
        )
    if status == 404:
        return ConfigurationError(
            f"{says}; nothing answers there as {asked.provider} does: check its base URL",
            code="voice.address",
            about=(info.url_variable,),
        )
    if reason.field in _SETTINGS_FIELDS or any(map(reason.names, ("setting", "stability"))):
        return JobError(
            f"voice.settings: refused by the voice ({says})",
            code="voice.settings",
            customer_message="The chosen voice does not take these settings. Please choose other ones.",
        )
    if reason.field not in _TEXT_FIELDS:
        return ConfigurationError(
            f"{says}; {reason.field} is chosen by this program", code="voice.request", about=of_model
        )
    return JobError(
        f"script: refused by the voice ({says})",
        code="voice.refused",
        customer_message="The voice service would not read this text. Please change the script and try again.",
    )


def _quotes(reason: str, text: str) -> bool:
    length = min(_A_QUOTE, len(text))
    return any(text[at : at + length] in reason for at in range(len(text) - length + 1))


def read_reason(body: Any) -> Reason:
    """Take a service's answer apart: OpenAI's `error`, ElevenLabs' `detail`, or a list of what is invalid."""
    if isinstance(body, str | bytes):
        body = read_json(body)  # None for a proxy's page, which is not worth quoting
    for key in ("error", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, str):
        return Reason(frozenset((body.lower(),)), message=_line(body))
    if not isinstance(body, dict):
        return Reason()
    place = body.get("loc")
    field = body.get("param") or (place[-1] if isinstance(place, list) and place else "")
    return Reason(
        codes=frozenset(
            str(body[key]).lower() for key in ("code", "type", "status", "error") if isinstance(body.get(key), str)
        ),
        field=str(field).rpartition(".")[2].lower(),
        message=_line(next((body[key] for key in ("message", "msg", "status", "code") if body.get(key)), "")),
    )


def _line(words: object) -> str:
    return " ".join(str(words).split())[:_LONGEST_REASON]
