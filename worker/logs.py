"""Logs: one line per event, JSON unless a person is watching. Never a secret, never a customer's script."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
# What keys and their carriers look like, whoever put them into a message: keys of OpenAI, Resend and Supabase, JSON web
# tokens, bearer headers, passwords in addresses, signatures of signed URLs.
_LOOKS_SECRET = re.compile(
    r"\b(?:sk|re|sb_secret|sb_publishable|xi)[-_][A-Za-z0-9_-]{12,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{6,}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    r"|(?<=[?&])(?:token|apikey|api_key|key|signature|X-Amz-Signature)=[^\s&\"']+"
)


@dataclass
class _Shown:
    """What may be seen in this process."""

    level: int = 0
    secrets: tuple[str, ...] = ()


_shown = _Shown()


def set_up(config: Config) -> None:
    """Send logs to standard error (a terminal) or to standard output (everything else, as JSON lines).

    Raises
    ------
    ConfigurationError
        If LOG_LEVEL is not a level, or SENTRY_DSN is set and sentry-sdk is not there.
    """
    _show(config)
    open_sinks()
    _set_up_sentry(config)


def open_sinks() -> None:
    """Say where the log goes. For the nursery, too: this takes 10 ms that its jobs then save."""
    logger.remove()
    style: dict[str, Any] = {"filter": _is_shown, "level": 0, "backtrace": False, "diagnose": False}
    if sys.stderr.isatty():
        logger.add(_write_line, format=_line_format, colorize=True, **style)
    else:
        logger.add(_write_json, format="{message}", **style)
    logging.basicConfig(handlers=[_FromLogging()], level=logging.WARNING, force=True)


def set_up_job(config: Config, job_id: str) -> None:
    """The same in a job's process, each line with the job's id; what it cannot mend its worker reports to Sentry."""
    _show(config)
    logger.configure(extra={"job": job_id})


def for_a_command(*, debug: bool) -> None:
    """Let a command that a person runs say only what is wrong, on standard error."""
    logger.remove()
    logger.add(sys.stderr, level="DEBUG" if debug else "ERROR", format="{level: <7} {message}", backtrace=False)


def as_event(record: Record) -> dict[str, Any]:
    """Make the JSON object of a log line: time, level, event, message, and what was bound to it."""
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
        # The kind and the place, never the values: a traceback's text may quote the payload.
        event["exception"] = exception.type.__name__
        frames = []
        trace = exception.traceback
        while trace is not None:
            frames.append(f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}")
            trace = trace.tb_next
        event["trace"] = frames
    return event


def where(error: BaseException) -> str:
    """The kind of an error and the place it comes from, without its words: ``KeyError at mix.py:41``."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{type(error).__name__} at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def masked(value: Any, secrets: tuple[str, ...]) -> Any:
    """A JSON-like value with every secret in its texts, and all that looks like one, replaced by ``***``."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _MASK)
        return _LOOKS_SECRET.sub(_MASK, value)
    if isinstance(value, Mapping):
        return {masked(key, secrets): masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, secrets) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # silence has no loudness, and JSON no infinity
    return value if value is None or isinstance(value, bool | int | float) else masked(str(value), secrets)


def secret_values(config: Config) -> tuple[str, ...]:
    """All secrets of the configuration, longest first, and the passwords inside addresses, as written and as meant."""
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
    for given in re.findall(r"\bpassword\s*=\s*'?([^\s']+)", address):  # libpq's key=value form, or a parameter
        found |= {given, given.split("&")[0], unquote(given.split("&")[0])}
    return found


def _show(config: Config) -> None:
    level = config.log_level.upper()
    if level not in LEVELS:
        raise ConfigurationError(f"LOG_LEVEL: found {config.log_level!r}, allowed are {', '.join(LEVELS)}")
    _shown.level = logger.level(level).no
    _shown.secrets = secret_values(config)


def _is_shown(record: Record) -> bool:
    return record["level"].no >= _shown.level


# One write a line: the worker and its jobs share the stream.
def _write_json(message: Message) -> None:
    sys.stdout.write(json.dumps(masked(as_event(message.record), _shown.secrets)) + "\n")
    sys.stdout.flush()


def _write_line(message: Message) -> None:
    sys.stderr.write(masked(str(message), _shown.secrets))
    sys.stderr.flush()


def _line_format(record: Record) -> str:
    # Given as a function, so that loguru adds no traceback: its text may quote the payload.
    return "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}\n"


class _FromLogging(logging.Handler):
    """Passes what libraries log on to our log."""

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
    """Mask an event, and take out what exceptions say: their words may quote the order."""
    for exception in event.get("exception", {}).get("values", ()):
        exception["value"] = ""
    return masked(event, _shown.secrets)
