"""Logs: one line per event, JSON unless a person is watching. Never a secret, never a customer's script."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from loguru import logger
from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
_SHORTEST_SECRET = 6
_MASK = "***"
# Keys of OpenAI, Resend and Supabase, JSON web tokens, bearer headers, passwords in addresses and signatures of signed
# URLs are masked by their form, whether or not they are in the configuration.
_LOOKS_SECRET = re.compile(
    r"\b(?:sk|re|sb_secret|sb_publishable|xi)[-_][A-Za-z0-9_-]{12,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{6,}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    r"|(?<=[?&])(?:token|apikey|api_key|key|signature|X-Amz-Signature)=[^\s&\"']+"
)


_secrets: tuple[str, ...] = ()  # to mask in this process


def set_up(config: Config) -> None:
    """Send logs to standard error (a terminal) or to standard output (everything else, as JSON lines).

    Raises
    ------
    ConfigurationError
        If LOG_LEVEL is not a level, or SENTRY_DSN is set and sentry-sdk is not installed.
    """
    _configure(config)
    _set_up_sentry(config)


def set_up_job(config: Config, job_id: str) -> None:
    """Set up logs in a job process: each line has the job's id. Its worker reports errors to Sentry."""
    _configure(config)
    logger.configure(extra={"job": job_id})


def for_a_command(*, debug: bool) -> None:
    """Set up logs of a command: only errors, on standard error; with `debug` all but traces."""
    logger.remove()
    logger.add(sys.stderr, level="DEBUG" if debug else "ERROR", format="{level: <7} {message}", backtrace=False)


def as_event(record: Record) -> dict[str, Any]:
    """Make the JSON object of a log line: time, level, event, message, and the bound values."""
    extra = dict(record["extra"])
    event: dict[str, Any] = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name.lower(),
        "event": extra.pop("event", record["name"]),
        "message": record["message"],
        **extra,
    }
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        # The type and the place, not the text: it may quote the payload.
        event["exception"] = exception.type.__name__
        event["trace"] = _places(exception.traceback)
    return event


def where(error: BaseException) -> str:
    """Return the type of an error and where it was raised, without its text: ``KeyError at mix.py:41``."""
    return " at ".join([type(error).__name__, *_places(error.__traceback__)[-1:]])


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in walk_tb(trace)]


def masked(value: Any, secrets: tuple[str, ...]) -> Any:
    """Replace every secret in a JSON-like value, and everything that looks like one, by ``***``."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _MASK)
        return _LOOKS_SECRET.sub(_MASK, value)
    if isinstance(value, Mapping):
        return {masked(key, secrets): masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, secrets) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # the loudness of silence is -inf, which JSON does not have
    return value if value is None or isinstance(value, bool | int | float) else masked(str(value), secrets)


def secret_values(config: Config) -> tuple[str, ...]:
    """List all secrets of the configuration, longest first, and the passwords in its addresses, quoted and unquoted."""
    secrets: set[str] = set()
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            secrets.add(text)
            secrets.update(_passwords(text))
    return tuple(sorted((secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True))


def _passwords(address: str) -> set[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        password = None
    found = {password, unquote(password)} if password else set()
    for given in re.findall(r"\bpassword\s*=\s*'?([^\s']+)", address):  # libpq's key=value form, or a URL parameter
        found |= {given, given.split("&")[0], unquote(given.split("&")[0])}
    return found


def _configure(config: Config) -> None:
    global _secrets
    level = config.log_level.upper()
    if level not in LEVELS:
        raise ConfigurationError(f"LOG_LEVEL: found {config.log_level!r}, allowed are {', '.join(LEVELS)}")
    _secrets = secret_values(config)
    logger.remove()
    style: dict[str, Any] = {"level": level, "backtrace": False, "diagnose": False}
    if sys.stderr.isatty():
        logger.add(_write_line, format=_line_format, colorize=True, **style)
    else:
        logger.add(_write_json, format="{message}", **style)
    logging.basicConfig(handlers=[_FromLogging()], level=logging.WARNING, force=True)


# One write for each line: the worker and its jobs share the stream.
def _write_json(message: Message) -> None:
    sys.stdout.write(json.dumps(masked(as_event(message.record), _secrets)) + "\n")
    sys.stdout.flush()


def _write_line(message: Message) -> None:
    sys.stderr.write(masked(str(message), _secrets))
    sys.stderr.flush()


def _line_format(record: Record) -> str:
    # To a format function loguru adds no traceback, whose text may quote the payload.
    return "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}\n"


class _FromLogging(logging.Handler):
    """Passes the log records of libraries to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in LEVELS else "WARNING"
        logger.bind(event=record.name).log(level, "{}", record.getMessage())


def _set_up_sentry(config: Config) -> None:
    if config.sentry_dsn is None:
        return
    try:
        import sentry_sdk
    except ImportError:
        raise ConfigurationError(
            "SENTRY_DSN is set, but sentry-sdk is not installed: pip install 'mindscript-audio-worker[sentry]'"
        ) from None
    sentry_sdk.init(
        dsn=config.sentry_dsn.get_secret_value(),
        send_default_pii=False,
        include_local_variables=False,  # they hold scripts and keys
        max_request_body_size="never",
        max_breadcrumbs=20,
        before_send=_for_sentry,
    )


def _for_sentry(event: Any, _hint: dict[str, Any]) -> Any:
    """Mask an event, and remove the texts of exceptions, which may quote the payload."""
    for exception in event.get("exception", {}).get("values", ()):
        exception["value"] = ""
    return masked(event, _secrets)
