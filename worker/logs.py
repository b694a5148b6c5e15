"""Logs: one line per event, JSON unless a person is watching. Never a secret, never a customer's script."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from loguru import logger
from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
_SHORTEST_SECRET = 6
_MASK = "***"


def set_up(config: Config) -> None:
    """Send logs to standard error (a terminal) or to standard output (everything else, as JSON lines).

    Raises
    ------
    ConfigurationError
        If LOG_LEVEL is not a level.
    """
    level = config.log_level.upper()
    if level not in LEVELS:
        raise ConfigurationError(f"LOG_LEVEL: found {config.log_level!r}, allowed are {', '.join(LEVELS)}")
    secrets = secret_values(config)

    def masked(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, _MASK)
        return text

    def write_json(message: Message) -> None:
        print(masked(json.dumps(as_event(message.record), default=str)), flush=True)

    def write_line(message: Message) -> None:
        print(masked(str(message)), end="", file=sys.stderr, flush=True)

    logger.remove()
    if sys.stderr.isatty():
        shown = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}"
        logger.add(write_line, level=level, format=shown, colorize=True, backtrace=False, diagnose=False)
    else:
        logger.add(write_json, level=level, format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_FromLogging()], level=logging.WARNING, force=True)
    _set_up_sentry(config)


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


def secret_values(config: Config) -> tuple[str, ...]:
    """All secrets of the configuration, longest first, and the passwords inside URLs."""
    secrets = set()
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            secrets.add(text)
            if "://" in text and "@" in text and ":" in text.split("://", 1)[1].rsplit("@", 1)[0]:
                secrets.add(text.split("://", 1)[1].rsplit("@", 1)[0].split(":", 1)[1])
    return tuple(sorted((secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True))


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
    )
