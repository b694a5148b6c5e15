"""The only reader of the environment: variables in, one frozen `Config` out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from worker.errors import ConfigurationError
from worker.fallbacks import Fallback, read_fallbacks
from worker.pronounce import read_pronounce_file
from worker.service_limits import SERVICE_LIMITS, ServiceLimits
from worker.untrusted_json import read_json

_QUOTE = ("'", '"', "`")
_QUOTES = ("''", '""', "``", "“”", "‘’")
_UNREPLACED = re.compile(r"\$[A-Z_][A-Z0-9_]+|\$\{[^{}]*\}|\$?\{\{[^{}]*\}\}|\$\([^()]*\)|%[A-Z_][A-Z0-9_]+%")
_PLACEHOLDER = re.compile(r"[\[<](?:YOUR|MY|PROJECT)[-_ A-Z]*[\]>]", re.IGNORECASE)


def bare(text: str) -> str:
    """A value without the white space and quotes that are easily copied along."""
    text = text.strip()
    for quotes in _QUOTES:
        if len(text) > 1 and (text[0], text[-1]) == tuple(quotes):
            text = text[1:-1].strip()
    return text


def is_unreplaced(text: str) -> bool:
    """Whether a value is the name of a variable that the shell or the host should have replaced."""
    return _UNREPLACED.fullmatch(text) is not None


def _list(value: object) -> object:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _hosts(value: object) -> object:
    return _list(value.lower() if isinstance(value, str) else value)


def _key(value: object) -> object:
    """A secret for an HTTP header: one word, without what was copied along."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        return value
    value = bare(value)
    if any(not 0x21 <= ord(character) <= 0x7E for character in value) or value[:1] in _QUOTE or value[-1:] in _QUOTE:
        raise ValueError(
            "it has a blank, a quote, a line break or another character in it that no key has; copy it again"
        )
    return value


def _voice_map(value: object) -> object:
    """Names by names, as JSON or as ``alloy=af_heart,nova=bf_emma``; those to be replaced in lower case."""
    if isinstance(value, str):
        pairs = [pair.partition("=")[::2] for pair in value.split(",") if pair.strip()]
        value = read_json(value) if value.startswith("{") else dict(pairs)
    if isinstance(value, dict):
        names = {str(name).strip().lower(): voice.strip() for name, voice in value.items() if isinstance(voice, str)}
        if len(names) == len(value) and all(names) and all(names.values()):
            return names
    raise ValueError('it is no map of voice names, such as alloy=af_heart,nova=bf_emma or {"alloy": "af_heart"}')


def _address(value: str) -> str:
    if not re.match(r"https?://[^/]", value, re.IGNORECASE):
        raise ValueError("an address begins with https:// or http://")
    return value


