"""A canary in every field of a payload and in every secret setting, looked for at every exit of the program."""

from __future__ import annotations

import io
import json
import logging
import pickle
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from loguru import logger
from pydantic import SecretStr
from rich.console import Console

from worker import logs, masks
from worker.cli.terminal import words
from worker.config import SECRETS, Config
from worker.errors import ConfigurationError, JobError, WorkerError
from worker.job.messages import Failed
from worker.payload.aliases import SPELLINGS
from worker.payload.parse import parse_job
from worker.printable import printable
from worker.queue.claims import Cause, Claim
from worker.queue.leased import LeasedQueue
from worker.service.email import cause_email, failed_email
from worker.service.observers import JobLog
from worker.service.runner import JobResult
from worker.service.state import State

WORD = "quokka"
WRITTEN = f'My "{WORD}" sleeps/soundly & dreams, Zoë.mp3'
FIELDS = sorted({name for names in SPELLINGS.values() for name in names})
KEYS = {name: f"sk-{name.replace('_', '')}-Zq4+7/{number}xYw9" for number, name in enumerate(sorted(SECRETS))}
KEYS["database_url"] = f"postgresql://app:{KEYS['database_url'].replace('/', '%2F')}@db.example:5432/x"
KEYS["sentry_dsn"] = "https://0123456789abcdef@o1.ingest.sentry.io/22"
CANARIES = ["Zq4+7", "Zq4%2B7", "0123456789abcdef"]


@pytest.fixture(autouse=True)
def config(capsys: pytest.CaptureFixture[str]) -> Iterator[Config]:
    """Settings with a canary in each secret; the logs' own set-up, but nothing is sent to Sentry."""
    config = Config(**{name: SecretStr(key) for name, key in KEYS.items()})
    logs._configure(config)
    yield config
    masks.forget()
    logger.remove()
    logging.basicConfig(handlers=[], force=True)


class Rows:
    """A transport that keeps what would be written."""

    name = "postgres"

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def scalar(self, _function: str, arguments: dict[str, Any]) -> str:
        self.written.append(arguments)
        return "held"


def at(name: str, value: object) -> dict[str, Any]:
    """A payload with this value there."""
    *sections, key = name.split(".")
    payload: dict[str, Any] = {}
    inner = payload
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = value
    return payload


