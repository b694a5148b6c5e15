"""Logs: one line per event, JSON unless a person is watching. Never a secret, never a customer's script."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any

from loguru import logger

from worker import masks
from worker.config import LOG_LEVELS, Config
from worker.errors import ConfigurationError
from worker.masks import for_terminal

if TYPE_CHECKING:
    from loguru import Message, Record

# Words of this program alone, which dashboards and alerts look for: a customer may write the same.
_OWN = ("time", "level", "event", "code", "outcome", "exception", "trace")


def set_up(config: Config) -> None:
    """Send logs to standard error (a terminal) or to standard output (everything else, as JSON lines).

    Raises
    ------
    ConfigurationError
        If SENTRY_DSN is set and sentry-sdk is not installed.
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
    logger.add(sys.stderr, level="DEBUG" if debug else "ERROR", format=_command_format, backtrace=False)


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


def _configure(config: Config) -> None:
    masks.set_up(config)
    logger.remove()
    style: dict[str, Any] = {"level": config.log_level, "backtrace": False, "diagnose": False}
    if sys.stderr.isatty():
        logger.add(sys.stderr, format=_line_format, colorize=True, **style)
    else:
        logger.add(_write_json, format="{message}", **style)
    logging.basicConfig(handlers=[_FromLogging()], level=logging.WARNING, force=True)


# One write for each line: the worker and its jobs share the stream.
def _write_json(message: Message) -> None:
    event = as_event(message.record)
    shown = {**masks.masked_value(event), **{name: event[name] for name in _OWN if name in event}}
    sys.stdout.write(json.dumps(shown) + "\n")
    sys.stdout.flush()


def _line_format(record: Record) -> str:
    # To a format function loguru adds no traceback, whose text may quote the payload.
    record["extra"]["shown"] = for_terminal(record["message"])  # loguru formats it as text, never as its own markup
    return "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {extra[shown]}\n"


def _command_format(record: Record) -> str:
    record["extra"]["shown"] = for_terminal(record["message"])
    return "{level: <7} {extra[shown]}\n{exception}"


class _FromLogging(logging.Handler):
    """Passes the log records of libraries to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in LOG_LEVELS else "WARNING"
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
    return masks.masked_value(event)
