"""The errors of voice services: an HTTP answer becomes the error that tells who can put it right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.backoff import retry_after_s
from worker.errors import ConfigurationError, JobError, TransientError, WorkerError
from worker.untrusted_json import read_json
from worker.voices import PROVIDERS

# Codes, types and parameters as the services name them. Their sentences are read only to find a text that is too long.
_QUOTA_CODES = ("insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "payment_required")
_PLAN_CODES = ("paid_plan_required", "subscription_required", "feature_not_available")
_FORMAT_CODES = ("output_format_not_allowed", "response_format", "output_format")
_LENGTH_CODES = (
    "string_above_max_length",
    "string_too_long",
    "text_too_long",
    "input_too_long",
    "max_character_limit_exceeded",
)
_LENGTH_WORDS = ("maximum context length", "input is too long", "too many tokens", "too many characters")
_MODEL_FIELDS, _VOICE_FIELDS = ("model", "model_id"), ("voice", "voice_id")
_TEXT_FIELDS = ("", "input", "text")
_SETTINGS_FIELDS = ("stability", "similarity_boost", "style", "use_speaker_boost", "voice_settings", "instructions")
_PASSING_STATUSES = (408, 409, 425, 429)
_TEXT_BYTES = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
HEAD_BYTES = 32
_UNTYPED = ("application/octet-stream", "binary/octet-stream")
_LONGEST_REASON = 200
_A_QUOTE = 16  # characters of the script in a row


class RewordedError(TransientError):
    """A voice that may choose its own words did not read the text, however often it was asked."""

    default_code = "voice.reworded"


class PieceTooLongError(ConfigurationError):
    """The service takes less text at once than it was sent."""

    default_code = "voice.too_long"


@dataclass(frozen=True)
class Request:
    """A request to a voice service, and who chose its parts.

    Attributes
    ----------
    provider : str
        A key of `PROVIDERS`.
    voice, model : str
    voice_of_job, model_of_job : bool
        Whether the job named them; what it did not name, the operator must change.
    text : str
        The text to speak. A reason that quotes it is not passed on.
    """

    provider: str
    voice: str
    model: str
    voice_of_job: bool
    model_of_job: bool
    text: str

    @property
    def key_variable(self) -> str:
        """The setting with the key."""
        return PROVIDERS[self.provider].key_variable

    @property
    def model_variable(self) -> str:
        """The setting with the model."""
        return PROVIDERS[self.provider].model_variable


@dataclass(frozen=True)
class Reason:
    """A service's answer, taken apart.

    Attributes
    ----------
    codes : tuple of str
        What the service calls the failure (`code`, `type`, `status`), in lower case.
    field : str
        Which part of the request it is about; empty where it does not say.
    message : str
        Its sentence, on one line.
    """

    codes: tuple[str, ...]
    field: str
    message: str

    def is_one_of(self, names: tuple[str, ...]) -> bool:
        """Whether a code is among these names."""
        return any(code in names for code in self.codes)


def service_error(request: Request, status: int, body: Any, headers: Mapping[str, str]) -> WorkerError:
    """Turn a failed HTTP answer into an error.

    Parameters
    ----------
    request : Request
    status : int
        HTTP status.
    body : object
        JSON or text.
    headers : mapping
        Of the answer.
    """
    reason = read_reason(body)
    says = f"{request.provider} answered {status}"
    if reason.message and not _quotes(reason.message, request.text):
        says += f": {reason.message}"
    if reason.is_one_of(_QUOTA_CODES):
        return _no_credit(request, says)
    if reason.is_one_of(_PLAN_CODES):
        return ConfigurationError(
            f"{says}; the plan of {request.key_variable}'s account does not include the voice {request.voice!r} "
            f"with the model {request.model}",
            code="voice.plan",
        )
    if status in _PASSING_STATUSES or status >= 500:
        header = {name.lower(): value for name, value in headers.items()}.get("retry-after")
        return TransientError(says, code="voice.unavailable", retry_after_s=retry_after_s(header))
    if about_format(reason):
        return ConfigurationError(
            f"{says}; none of the formats that are asked for is allowed to {request.key_variable}", code="voice.format"
        )
    if _about_model(reason, request, status):
        return _no_model(request, says)
    if status == 402:
        return _no_credit(request, says)
    if status in (401, 403):
        return ConfigurationError(f"{says}; check {request.key_variable} and what it may do", code="voice.key")
    if _about_length(reason):
        return PieceTooLongError(f"{says}; {len(request.text)} characters are too many for the model {request.model}")
    of_voice = reason.field in _VOICE_FIELDS or (not reason.field and _names(reason, request.voice))
    if of_voice or any("voice" in code and "setting" not in code for code in reason.codes):
        return _no_voice(request, says)
    if status == 404:
        return ConfigurationError(
            f"{says}; nothing answers there as {request.provider} does: check its base URL", code="voice.address"
        )
    if reason.field in _SETTINGS_FIELDS or any("setting" in code for code in reason.codes):
        return JobError(
            f"voice.settings: refused by the voice ({says})",
            code="voice.settings",
            customer_message="The chosen voice does not take these settings. Please choose other ones.",
        )
    if reason.field not in _TEXT_FIELDS:
        return ConfigurationError(f"{says}; {reason.field} is chosen by this program", code="voice.request")
    return JobError(
        f"script: refused by the voice ({says})",
        code="voice.refused",
        customer_message="The voice service would not read this text. Please change the script and try again.",
    )


def _no_credit(request: Request, says: str) -> WorkerError:
    return ConfigurationError(f"{says}; the account of {request.key_variable} has no credit left", code="voice.quota")


def _no_model(request: Request, says: str) -> WorkerError:
    if request.model_of_job:
        return JobError(
            f"voice.model: {request.provider} has no speech model {request.model!r} ({says})",
            code="voice.model",
            customer_message="The chosen voice model is not available. Please choose another voice.",
        )
    return ConfigurationError(
        f"{says}; the model {request.model} was chosen by a setting or by default: set {request.model_variable}",
        code="voice.model",
    )


def _no_voice(request: Request, says: str) -> WorkerError:
    if request.voice_of_job:
        return JobError(
            f"voice.id: {request.provider} has no voice {request.voice!r} ({says})",
            code="voice.unknown",
            customer_message="The chosen voice is not available any more. Please choose another voice.",
        )
    return ConfigurationError(
        f"{says}; the voice {request.voice!r} was chosen by a setting or by default: have the app send voice.id"
        + (", or set OPENAI_VOICE_MAP" if request.key_variable == "OPENAI_API_KEY" else ""),
        code="voice.unknown",
    )


def about_format(reason: Reason) -> bool:
    """Whether the service refused the output format."""
    return reason.field in _FORMAT_CODES or reason.is_one_of(_FORMAT_CODES)


def _about_model(reason: Reason, request: Request, status: int) -> bool:
    if reason.field in _MODEL_FIELDS or any("model" in code for code in reason.codes) or status == 410:
        return True
    if not reason.field and _names(reason, request.model):
        return True
    # OpenAI's answer to a model of another endpoint; with another path it is about the base URL
    return request.provider == "openai" and status == 404 and "(POST /v1/audio/speech)" in reason.message


def _names(reason: Reason, value: str) -> bool:
    """Whether the sentence quotes a name that was asked for; many gateways do not say otherwise what they refuse."""
    return any(f"{quote}{value}{quote}" in reason.message for quote in "'\"`")


def _about_length(reason: Reason) -> bool:
    return reason.is_one_of(_LENGTH_CODES) or any(words in reason.message.lower() for words in _LENGTH_WORDS)


def check_type(provider: str, content_type: str | None) -> None:
    """Check the type of an answer: bare PCM would play a page of text as noise.

    Raises
    ------
    TransientError
        If it is neither audio nor of no type at all.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("audio/") and kind not in _UNTYPED:
        raise TransientError(f"{provider} answered with {kind}, which is no sound", code="voice.damaged")