def exits(error: Exception, payload_text: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """All that leaves the program when a job has failed with an error, by where it leaves."""
    failed = Failed.of(error).error
    left = {"channel": f"{pickle.dumps(failed)!r} {failed}"}
    claim = Claim("job", "token", 5, "track", "user", payload_text, 0.0)
    rows = Rows()
    LeasedQueue(rows, worker_name="w").resolve_failure(claim, failed)  # type: ignore[arg-type]
    left["row"] = json.dumps(rows.written, ensure_ascii=False)
    result = JobResult(claim, "failed", failed, {}, 1.0)
    capsys.readouterr()
    JobLog().ended(result)
    left["log"] = capsys.readouterr().out
    left["terminal"] = _on_a_terminal(result)
    message = str(failed)
    cause = Cause("openai/tts-1/voice.model", message, datetime.now(UTC), 1)
    for letter in (failed_email("ops@example.com", job_id="job", code="x", message=message, attempts=1),
                   cause_email("ops@example.com", cause, is_fixed=False)):  # fmt: skip
        left[letter.key] = f"{letter.subject} {letter.text} {letter.html}"
    state = State("w", "postgres, leased", causes=(cause,))
    state.own.meet(ConfigurationError(message))
    left["HTTP"] = json.dumps([state.health(), state.readiness()], ensure_ascii=False, default=vars)
    event = {"message": message, "breadcrumbs": {"values": [{"message": message}]}, "extra": {"error": message},
             "exception": {"values": [{"type": type(error).__name__, "value": message}]}}  # fmt: skip
    left["Sentry"] = json.dumps(logs._for_sentry(event, {}), ensure_ascii=False)
    console = Console(file=io.StringIO(), width=500)
    console.print(words(message))
    left["command line"] = console.file.getvalue()  # type: ignore[attr-defined]
    return left


def _on_a_terminal(result: JobResult) -> str:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, real = Terminal(), sys.stderr
    sys.stderr = screen
    try:
        logger.remove()
        logger.add(screen, format=logs._line_format, colorize=True)
        JobLog().ended(result)
    finally:
        sys.stderr = real
        logs._configure(Config(**{name: SecretStr(key) for name, key in KEYS.items()}))
    return screen.getvalue()


def shown_in(left: dict[str, str], *canaries: str) -> list[str]:
    return [where for where, text in left.items() for canary in canaries if canary.lower() in text.lower()]


@pytest.mark.parametrize("value", [WRITTEN, [WRITTEN], {WRITTEN: WRITTEN}], ids=["text", "list", "object"])
def test_the_words_of_a_wrong_field_are_shown_nowhere(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    refused = 0
    for name in FIELDS:
        payload = {"durationMin": -1, **at(name, value)}
        text = json.dumps(payload)
        try:
            parse_job(payload)
        except JobError as error:
            refused += 1
            masks.learn(text)
            at_all = name in ("script", "binaural.band", "voice.id")  # the others at the first exit of a job's only
            left = exits(error, text, capsys) if at_all else {"channel": str(Failed.of(error).error)}
            assert shown_in(left, WORD) == [], name
            named = (name, name.split(".")[0], "durationMin")
            assert any(part in left["channel"] for part in named), "the field is named"
    assert refused == len(FIELDS)


_QUOTINGS = {
    "as it is": WRITTEN,
    "repr": repr(WRITTEN),
    "JSON": json.dumps(WRITTEN),
    "JSON, all of it": json.dumps(WRITTEN, ensure_ascii=False),
    "cut off": f'"{WRITTEN[:14]}"… ({len(WRITTEN)} characters)',
    "upper case": WRITTEN.upper(),
    "one word": f"'{WORD}' is no word",
    "one line": " ".join(WRITTEN.split()),
    "in a URL": f"https://media.example/{quote(WRITTEN)}",
    "wholly quoted": quote(WRITTEN, safe=""),
    "printable": printable(WRITTEN),
    "an object": f"background-music/{WRITTEN} does not exist",
    "its name": f"music.f32: {Path(WRITTEN).name} is damaged",
    "beside a part": f"no {WORD} sleeps soundly & dreams today",
}


@pytest.mark.parametrize(
    "field", ["script", "backgroundMusic.url", "metadata.title", "voice.url", "pronounce.x", "title"]
)
@pytest.mark.parametrize("quoting", _QUOTINGS)
def test_words_that_a_service_quotes_are_shown_nowhere(
    field: str, quoting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({"durationMin": 10, **at(field, WRITTEN)})
    masks.learn(text)
    for kind in (JobError, ConfigurationError):
        message = f"openai answered 400: {_QUOTINGS[quoting]} (req_1)"
        left = exits(kind(message, customer_message=message), text, capsys)
        assert shown_in(left, WORD) == []
        assert "openai answered 400: " in left["log"]
        assert "(req_1)" in left["log"]


def test_what_alerts_look_for_stays_whatever_a_customer_writes(capsys: pytest.CaptureFixture[str]) -> None:
    script = "No configuration.limit: error, failed, configuration of stars"
    masks.learn(json.dumps({"script": script, "music": {"url": "music/configuration/rain.mp3"}}))
    for event in ("music.left_out", "configuration"):
        logger.bind(event=event, code="configuration.limit").error("rain.mp3 is left out: {}", script)
        line = json.loads(capsys.readouterr().out)
        assert (line["event"], line["code"], line["level"]) == (event, "configuration.limit", "error")
        assert "rain" not in line["message"]
        assert "stars" not in line["message"]


@pytest.mark.parametrize("name", KEYS)
def test_the_key_of_a_setting_is_shown_nowhere(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    key = KEYS[name]
    for echo in (key, quote(key), quote(key, safe=""), json.dumps(key), key[:-3], f"{key[:9]}…{key[-4:]}"):
        message = f"openai answered 401: no such key: {echo}, try again"
        left = exits(WorkerError(message, customer_message=message), "{}", capsys)
        assert shown_in(left, *CANARIES, key[-8:]) == [], echo
        assert "openai answered 401" in left["log"]


def test_what_a_trigger_quotes_of_the_row_is_masked_by_the_worker_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The worker has learnt no payload: only the claim knows it."""
    text = json.dumps({"script": WRITTEN})
    error = ConfigurationError(f"the database refuses what is written (no {WORD} sleeps soundly & dreams, P0001)")
    claim, rows = Claim("job", "token", 1, None, None, text, 0.0), Rows()
    LeasedQueue(rows, worker_name="w").resolve_failure(claim, error)  # type: ignore[arg-type]
    assert WORD not in json.dumps(rows.written)
    assert WORD not in str(error)


def test_what_an_operator_must_know_stays() -> None:
    masks.learn(
        {
            "voice": {"provider": "elevenlabs", "id": "21m00Tcm4TlvDq8ikWAM", "model": "eleven_v3"},
            "backgroundMusic": {"url": "https://ref.supabase.co/storage/v1/object/public/background-music/a/rain.mp3"},
            "script": "I am calm.",
        }
    )
    for message in (
        "elevenlabs has no voice '21m00Tcm4TlvDq8ikWAM' with the model eleven_v3",
        "is in bucket 'background-music', which MEDIA_BUCKETS does not list",
        "https://ref.supabase.co does not answer",
        "the render's process died: killed by SIGKILL",
    ):
        assert masks.masked(message) == message
    shown = masks.masked("music: background-music/a/rain.mp3 does not exist")
    assert shown == "music: background-music/<text of 10 characters> does not exist"


def test_a_payload_of_a_megabyte_is_masked_as_it_stands() -> None:
    """Not taken apart: the parts and forms of so much would cost seconds, and hundreds of megabytes."""
    masks.learn(json.dumps({"script": f"{WRITTEN} {'I am calm. ' * 90_000}", "x": [str(n) for n in range(20_000)]}))
    assert masks.masked("refused (sleeps/soundly & dreams) or 'calm'") == (
        "refused (<text of 23 characters>) or '<text of 4 characters>'"
    )


HOSTILE = "a\x1b[31m\x9b2J\x85\u2028\u202e\u2066\u2069\U000e0041\x07\r\n[/b][link=x]z"


def test_only_printable_characters_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    left = exits(JobError(f"binaural.band: found {HOSTILE}"), "{}", capsys)
    for where in ("terminal", "command line"):
        shown = left[where]
        for colour in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[33m"):  # loguru's own
            shown = shown.replace(colour, "")
        assert all(character.isprintable() or character == "\n" for character in shown), where
        assert shown.count("\n") == 1
        assert "[/b][link=x]z" in shown
