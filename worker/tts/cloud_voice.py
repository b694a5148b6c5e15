"""What the voices of paid services share: key, model, retries, and the best output format that is not refused."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from worker.backoff import RetryPolicy, with_retries
from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.payload.schema import VoiceChoice
from worker.tts.service_errors import Request, service_error
from worker.tts.voice import Utterance
from worker.voices import PROVIDERS, model_owner

CONNECT_S, READ_S = 10.0, 60.0
PIECE_S = 180.0  # for a whole piece of speech, however slowly it arrives
_ALL_TRIES_S = 300.0
_RETRIES = RetryPolicy(failures=4, first_wait_s=0.5, longest_wait_s=8.0)

allowed_formats: dict[str, int] = {}
"""By provider, address and key: index of the best format that has not been refused, for the life of the process."""


class CloudVoice(ABC):
    """A voice behind an HTTP service; a subclass sends the requests.

    Attributes
    ----------
    formats : tuple of str
        Output formats, best first. A service or an account that refuses one is asked for the next.
    default_voice : str
        For a job that names none.

    Raises
    ------
    ConfigurationError
        If the provider's key is not set.
    """

    provider: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    default_voice: ClassVar[str]
    uses_context = False
    takes_directions = False
    limit_characters: int
    fingerprint: str
    pace_key: str

    def __init__(self, choice: VoiceChoice, config: Config, *, retry_policy: RetryPolicy = _RETRIES) -> None:
        info = PROVIDERS[self.provider]
        key: SecretStr | None = getattr(config, info.key_variable.lower())
        if key is None:
            raise ConfigurationError(
                f"voice.provider {self.provider}: {info.key_variable} is not set; set it, "
                'give a recording with --voice FILE, or use "provider": "local"',
                code="configuration.key",
            )
        self._key = key.get_secret_value()
        self._base_url: str | None = getattr(config, info.url_variable.lower())
        self._model_choice = choose_model(
            self.provider, choice.model, setting=getattr(config, info.model_variable.lower())
        )
        self._model = self._model_choice.name
        self._voice = choice.id or self.default_voice
        self._voice_of_job = choice.id is not None
        self._retry_policy = retry_policy
        self.notes = self._model_choice.notes
        self.speed = choice.speed
        self.tempo = 1.0

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write the spoken piece in the best format that the service allows."""
        with_retries(
            lambda: self._in_best_format(utterance, into),
            retry_policy=self._retry_policy,
            deadline=time.monotonic() + _ALL_TRIES_S,
        )

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    def _request(self, utterance: Utterance, into: Path, output_format: str, *, is_last: bool) -> bool:
        """Speak in one format; False when the format is refused and `is_last` does not forbid to say so."""

    def _in_best_format(self, utterance: Utterance, into: Path) -> None:
        who = f"{self.provider} {self._base_url} {self._key}"
        while True:
            index = allowed_formats.get(who, 0)
            if self._request(utterance, into, self.formats[index], is_last=index + 1 == len(self.formats)):
                return
            allowed_formats[who] = index + 1

    def _error(self, text: str, status: int, body: Any, headers: Mapping[str, str]) -> WorkerError:
        """The error for a refused request."""
        request = Request(
            self.provider,
            voice=self._voice,
            model=self._model,
            voice_of_job=self._voice_of_job,
            model_of_job=self._model_choice.of_job,
            text=text,
        )
        return service_error(request, status, body, headers)


@dataclass(frozen=True)
class ModelChoice:
    """The model to ask for.

    Attributes
    ----------
    name : str
    of_job : bool
        Whether the job chose it. If not, a setting or this program did, and a refusal is not the job's fault.
    notes : tuple of str
        What was changed of what the job asked for.
    """

    name: str
    of_job: bool
    notes: tuple[str, ...] = ()


def choose_model(provider: str, stated: str | None, *, setting: str | None) -> ModelChoice:
    """Choose between the setting, the job's model and the provider's default, in this order.

    The app writes ``tts-1`` into every job, whatever its provider. So a name of another provider counts as none, and
    the default's own name in a job counts as our choice: when that model ends, the jobs wait for the operator instead
    of failing one after another.

    Parameters
    ----------
    provider : str
        A key of `PROVIDERS`.
    stated : str or None
        The job's model.
    setting : str or None
        The operator's model.
    """
    info = PROVIDERS[provider]
    foreign = stated is not None and model_owner(stated) not in (None, provider)
    name = setting or (info.default_model if foreign or stated is None else stated)
    of_job = setting is None and not foreign and stated not in (None, info.default_model)
    notes = (f"voice.model: {stated} is no model of {info.title}, so {name} was taken.",) if foreign else ()
    return ModelChoice(name, of_job, notes)


def transport_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP libraries below the services' SDKs; which library it is depends on the SDK's version."""
    import httpx

    errors: tuple[type[Exception], ...] = (httpx.HTTPError,)
    try:
        import httpx2

        errors += (httpx2.HTTPError,)
    except ImportError:
        pass
    return errors
