"""What cloud voices answer when they do not speak, sorted as the queue needs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.backoff import retry_after_s
from worker.errors import ConfigurationError, JobError, TransientError, WorkerError

# Codes, types and parameters as the services name them; words of their sentences decide nothing but a length.
_QUOTA_CODES = ("insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "payment_required")
_PLAN_CODES = ("paid_plan_required", "subscription_required", "feature_not_available")
_FORMAT_CODES = ("output_format_not_allowed", "response_format", "output_format")
_LENGTH_CODES = ("string_above_max_length", "text_too_long", "input_too_long", "max_character_limit_exceeded")
_LENGTH_WORDS = ("maximum context length", "input is too long", "too many tokens", "too many characters")
_MODEL_FIELDS, _VOICE_FIELDS = ("model", "model_id"), ("voice", "voice_id")
_TEXT_FIELDS = ("", "input", "text")
_SETTINGS_FIELDS = ("stability", "similarity_boost", "style", "use_speaker_boost", "voice_settings", "instructions")
_PASSING_STATUSES = (408, 409, 425, 429)
_WRITTEN = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
ENOUGH_TO_TELL = 32
_UNTYPED = ("application/octet-stream", "binary/octet-stream")
_LONGEST_REASON = 200
_A_QUOTE = 16  # characters of the script in a row


class PieceTooLongError(ConfigurationError):
    """The service takes less text at once; how much is given to it is our choice, so it is given less."""

    default_code = "voice.too_long"


@dataclass(frozen=True)
class Asked:
    """What a service was asked for, and who chose it.

    Attributes
    ----------
    provider : str
        ``openai`` or ``elevenlabs``.
    key_variable, model_variable : str
        Settings that hold the key and the model.
    voice, model : str
    voice_by_order, model_by_order : bool
        Whether the order named them; what it did not name is for the operator to mend.
    text : str
        What was to be spoken: a reason that quotes it is not passed on.
    """

    provider: str
    key_variable: str
    model_variable: str
    voice: str
    model: str
    voice_by_order: bool
    model_by_order: bool
    text: str


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


def refusal(asked: Asked, status: int, body: Any, headers: Mapping[str, str]) -> WorkerError:
    """Turn an HTTP refusal into the error that says who can mend it.

    Parameters
    ----------
    asked : Asked
    status : int
        HTTP status.
    body : object
        JSON or text.
    headers : mapping
        Of the answer.
    """
    reason = read_reason(body)
    says = f"{asked.provider} answered {status}"
    if reason.message and not _quotes(reason.message, asked.text):
        says += f": {reason.message}"
    if reason.is_one_of(_QUOTA_CODES):
        return _no_credit(asked, says)
    if reason.is_one_of(_PLAN_CODES):
        return ConfigurationError(
            f"{says}; the plan of {asked.key_variable}'s account does not include the voice {asked.voice!r} "
            f"with the model {asked.model}",
            code="voice.plan",
        )
    if status in _PASSING_STATUSES or status >= 500:
        header = {name.lower(): value for name, value in headers.items()}.get("retry-after")
        return TransientError(says, code="voice.unavailable", retry_after_s=retry_after_s(header))
    if about_format(reason):
        return ConfigurationError(
            f"{says}; none of the formats that are asked for is allowed to {asked.key_variable}", code="voice.format"
        )
    if _about_model(reason, asked, status):
        return _no_model(asked, says)
    if status == 402:
        return _no_credit(asked, says)
    if status in (401, 403):
        return ConfigurationError(f"{says}; check {asked.key_variable} and what it may do", code="voice.key")
    if _about_length(reason):
        return PieceTooLongError(f"{says}; {len(asked.text)} characters are too many for the model {asked.model}")
    if reason.field in _VOICE_FIELDS or any("voice" in code and "setting" not in code for code in reason.codes):
        return _no_voice(asked, says)
    if status == 404:
        return ConfigurationError(
            f"{says}; nothing answers there as {asked.provider} does: check its base URL", code="voice.address"
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


def _no_credit(asked: Asked, says: str) -> WorkerError:
    return ConfigurationError(f"{says}; the account of {asked.key_variable} has no credit left", code="voice.quota")


def _no_model(asked: Asked, says: str) -> WorkerError:
    if asked.model_by_order:
        return JobError(
            f"voice.model: {asked.provider} has no speech model {asked.model!r} ({says})",
            code="voice.model",
            customer_message="The chosen voice model is not available. Please choose another voice.",
        )
    return ConfigurationError(
        f"{says}; the model {asked.model} was chosen by a setting or by default: set {asked.model_variable}",
        code="voice.model",
    )


def _no_voice(asked: Asked, says: str) -> WorkerError:
    if asked.voice_by_order:
        return JobError(
            f"voice.id: {asked.provider} has no voice {asked.voice!r} ({says})",
            code="voice.unknown",
            customer_message="The chosen voice is not available any more. Please choose another voice.",
        )
    return ConfigurationError(
        f"{says}; the voice {asked.voice!r} was taken since the order names none: have the app send voice.id",
        code="voice.unknown",
    )


def about_format(reason: Reason) -> bool:
    """Whether a refusal is about the output format."""
    return reason.field in _FORMAT_CODES or reason.is_one_of(_FORMAT_CODES)


def _about_model(reason: Reason, asked: Asked, status: int) -> bool:
    if reason.field in _MODEL_FIELDS or any("model" in code for code in reason.codes) or status == 410:
        return True
    # OpenAI's answer to a model of another endpoint; with another path it is about the base URL
    return asked.provider == "openai" and status == 404 and "(POST /v1/audio/speech)" in reason.message


def _about_length(reason: Reason) -> bool:
    return reason.is_one_of(_LENGTH_CODES) or any(words in reason.message.lower() for words in _LENGTH_WORDS)


def check_type(provider: str, content_type: str | None) -> None:
    """Look at what calls itself speech: bare PCM would take a page of text for noise.

    Raises
    ------
    TransientError
        If it is neither audio nor of no type at all.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("audio/") and kind not in _UNTYPED:
        raise TransientError(f"{provider} answered with {kind}, which is no sound", code="voice.damaged")


def check_samples(provider: str, head: bytes) -> None:
    """Look at the first bytes of what is to be bare samples.

    Raises
    ------
    TransientError
        If they are words.
    """
    if len(head) >= ENOUGH_TO_TELL and all(byte in _WRITTEN for byte in head[:ENOUGH_TO_TELL]):
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
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return Reason((), "", "")  # a proxy's page: nothing worth quoting
    for key in ("error", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, str):
        return Reason((body.lower(),), "", _line(body))
    if not isinstance(body, dict):
        return Reason((), "", "")
    codes = tuple(str(body[key]).lower() for key in ("code", "type", "status") if body.get(key))
    place = body.get("loc")
    field = body.get("param") or (place[-1] if isinstance(place, list) and place else "")
    field = str(field).rpartition(".")[2].lower()
    words = next((body[key] for key in ("message", "msg", "status", "code") if body.get(key)), "")
    return Reason(codes, field, _line(words))


def _line(words: object) -> str:
    return " ".join(str(words).split())[:_LONGEST_REASON]
