"""ElevenLabs' voices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.payload.schema import VoiceChoice
from worker.tts.cloud_voice import CloudVoice, Refused
from worker.tts.service_errors import Reason
from worker.tts.voice import Utterance

if TYPE_CHECKING:
    from elevenlabs.client import ElevenLabs

_SPEEDS = (0.7, 1.2)  # what the API takes
_LIMIT_CHARACTERS = 5000
_V3_LIMIT_CHARACTERS = 3000
_V3 = "eleven_v3"  # this and its variants answer 400 to any context
_REQUEST_OPTIONS: Any = {"max_retries": 0, "chunk_size": None}  # chunks as they arrive, as in openai_voice
_CONTEXT = ("previous_text", "next_text")
_CONTEXT_NAMES = (*_CONTEXT, "previous_request_ids")
_PERFORM_DIRECTIONS = (_V3, "eleven_v4")  # these and their variants know audio tags
_V3_STABILITIES = (0.0, 0.5, 1.0)
_ONE_OF = re.compile(r"one of\W+(\d[\d., ]*)")

models_without_context: set[str] = set()
"""Models that have refused the text before or after a piece, for the life of the process."""
stabilities_of_models: dict[str, tuple[float, ...]] = {}
"""The only values of `stability` that a model takes, as its refusal said, for the life of the process."""


class ElevenLabsVoice(CloudVoice):
    """Speaks with `POST /v1/text-to-speech/{voice}`; each request names its context; see `CloudVoice`."""

    provider = "elevenlabs"
    formats = ("pcm_44100", "mp3_44100_192", "mp3_44100_128")  # which of them depends on the account's plan

    def __init__(self, choice: VoiceChoice, config: Config, **options: Any) -> None:
        super().__init__(choice, config, **options)
        sent_speed = min(max(choice.speed, _SPEEDS[0]), _SPEEDS[1])
        self.tempo = choice.speed / sent_speed
        if sent_speed != choice.speed:
            self.notes += (
                f"voice.speed: ElevenLabs goes to {sent_speed:g}; the rest of the way to {choice.speed:g} the speech "
                "was stretched, at the same pitch.",
            )
        is_v3 = self._model.startswith(_V3)
        given = choice.settings.model_dump(exclude_none=True)
        if is_v3:
            self._round_stability(given, _V3_STABILITIES)
        self._settings: dict[str, Any] = {**given, "speed": sent_speed}
        self.uses_context = not is_v3 and self._model not in models_without_context
        self.takes_directions = self._model.startswith(_PERFORM_DIRECTIONS)
        self._opened: ElevenLabs | None = None
        self.limit_characters = _V3_LIMIT_CHARACTERS if is_v3 else _LIMIT_CHARACTERS
        voice = f"elevenlabs {self._model} {self._voice}{self._at}"
        self.fingerprint = f"{voice} {_in_words(self._settings)}"
        # what was learnt from a refusal is not in the fingerprint: the pieces of before and after it are the same
        self._round_stability(self._settings, stabilities_of_models.get(self._model, ()))
        self.pace_key = f"{voice} {_in_words(given)}"

    def close(self) -> None:
        """Nothing: the connections end with the process."""

    def _client(self) -> ElevenLabs:
        with self._opening:
            if self._opened is None:
                import httpx
                from elevenlabs.client import ElevenLabs

                from worker.tls_context import TLS_CONTEXT

                # The SDK passes it on to httpx as it is.
                limits: Any = httpx.Timeout(self._limits.voice_silence_s, connect=self._limits.connect_s)
                self._opened = ElevenLabs(
                    api_key=self._key,
                    base_url=self._base_url,
                    timeout=limits,
                    httpx_client=httpx.Client(verify=TLS_CONTEXT),
                )
            return self._opened

    @contextmanager
    def _ask(self, utterance: Utterance, output_format: str) -> Iterator[tuple[str | None, Iterable[bytes]]]:
        from elevenlabs import VoiceSettings
        from elevenlabs.core.api_error import ApiError

        context, settings = self._context(utterance), dict(self._settings)
        try:
            with self._client().text_to_speech.with_raw_response.convert(
                self._voice,
                text=utterance.text,
                model_id=self._model,
                output_format=output_format,
                voice_settings=VoiceSettings(**settings),
                request_options=_REQUEST_OPTIONS,
                **context,
            ) as response:
                yield response.headers.get("content-type"), response.data
        except ApiError as error:
            status, headers = error.status_code or 500, error.headers or {}
            raise Refused(status, error.body, headers, sent={**context, **settings}) from None

    def _gives_way(self, refused: Refused, reason: Reason, output_format: str) -> bool:
        """Also the context, without which the piece can be spoken, and a stability that is none of the model's."""
        if super()._gives_way(refused, reason, output_format):
            return True
        if refused.status not in (400, 422):
            return False
        if _about_context(reason) and not refused.sent.keys().isdisjoint(_CONTEXT):
            models_without_context.add(self._model)
            self.uses_context = False
            return True
        allowed = _allowed_stabilities(reason)
        if allowed and refused.sent.get("stability") not in (None, *allowed):
            stabilities_of_models[self._model] = allowed
            self._round_stability(self._settings, allowed)
            return True
        return False

    def _round_stability(self, settings: dict[str, Any], allowed: tuple[float, ...]) -> None:
        """Bring `stability` to the nearest of the values that a model takes; of two, the one that is farther out."""
        with self._opening:
            stated = settings.get("stability")
            if stated is None or not allowed or stated in allowed:
                return
            settings["stability"] = min(allowed, key=lambda value: (abs(value - stated), -abs(value - 0.5)))
            self.notes += (
                f"voice.settings.stability: {self._model} takes {_in_a_row(allowed)} only, "
                f"so {stated:g} became {settings['stability']:g}.",
            )

    def _context(self, utterance: Utterance) -> dict[str, Any]:
        """What the piece continues, as text: ids of earlier requests would need an order and end after two hours."""
        words = (utterance.previous, utterance.following) if self.uses_context else ()
        return {name: text for name, text in zip(_CONTEXT, words, strict=False) if text}


def _in_words(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(settings.items()))


def _in_a_row(values: tuple[float, ...]) -> str:
    *others, last = (f"{value:g}" for value in values)
    return f"{', '.join(others)} and {last}" if others else last


def _allowed_stabilities(reason: Reason) -> tuple[float, ...]:
    """The values that a refusal says are allowed; none where it is about something else, or names none."""
    if reason.field != "stability" and not reason.names("stability"):
        return ()
    found = _ONE_OF.search(reason.message)
    return tuple(sorted({float(value) for value in re.findall(r"\d+(?:\.\d+)?", found[1])})) if found else ()


def _about_context(reason: Reason) -> bool:
    return reason.field in _CONTEXT_NAMES or any(name in reason.message for name in _CONTEXT_NAMES)
