"""OpenAI's voices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.errors import ConfigurationError
from worker.payload.schema import VoiceChoice
from worker.tts.cloud_voice import CloudVoice, Refused
from worker.tts.voice import Utterance
from worker.voices import PROVIDERS

if TYPE_CHECKING:
    from openai import OpenAI

_LIMIT_CHARACTERS = 4096
_SMALL_LIMIT_CHARACTERS = 2000  # of models that take 2,000 tokens; some scripts have a token a letter
_WITHOUT_INSTRUCTIONS = ("tts-1",)  # these and their variants would answer 400
_IN_TOKENS = ("gpt-4o",)
_WITHOUT_SPEED = ("gpt-",)  # these accept `speed` and ignore it
_CUSTOM = "voice_"  # ids of voices that the account has made


class OpenAIVoice(CloudVoice):
    """Speaks with `POST /audio/speech`, streamed to a file, lossless where the service can; see `CloudVoice`."""

    provider = "openai"
    formats = ("flac", "mp3", "wav", "pcm_24000")  # a service at another OPENAI_BASE_URL may not know FLAC

    def __init__(self, choice: VoiceChoice, config: Config, **options: Any) -> None:
        super().__init__(choice, config, **options)
        sent_speed = 1.0 if self._model.startswith(_WITHOUT_SPEED) else choice.speed
        self.tempo = choice.speed / sent_speed
        self.limit_characters = _SMALL_LIMIT_CHARACTERS if self._model.startswith(_IN_TOKENS) else _LIMIT_CHARACTERS
        instructions = None if self._model.startswith(_WITHOUT_INSTRUCTIONS) else choice.instructions
        self._optional: dict[str, Any] = {"instructions": instructions} if instructions else {}
        if not self._model.startswith(_WITHOUT_SPEED):
            self._optional["speed"] = sent_speed
        self._opened: OpenAI | None = None
        renamed = config.openai_voice_map.get(self._voice.lower())
        if renamed is not None or (self._at and self._voice in PROVIDERS[self.provider].voices):
            # another service need not know OpenAI's names: the operator can say which of its own to take
            self._take_voice(renamed or self._voice)
        voice, manner = f"openai {self._model} {self._voice}{self._at}", f"instructions={instructions or ''}"
        self.fingerprint = f"{voice} speed={sent_speed:g} {manner}"
        self.pace_key = f"{voice} {manner}"

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    def _client(self) -> OpenAI:
        with self._opening:
            if self._opened is None:
                from openai import DefaultHttpxClient, OpenAI, Timeout

                from worker.tls_context import TLS_CONTEXT

                self._opened = OpenAI(
                    api_key=self._key,
                    base_url=self._base_url,
                    timeout=Timeout(self._limits.voice_silence_s, connect=self._limits.connect_s),
                    max_retries=0,  # `speak` has the one retry policy
                    http_client=DefaultHttpxClient(verify=TLS_CONTEXT),
                )
            return self._opened

    @contextmanager
    def _ask(self, utterance: Utterance, output_format: str) -> Iterator[tuple[str | None, Iterable[bytes]]]:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            with self._client().audio.speech.with_streaming_response.create(
                input=utterance.text,
                model=self._model,
                voice={"id": self._voice} if self._voice.startswith(_CUSTOM) else self._voice,
                response_format=output_format.partition("_")[0],  # type: ignore[arg-type]
                **self._optional,
            ) as response:
                # as they arrive: a fixed size would wait for a slow service
                yield response.headers.get("content-type"), response.iter_bytes()
        except APIConnectionError as error:
            raise self._unreachable(error) from None
        except APIStatusError as error:
            raise Refused(error.status_code, error.body, error.response.headers) from None
        except OpenAIError as error:
            raise ConfigurationError(f"openai: {error}", code="voice.client", about=("openai",)) from None
