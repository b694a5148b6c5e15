"""ElevenLabs' voices."""

from __future__ import annotations

import time
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.backoff import RetryPolicy, with_retries
from worker.config import Config
from worker.payload.schema import VoiceChoice
from worker.tts.failures import (
    ENOUGH_TO_TELL,
    Asked,
    Reason,
    about_format,
    check_samples,
    check_type,
    read_reason,
    refusal,
    too_slow,
    unreachable,
)
from worker.tts.models import choose_model
from worker.tts.openai_voice import transport_errors
from worker.tts.voice import Utterance

if TYPE_CHECKING:
    from elevenlabs.client import ElevenLabs

DEFAULT_MODEL = "eleven_multilingual_v2"
DEFAULT_VOICE = "21m00Tcm4TlvDq8ikWAM"
SPEED = (0.7, 1.2)  # what the API takes
FORMATS = ("pcm_44100", "mp3_44100_192", "mp3_44100_128")  # best first; which of them depends on the account's plan
DEFAULT_LIMIT_CHARACTERS = 5000
V3_LIMIT_CHARACTERS = 3000
_STITCHED = 3  # the API looks back on so many requests
_V3 = "eleven_v3"  # this and its variants answer 400 to any word of what comes before or after
_CONNECT_S, _READ_S = 10.0, 60.0
_PIECE_S = 180.0
# Chunks as they come: of a fixed size, a drip would keep us waiting.
_REQUEST_OPTIONS: Any = {"max_retries": 0, "chunk_size": None}
_ALL_TRIES_S = 300.0
_PATIENCE = RetryPolicy(failures=4, first_wait_s=0.5, longest_wait_s=8.0)
_CONTEXT = ("previous_request_ids", "previous_text", "next_text")
_STABILITY_STEPS = 2  # eleven_v3 knows 0, 0.5 and 1 only

_allowed: dict[str, int] = {}
"""By key: index into FORMATS of the best format its account has not refused, for the life of the process."""

_refuse_context: set[str] = set()
"""Models that have refused the text before or after a piece, for the life of the process."""