def _long(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_PASSWORD:
        raise ValueError(f"it has fewer than {SHORTEST_PASSWORD} characters: who guesses it sees customers' jobs")
    return value


Address = Annotated[str, AfterValidator(_address)]
Key = Annotated[SecretStr, BeforeValidator(_key)]
LongKey = Annotated[Key, AfterValidator(_long)]


def _pronunciations(value: object) -> object:
    return read_pronounce_file(Path(value)) if isinstance(value, str) else value


Pronounced = Annotated[dict[str, str], BeforeValidator(_pronunciations)]


def _fallbacks(value: object) -> object:
    return read_fallbacks(value) if isinstance(value, str) else value


def _log_level(value: str) -> str:
    if value.upper() not in LOG_LEVELS:
        raise ValueError(f"allowed are {', '.join(LOG_LEVELS)}")
    return value.upper()


SHORTEST_PASSWORD = 24  # characters
LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
LogLevel = Annotated[str, AfterValidator(_log_level)]

Fallbacks = Annotated[tuple[Fallback, ...], BeforeValidator(_fallbacks)]


def _cache_dir() -> Path:
    """Not the job process's temporary folder, which is removed with the job; one of this user, for who shares it."""
    return Path(tempfile.gettempdir()) / f"mindscript-cache-{os.getuid()}"


class Config(BaseModel):
    """Every setting; those of `VARIABLES` are named as their variable in lower case. Empty variables count as absent.

    Secrets are `SecretStr`, so that a config that is logged by mistake shows none of them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    # the queue
    supabase_url: str | None = None
    supabase_service_role_key: Key | None = None
    database_url: SecretStr | None = None
    poll_interval_ms: int = Field(10_000, ge=100, le=600_000)
    max_jobs_per_cycle: int = Field(5, ge=1, le=100)
    worker_concurrency: int = Field(1, ge=1, le=32)
    configuration_limit_h: float = Field(48.0, gt=0, le=8760)
    queue_order: Literal["fair", "fifo"] = "fair"
    purge_after_d: float | None = Field(None, ge=1, le=36_500)
    job_deadline_min: float = Field(10.0, gt=0, le=10_000)
    job_deadline_factor: float = Field(2.0, ge=0, le=100)
    worker_name: str | None = None
    dyno: str | None = None
    mindscript_embedded: Literal["on", "off"] = "on"
    # HTTP
    port: int | None = Field(None, ge=1, le=65535)
    worker_token: Key | None = None
    studio_token: LongKey | None = None
    # voices
    openai_api_key: Key | None = None
    openai_base_url: Address | None = None
    openai_tts_model: str | None = None
    openai_tts_voice: str | None = None
    openai_voice_map: Annotated[dict[str, str], BeforeValidator(_voice_map)] = {}
    elevenlabs_api_key: Key | None = None
    elevenlabs_base_url: Address | None = None
    elevenlabs_tts_model: str | None = None
    elevenlabs_tts_voice: str | None = None
    voice_fallbacks: Fallbacks = ()
    voice_fallback_after_min: float = Field(30.0, ge=0, le=1440)
    speech_parallel: int = Field(4, ge=1, le=32)
    openai_parallel: int | None = Field(None, ge=1, le=1000)
    elevenlabs_parallel: int | None = Field(None, ge=1, le=1000)
    max_characters_per_day: int | None = Field(None, ge=1)
    verify: Literal["off", "report"] = "off"
    tts_cache_bucket: str | None = None
    pronounce_file: Pronounced = Field(default_factory=dict)
    tts_cache_max_mb: int = Field(500, ge=0)
    # music and uploads
    media_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = ()
    media_buckets: Annotated[tuple[str, ...], BeforeValidator(_list)] = ("background-music",)
    voice_buckets: Annotated[tuple[str, ...], BeforeValidator(_list)] = ("voice-uploads", "voice-samples")
    on_missing_music: Literal["without", "fail"] = "without"
    media_max_mb: int = Field(200, ge=1)
    media_cache_max_mb: int = Field(1000, ge=0)
    # rendering and delivery
    ffmpeg: str | None = None
    memory_limit_mb: int | None = Field(None, ge=64)
    limiter_max_db: float = Field(4.0, ge=0, le=30)
    limiter_max_percent: float = Field(1.0, ge=0, le=100)
    render_threads: int | None = Field(None, ge=1, le=256)
    max_script_characters: int = Field(5000, ge=1)
    max_duration_min: float = Field(480.0, gt=0)
    fit: Literal["adapt", "fail"] = "adapt"
    preview_bucket: str = "track-previews"
    preview_url: Literal["public", "path"] = "public"
    preview_seconds: float = Field(15.0, ge=1, le=60)
    storage_dir: Path = Path("out")
    cache_dir: Path = Field(default_factory=_cache_dir)
    # mail and reporting
    resend_api_key: Key | None = None
    resend_from: str | None = None
    resend_api_url: str = "https://api.resend.com"
    ops_email: str | None = None
    app_url: str | None = None
    sentry_dsn: Key | None = None
    log_level: LogLevel = "INFO"
    # no variable: nobody has had to turn these, but tests wait for less
    service_limits: ServiceLimits = SERVICE_LIMITS

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the environment. White space and quotes around a value are left out.

        Raises
        ------
        ConfigurationError
            Naming the variable, what was found (never of a secret) and what is allowed.
        """
        config, problems = cls.read(environ)
        if problems:
            raise problems[0]
        return config

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> tuple[Config, tuple[ConfigurationError, ...]]:
        """Read what can be read: a bad setting counts as absent, and its error is in the list."""
        environ = os.environ if environ is None else environ
        problems: dict[str, str] = {}
        given = {name: bare(environ.get(name.upper(), "")) for name in VARIABLES}
        given = {name: value for name, value in given.items() if value}
        for name, value in given.items():
            # worker.queue.address checks DATABASE_URL
            if name != "database_url" and (is_unreplaced(value) or _PLACEHOLDER.search(value)):
                problems[name] = (
                    "is a variable's name or a placeholder that nothing has replaced; put the real value there"
                )
        given = {name: value for name, value in given.items() if name not in problems}
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                name = str(each["loc"][0])
                found = "" if name in SECRETS else f" (found {each['input']!r})"
                problems.setdefault(name, f"{each['msg'].removeprefix('Value error, ')}{found}")
            config = cls.model_validate({name: value for name, value in given.items() if name not in problems})
        return config, tuple(
            ConfigurationError(f"{name.upper()}: {says}", code="configuration.variable")
            for name, says in problems.items()
        )


def without_secrets(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for another process: without our secrets, which `Config` holds."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if name.lower() not in SECRETS}


def forget_secrets() -> None:
    """Take our secrets out of this process's environment, once `Config` holds them: no child inherits one."""
    for name in SECRETS:
        os.environ.pop(name.upper(), None)


VARIABLES = tuple(name for name in Config.model_fields if name != "service_limits")
SECRETS = frozenset(name for name, field in Config.model_fields.items() if "SecretStr" in str(field.annotation))