def check_samples(provider: str, head: bytes) -> None:
    """Check the first bytes of bare samples.

    Raises
    ------
    TransientError
        If they are text.
    """
    if len(head) >= HEAD_BYTES and all(byte in _TEXT_BYTES for byte in head[:HEAD_BYTES]):
        raise TransientError(f"{provider} answered with words instead of sound", code="voice.damaged")


def unreachable(provider: str, error: Exception) -> TransientError:
    """Turn a broken connection or a timeout into an error that may pass."""
    return TransientError(f"{provider} cannot be reached: {type(error).__name__}", code="voice.unreachable")


def too_slow(provider: str, seconds: float) -> TransientError:
    """Say that a piece took too long as a whole."""
    return TransientError(f"{provider} did not finish a piece within {seconds:.0f} s", code="voice.slow")


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
        return Reason((body.lower(),), "", _line(body))
    if not isinstance(body, dict):
        return Reason((), "", "")
    codes = tuple(
        str(body[key]).lower() for key in ("code", "type", "status", "error") if isinstance(body.get(key), str)
    )
    place = body.get("loc")
    field = body.get("param") or (place[-1] if isinstance(place, list) and place else "")
    field = str(field).rpartition(".")[2].lower()
    words = next((body[key] for key in ("message", "msg", "status", "code") if body.get(key)), "")
    return Reason(codes, field, _line(words))


def _line(words: object) -> str:
    return " ".join(str(words).split())[:_LONGEST_REASON]
