"""OpenAI's voices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.errors import ConfigurationError
from worker.payload.schema import VoiceChoice
from worker.tts import cloud_voice
from worker.tts.cloud_voice import CloudVoice, transport_errors
from worker.tts.samples import write_samples
from worker.tts.service_errors import about_format, check_type, read_reason, too_slow, unreachable
from worker.tts.voice import Utterance

if TYPE_CHECKING:
    from openai import OpenAI

_LIMIT_CHARACTERS = 4096
_SMALL_LIMIT_CHARACTERS = 2000  # of models that take 2,000 tokens; some scripts have a token a letter
_WITHOUT_INSTRUCTIONS = ("tts-1",)  # these and their variants would answer 400
_IN_TOKENS = ("gpt-4o",)
_WITHOUT_SPEED = ("gpt-",)  # these accept `speed` and ignore it
_CUSTOM = "voice_"  # ids of voices that the account has made
_VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
_PCM_HZ = 24_000


class OpenAIVoice(CloudVoice):
    """Speaks with `POST /audio/speech`, streamed to a file, lossless where the service can; see `CloudVoice`."""

    provider = "openai"
    formats = ("flac", "mp3", "wav", "pcm")  # a service at another OPENAI_BASE_URL may not know FLAC
    default_voice = "nova"

    def __init__(self, choice: VoiceChoice, config: Config, **options: Any) -> None:
        super().__init__(choice, config, **options)
        self._sent_speed = 1.0 if self._model.startswith(_WITHOUT_SPEED) else choice.speed
        self.tempo = choice.speed / self._sent_speed
        self.limit_characters = _SMALL_LIMIT_CHARACTERS if self._model.startswith(_IN_TOKENS) else _LIMIT_CHARACTERS
        takes_instructions = not self._model.startswith(_WITHOUT_INSTRUCTIONS)
        self._instructions = choice.instructions if takes_instructions else None
        self._opened: OpenAI | None = None
        renamed = config.openai_voice_map.get(self._voice.lower())
        if renamed is not None or (self._at and self._voice in _VOICES):
            # another service need not know OpenAI's names: the operator can say which of its own to take
            self._voice, self._voice_of_job = renamed or self._voice, False
        voice = f"openai {self._model} {self._voice}{self._at}"
        instructions = f"instructions={self._instructions or ''}"
        self.fingerprint = f"{voice} speed={self._sent_speed:g} {instructions}"
        self.pace_key = f"{voice} {instructions}"

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    def _client(self) -> OpenAI:
        if self._opened is None:
            from openai import OpenAI, Timeout

            self._opened = OpenAI(
                api_key=self._key,
                base_url=self._base_url,
                timeout=Timeout(cloud_voice.READ_S, connect=cloud_voice.CONNECT_S),
                max_retries=0,  # `speak` has the one retry policy
            )
        return self._opened

    def _request(self, utterance: Utterance, into: Path, output_format: str, *, is_last: bool) -> bool:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        optional: dict[str, Any] = {}
        if self._instructions:
            optional["instructions"] = self._instructions
        if not self._model.startswith(_WITHOUT_SPEED):
            optional["speed"] = self._sent_speed
        deadline = time.monotonic() + cloud_voice.PIECE_S
        try:
            with self._client().audio.speech.with_streaming_response.create(
                input=utterance.text,
                model=self._model,
                voice={"id": self._voice} if self._voice.startswith(_CUSTOM) else self._voice,
                response_format=output_format,  # type: ignore[arg-type]
                **optional,
            ) as response:
                check_type("openai", response.headers.get("content-type"))
                # as they arrive: a fixed size would wait for a slow service
                chunks = _in_time(response.iter_bytes(), deadline)
                if output_format == "pcm":
                    write_samples(into, chunks, _PCM_HZ, provider="openai")
                else:
                    with into.open("wb") as file:
                        file.writelines(chunks)
        except APIConnectionError as error:
            raise unreachable("openai", error) from None
        except APIStatusError as error:
            if not is_last and error.status_code < 500 and about_format(read_reason(error.body)):
                return False
            raise self._error(utterance.text, error.status_code, error.body, error.response.headers) from None
        except OpenAIError as error:
            raise ConfigurationError(f"openai: {error}", code="voice.client") from None
        except transport_errors() as error:  # the SDK passes these through while the body is read
            raise unreachable("openai", error) from None
        return True


def _in_time(chunks: Iterator[bytes], deadline: float) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise too_slow("openai", cloud_voice.PIECE_S)
        yield chunk