class ElevenLabsVoice:
    """Speaks with `POST /v1/text-to-speech/{voice}`, each piece told what comes before and after it.

    Raises
    ------
    ConfigurationError
        If ELEVENLABS_API_KEY is not set.
    """

    provider = "elevenlabs"

    def __init__(self, choice: VoiceChoice, config: Config, *, retry_policy: RetryPolicy = _PATIENCE) -> None:
        if config.elevenlabs_api_key is None:
            from worker.tts import missing_key

            raise missing_key("elevenlabs", "ELEVENLABS_API_KEY")
        self._key = config.elevenlabs_api_key.get_secret_value()
        self._base_url = config.elevenlabs_base_url
        self._choice = choose_model(
            "elevenlabs", choice.model, setting=config.elevenlabs_tts_model, default=DEFAULT_MODEL
        )
        self._model = self._choice.name
        self._voice = choice.id or DEFAULT_VOICE
        self._voice_by_order = choice.id is not None
        self.speed = choice.speed
        asked_speed = min(max(choice.speed, SPEED[0]), SPEED[1])
        self.tempo = choice.speed / asked_speed
        notes = [*self._choice.notes]
        if asked_speed != choice.speed:
            notes.append(
                f"voice.speed: ElevenLabs goes to {asked_speed:g}; the rest of the way to {choice.speed:g} the speech "
                "was stretched, at the same pitch."
            )
        is_v3 = self._model.startswith(_V3)
        given = choice.settings.model_dump(exclude_none=True)
        if is_v3 and (stability := given.get("stability")) is not None:
            given["stability"] = round(stability * _STABILITY_STEPS) / _STABILITY_STEPS
            if given["stability"] != stability:
                notes.append(
                    f"voice.settings.stability: {self._model} knows 0, 0.5 and 1 only, "
                    f"so {stability:g} became {given['stability']:g}."
                )
        self.notes = tuple(notes)
        self._settings: dict[str, Any] = {**given, "speed": asked_speed}
        self._patience = retry_policy
        self.uses_context = not is_v3 and self._model not in _refuse_context
        self._requests: list[str] = []
        self._spoken_last = ""
        self._opened: ElevenLabs | None = None
        self.limit_characters = V3_LIMIT_CHARACTERS if is_v3 else DEFAULT_LIMIT_CHARACTERS
        told = " ".join(f"{name}={value}" for name, value in sorted(self._settings.items()))
        self.fingerprint = f"elevenlabs {self._model} {self._voice} {told}"
        paced = " ".join(f"{name}={value}" for name, value in sorted(given.items()))
        self.pace_key = f"elevenlabs {self._model} {self._voice} {paced}"

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write the spoken piece as WAV or MP3, in the best format that the account allows."""
        with_retries(
            lambda: self._in_best_format(utterance, into),
            retry_policy=self._patience,
            deadline=time.monotonic() + _ALL_TRIES_S,
        )

    def close(self) -> None:
        """Forget the requests of this script."""
        self._requests.clear()

    def _client(self) -> ElevenLabs:
        if self._opened is None:
            import httpx
            from elevenlabs.client import ElevenLabs

            limits: Any = httpx.Timeout(
                _READ_S, connect=_CONNECT_S
            )  # given to httpx as it is; the client's own is not used
            self._opened = ElevenLabs(
                api_key=self._key, base_url=self._base_url, timeout=limits, httpx_client=httpx.Client()
            )
        return self._opened

    def _in_best_format(self, utterance: Utterance, into: Path) -> None:
        while True:
            index = _allowed.get(self._key, 0)
            if self._once(utterance, into, FORMATS[index], is_last=index + 1 == len(FORMATS)):
                return
            _allowed[self._key] = index + 1

    def _once(self, utterance: Utterance, into: Path, output_format: str, *, is_last: bool) -> bool:
        """Speak in one format; False when the account may not use it."""
        from elevenlabs import VoiceSettings
        from elevenlabs.core.api_error import ApiError

        started = time.monotonic()
        try:
            with self._client().text_to_speech.with_raw_response.convert(
                self._voice,
                text=utterance.text,
                model_id=self._model,
                output_format=output_format,
                voice_settings=VoiceSettings(**self._settings),
                request_options=_REQUEST_OPTIONS,
                **self._context(utterance),
            ) as response:
                check_type("elevenlabs", response.headers.get("content-type"))
                _write(into, response.data, output_format, started + _PIECE_S)
                request_id = response.headers.get("request-id")
        except ApiError as error:
            status = error.status_code or 500
            reason = read_reason(error.body)
            if not is_last and status < 500 and about_format(reason):
                return False
            if self.uses_context and status in (400, 422) and _about_context(reason):
                # the neighbouring text is our addition; the piece can be spoken without it
                _refuse_context.add(self._model)
                self.uses_context = False
                return self._once(utterance, into, output_format, is_last=is_last)
            raise refusal(
                Asked(
                    "elevenlabs",
                    key_variable="ELEVENLABS_API_KEY",
                    model_variable="ELEVENLABS_TTS_MODEL",
                    voice=self._voice,
                    model=self._model,
                    voice_by_order=self._voice_by_order,
                    model_by_order=self._choice.by_order,
                    text=utterance.text,
                ),
                status,
                error.body,
                error.headers or {},
            ) from None
        except transport_errors() as error:  # the SDK passes timeouts and broken connections through
            raise unreachable("elevenlabs", error) from None
        self._requests = [*self._requests, request_id] if request_id else []
        self._spoken_last = utterance.text
        return True

    def _context(self, utterance: Utterance) -> dict[str, Any]:
        """What the piece continues: the requests just made, or, where the last piece came from the cache, its words."""
        if not self.uses_context:
            return {}
        context: dict[str, Any] = {"next_text": utterance.following}
        if utterance.previous == self._spoken_last and self._requests:
            context["previous_request_ids"] = self._requests[-_STITCHED:]
        else:
            self._requests.clear()
            context["previous_text"] = utterance.previous
        return {name: value for name, value in context.items() if value}


def _about_context(reason: Reason) -> bool:
    return reason.field in _CONTEXT or any(name in reason.message for name in _CONTEXT)


def _write(into: Path, chunks: Any, output_format: str, deadline: float) -> None:
    """Stream a body to a file; bare PCM gets a WAV header."""
    with into.open("wb") as file:
        if output_format.startswith("pcm_"):
            with wave.open(file, "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(int(output_format.removeprefix("pcm_")))
                head, rest = b"", b""
                for chunk in _in_time(chunks, deadline):
                    if len(head) < ENOUGH_TO_TELL:
                        head += chunk[:ENOUGH_TO_TELL]
                        check_samples("elevenlabs", head)
                    data = rest + chunk
                    whole = len(data) & ~1
                    sound.writeframesraw(data[:whole])
                    rest = data[whole:]
            return
        for chunk in _in_time(chunks, deadline):
            file.write(chunk)


def _in_time(chunks: Any, deadline: float) -> Any:
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise too_slow("elevenlabs", _PIECE_S)
        yield chunk
