"""What the voices of paid services share: key, model, retries, and the best output format that is not refused."""

from __future__ import annotations

import math
import random
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.backoff import with_retries
from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.payload.schema import VoiceChoice
from worker.tts.places import Places, account_name, one_place, request_slots
from worker.tts.samples import write_samples
from worker.tts.service_errors import Asked, Reason, TooManyAtOnceError, read_reason, service_error
from worker.tts.voice import Utterance, Voice
from worker.voice_names import default_model, default_voice, place_of, stated_model
from worker.voices import PROVIDERS

_ALL_ATTEMPTS_S = 300.0
_OTHERS_S = 1.0  # until a request of another worker may have ended
_UNTYPED = ("", "application/octet-stream", "binary/octet-stream")

allowed_formats: dict[str, int] = {}
"""By provider, address and key: index of the best format that has not been refused, for the life of the process."""


class Refused(Exception):  # noqa: N818 - an answer; `service_error` says what kind of failure it is
    """The service refused a request: its HTTP status, its body, its headers, and what it was sent that can change."""

    def __init__(
        self, status: int, body: Any, headers: Mapping[str, str], *, sent: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(status)
        self.status, self.body, self.headers, self.sent = status, body, headers, sent or {}


class CloudVoice(Voice):
    """A voice behind an HTTP service; a subclass sends the requests.

    Attributes
    ----------
    formats : tuple of str
        Output formats, best first. A service or an account that refuses one is asked for the next. ``pcm_RATE`` is bare
        16-bit samples.

    Raises
    ------
    ConfigurationError
        If the provider's key is not set, or neither job nor settings name a voice of a provider without a default.
    """

    formats: tuple[str, ...]

    def __init__(self, choice: VoiceChoice, config: Config) -> None:
        info = PROVIDERS[self.provider]
        key, url, setting = (
            getattr(config, name.lower(), None) for name in (info.key_variable, info.url_variable, info.model_variable)
        )
        if key is None:
            raise ConfigurationError(
                f"voice.provider {self.provider}: {info.key_variable} is not set; set it, "
                'give a recording with --voice FILE, or use "provider": "local"',
                code="configuration.key",
                about=(info.key_variable,),
            )
        self._key: str = key.get_secret_value()
        self._base_url: str = url or info.own_url
        place = place_of(self.provider, config)
        self._at = f" at={place}" if place else ""  # in the fingerprint; old pieces of the own address stay good
        # The app writes ``tts-1`` into every job, whatever its provider. So a name of another provider counts as none,
        # and that name as our choice: when the model ends, the jobs wait for the operator instead of failing one after
        # another.
        stated = stated_model(choice.model, self.provider)
        self._model: str = setting or stated or default_model(self.provider, config)
        if stated != choice.model:
            self.notes = (f"voice.model: {choice.model} is no model of {info.title}, so {self._model} was taken.",)
        self._voice: str = choice.id or default_voice(self.provider, config)
        if not self._voice:
            raise ConfigurationError(
                f"voice.id: the job names no voice, and {info.title} has none that stays; set {info.voice_variable}",
                code="configuration.voice",
                about=(info.voice_variable,),
            )
        self._asked = Asked(
            self.provider,
            voice=self._voice,
            model=self._model,
            voice_of_job=choice.id is not None,
            model_of_job=setting is None and stated not in (None, info.default_model, info.compatible_model),
        )
        self._limits = config.service_limits
        self._slots = request_slots[self._account]
        self._places: Places | None = None
        self._most: int | None = getattr(config, info.parallel_variable.lower())
        self._stopped = threading.Event()
        self._opening = threading.Lock()  # for the one client of all threads
        self.speed = choice.speed

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write the spoken piece in the best format that the service allows."""
        deadline = time.monotonic() + _ALL_ATTEMPTS_S
        with_retries(
            lambda: self._speak_in_turn(utterance, into, deadline),
            retry_policy=self._limits.voice_retries,
            deadline=deadline,
            sleep=self._wait,
        )

    def use_places(self, places: Places) -> None:
        """See `Voice.use_places`."""
        self._places = places

    def stop(self) -> None:
        """Try no failed request again."""
        self._stopped.set()

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise TransientError(f"{self.provider}: another piece has failed", code="voice.stopped")

    def _speak_in_turn(self, utterance: Utterance, into: Path, deadline: float) -> None:
        """With as many requests at once as the account may have; to be refused for their number is no failure."""
        while True:
            with self._slots.one(self._most or math.inf), self._place(deadline):
                try:
                    return self._speak_once(utterance, into)
                except TooManyAtOnceError as error:
                    self._slots.lower()
                    wait_s = max(error.retry_after_s or 0.0, random.uniform(0.5, 1.0) * _OTHERS_S)
                    if time.monotonic() + wait_s > deadline:
                        raise
            self._wait(wait_s)

    @contextmanager
    def _place(self, deadline: float) -> Iterator[None]:
        """Hold one of the places that all workers share, where their number is set."""
        if self._places is None or self._most is None:
            yield
            return
        account = account_name(self._base_url, self._key)
        with one_place(self._places, account, self._most, deadline=deadline, wait=self._wait) as is_taken:
            if not is_taken:
                variable = PROVIDERS[self.provider].parallel_variable
                raise TooManyAtOnceError(f"{self.provider}: no place for a request in time ({variable}: {self._most})")
            yield

    def _take_voice(self, name: str) -> None:
        """Take another voice than the one named; that it is refused is then nothing that the customer can change."""
        self._voice = name
        self._asked = replace(self._asked, voice=name, voice_of_job=False)

    @abstractmethod
    def _ask(
        self, utterance: Utterance, output_format: str
    ) -> AbstractContextManager[tuple[str | None, Iterable[bytes]]]:
        """Send one request: the answer's type and its body as it arrives.

        Raises
        ------
        Refused
            The answer is no success.
        """

    def _gives_way(self, refused: Refused, reason: Reason, output_format: str) -> bool:
        """Whether the next request leaves out or changes what was refused; here, the output format."""
        index = self.formats.index(output_format) + 1
        if reason.about_format and index < len(self.formats):
            allowed_formats[self._account] = max(index, allowed_formats.get(self._account, 0))
            return True
        return False

    @property
    def _account(self) -> str:
        return f"{self.provider} {self._base_url} {self._key}"

    def _speak_once(self, utterance: Utterance, into: Path) -> None:
        while True:
            deadline = time.monotonic() + self._limits.voice_piece_s
            output_format = self.formats[allowed_formats.get(self._account, 0)]
            try:
                with self._ask(utterance, output_format) as (content_type, body):
                    self._write(into, content_type, body, output_format, deadline)
                return
            except Refused as refused:
                reason = read_reason(refused.body)
                if refused.status >= 500 or not self._gives_way(refused, reason, output_format):
                    raise service_error(self._asked, utterance.text, refused.status, reason, refused.headers) from None
            except _transport_errors() as error:  # the SDKs pass these through while the body is read
                raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> TransientError:
        at = f" at {urlsplit(self._base_url).netloc.rpartition('@')[2]}" if self._at else ""
        return TransientError(
            f"{self.provider}{at} cannot be reached: {type(error).__name__}", code="voice.unreachable"
        )

    def _write(
        self, into: Path, content_type: str | None, body: Iterable[bytes], output_format: str, deadline: float
    ) -> None:
        """Stream an answer to a file; bare samples get a WAV header."""
        kind = (content_type or "").partition(";")[0].strip().lower()
        if not kind.startswith("audio/") and kind not in _UNTYPED:
            raise TransientError(f"{self.provider} answered with {kind}, which is no sound", code="voice.damaged")
        name, _, rate = output_format.partition("_")
        chunks = self._in_time(body, deadline)
        if name == "pcm":
            write_samples(into, chunks, int(rate), provider=self.provider)
        else:
            with into.open("wb") as file:
                file.writelines(chunks)

    def _in_time(self, body: Iterable[bytes], deadline: float) -> Iterator[bytes]:
        for chunk in body:
            yield chunk
            if time.monotonic() > deadline:
                raise self._too_slow()

    def _too_slow(self) -> TransientError:
        within_s = self._limits.voice_piece_s
        return TransientError(f"{self.provider} did not finish a piece within {within_s:.0f} s", code="voice.slow")


def _transport_errors() -> tuple[type[Exception], ...]:
    """Of the HTTP library that an SDK uses; which one it is depends on the SDK's version."""
    import httpx

    try:
        import httpx2
    except ImportError:
        return (httpx.HTTPError,)
    return httpx.HTTPError, httpx2.HTTPError
