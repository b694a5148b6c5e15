"""OpenAI's voices."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.backoff import RetryPolicy, with_retries
from worker.config import Config
from worker.errors import ConfigurationError
from worker.payload.schema import VoiceChoice
from worker.tts.failures import Asked, about_format, check_type, read_reason, refusal, too_slow, unreachable
from worker.tts.models import choose_model
from worker.tts.voice import Utterance

if TYPE_CHECKING:
    from openai import OpenAI

DEFAULT_MODEL = "tts-1"
DEFAULT_VOICE = "nova"
LIMIT_CHARACTERS = 4096
SMALL_LIMIT_CHARACTERS = 2000  # of models that take 2,000 tokens; some scripts have a token a letter
_WITHOUT_INSTRUCTIONS = ("tts-1",)  # these and their variants would answer 400
_IN_TOKENS = ("gpt-4o",)
_WITHOUT_SPEED = ("gpt-",)  # these take `speed` and speak at their own pace
_CUSTOM = "voice_"  # ids of voices that the account has made
FORMATS = ("flac", "mp3")  # lossless first; a service at another OPENAI_BASE_URL may not know it
_CONNECT_S, _READ_S = 10.0, 60.0
_PIECE_S = 180.0
_ALL_TRIES_S = 300.0
_PATIENCE = RetryPolicy(failures=4, first_wait_s=0.5, longest_wait_s=8.0)

_allowed: dict[str, int] = {}
"""By base URL: index into FORMATS of the best format that its service has not refused, for the life of the process."""


class OpenAIVoice:
    """Speaks with `POST /audio/speech`, streamed to a file, lossless where the service can.

    Raises
    ------
    ConfigurationError
        If OPENAI_API_KEY is not set.
    """

    provider = "openai"
    uses_context = False

    def __init__(self, choice: VoiceChoice, config: Config, *, retry_policy: RetryPolicy = _PATIENCE) -> None:
        if config.openai_api_key is None:
            from worker.tts import missing_key

            raise missing_key("openai", "OPENAI_API_KEY")
        self._key = config.openai_api_key
        self._base_url = config.openai_base_url
        self._choice = choose_model("openai", choice.model, setting=config.openai_tts_model, default=DEFAULT_MODEL)
        self._model = self._choice.name
        self._voice = choice.id or DEFAULT_VOICE
        self._voice_by_order = choice.id is not None
        self.speed = choice.speed
        self._asked_speed = 1.0 if self._model.startswith(_WITHOUT_SPEED) else choice.speed
        self.tempo = choice.speed / self._asked_speed
        self.notes = self._choice.notes
        self.limit_characters = SMALL_LIMIT_CHARACTERS if self._model.startswith(_IN_TOKENS) else LIMIT_CHARACTERS
        takes_instructions = not self._model.startswith(_WITHOUT_INSTRUCTIONS)
        self._instructions = choice.instructions if takes_instructions else None
        self._patience = retry_policy
        self._opened: OpenAI | None = None
        self.fingerprint = (
            f"openai {self._model} {self._voice} speed={self._asked_speed:g} instructions={self._instructions or ''}"
        )
        self.pace_key = f"openai {self._model} {self._voice} instructions={self._instructions or ''}"

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write the spoken piece as FLAC, or as MP3 where the service knows no FLAC."""
        with_retries(
            lambda: self._in_best_format(utterance, into),
            retry_policy=self._patience,
            deadline=time.monotonic() + _ALL_TRIES_S,
        )

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    def _client(self) -> OpenAI:
        if self._opened is None:
            from openai import OpenAI, Timeout

            self._opened = OpenAI(
                api_key=self._key.get_secret_value(),
                base_url=self._base_url,
                timeout=Timeout(_READ_S, connect=_CONNECT_S),
                max_retries=0,  # there is one retry place, and it is ours
            )
        return self._opened

    def _in_best_format(self, utterance: Utterance, into: Path) -> None:
        address = str(self._base_url)
        while True:
            index = _allowed.get(address, 0)
            if self._once(utterance, into, FORMATS[index], is_last=index + 1 == len(FORMATS)):
                return
            _allowed[address] = index + 1

    def _once(self, utterance: Utterance, into: Path, response_format: str, *, is_last: bool) -> bool:
        """Speak in one format; False when the service does not know it."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        optional: dict[str, Any] = {}
        if self._instructions:
            optional["instructions"] = self._instructions
        if not self._model.startswith(_WITHOUT_SPEED):
            optional["speed"] = self._asked_speed
        started = time.monotonic()
        try:
            with (
                self._client().audio.speech.with_streaming_response.create(
                    input=utterance.text,
                    model=self._model,
                    voice={"id": self._voice} if self._voice.startswith(_CUSTOM) else self._voice,
                    response_format=response_format,  # type: ignore[arg-type]
                    **optional,
                ) as response,
                into.open("wb") as file,
            ):
                check_type("openai", response.headers.get("content-type"))
                for chunk in response.iter_bytes():  # as they come: of a fixed size, a drip would keep us waiting
                    file.write(chunk)
                    if time.monotonic() - started > _PIECE_S:
                        raise too_slow("openai", _PIECE_S)
        except APIConnectionError as error:
            raise unreachable("openai", error) from None
        except APIStatusError as error:
            if not is_last and error.status_code < 500 and about_format(read_reason(error.body)):
                return False
            raise refusal(
                Asked(
                    "openai",
                    key_variable="OPENAI_API_KEY",
                    model_variable="OPENAI_TTS_MODEL",
                    voice=self._voice,
                    model=self._model,
                    voice_by_order=self._voice_by_order,
                    model_by_order=self._choice.by_order,
                    text=utterance.text,
                ),
                error.status_code,
                error.body,
                error.response.headers,
            ) from None
        except OpenAIError as error:
            raise ConfigurationError(f"openai: {error}", code="voice.client") from None
        except transport_errors() as error:  # while the body is read, the SDK lets these through
            raise unreachable("openai", error) from None
        return True


def transport_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP libraries below the SDKs: which one they use depends on their version."""
    import httpx

    errors: tuple[type[Exception], ...] = (httpx.HTTPError,)
    try:
        import httpx2

        errors += (httpx2.HTTPError,)
    except ImportError:
        pass
    return errors
