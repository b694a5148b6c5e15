"""What is in the log, and what never is."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from loguru import logger
from pydantic import SecretStr

from worker import logs
from worker.config import Config
from worker.errors import ConfigurationError, JobError
from worker.queue.claims import Claim
from worker.service.observers import JobLog, JobObserver
from worker.service.runner import JobResult
from worker.service.worker import Worker

SECRETS = Config(
    supabase_service_role_key=SecretStr("service-role-value"),
    database_url=SecretStr("postgresql://app:p%40ss%22word@db:5432/x"),
    openai_api_key=SecretStr('open"ai\\key'),
    worker_token=SecretStr("short"),
)
CLAIM = Claim("job-1", "token", 2, "track-1", None, '{"script": "I am at peace"}', 1.25)


class Out:
    """What went to standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().out
        return self._text


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Iterator[Out]:
    yield Out(capsys)
    logger.remove()
    logger.configure(extra={})
    logging.basicConfig(handlers=[], force=True)


def lines(out: Out) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_event(out: Out) -> None:
    logs.set_up(Config())
    logger.bind(event="rescued", count=3).info("rescued {} jobs\nof dead workers", 3)
    line = lines(out)[0]
    assert line["event"] == "rescued"
    assert (line["level"], line["count"]) == ("info", 3)
    assert line["message"] == "rescued 3 jobs\nof dead workers"
    assert line["time"].endswith("+00:00") or "T" in line["time"]


def test_log_level_is_kept_to_and_checked(out: Out) -> None:
    logs.set_up(Config(log_level="warning"))
    logger.info("not this")
    logger.warning("this")
    assert [line["message"] for line in lines(out)] == ["this"]
    with pytest.raises(ConfigurationError, match=r"LOG_LEVEL: allowed are TRACE, .* \(found 'LOUD'\)"):
        Config.from_environ({"LOG_LEVEL": "LOUD"})


def test_no_secret_of_the_configuration_is_written(out: Out) -> None:
    logs.set_up(SECRETS)
    logger.bind(header="service-role-value", nested={"deep": ['open"ai\\key']}).error('p@ss"word p%40ss%22word')
    text = out.getvalue()
    for secret in ("service-role-value", "p@ss", "p%40ss", 'pen\\"ai'):
        assert secret not in text
    line = lines(out)[0]
    assert (line["header"], line["nested"], line["message"]) == ("***", {"deep": ["***"]}, "*** ***")


def test_an_exception_shows_its_place_and_not_its_words(out: Out) -> None:
    logs.set_up(Config())
    try:
        {}["I am at peace"]
    except KeyError as error:
        logger.opt(exception=error).error("failed: {}", logs.where(error))
    line = lines(out)[0]
    assert "I am at peace" not in out.getvalue()
    assert line["exception"] == "KeyError"
    assert line["trace"][0].startswith("test_logs.py:")
    assert line["message"].startswith("failed: KeyError at test_logs.py:")


def test_warnings_of_libraries_are_logged_and_their_info_is_not(out: Out) -> None:
    logs.set_up(Config())
    logging.getLogger("httpx").info("GET https://…")
    logging.getLogger("httpx").warning("slow")
    assert [(line["event"], line["message"]) for line in lines(out)] == [("httpx", "slow")]


def test_a_job_has_one_line_with_its_figures(out: Out) -> None:
    logs.set_up(Config())
    summary = {"stages": {"speak": 1.5}, "lufs": -16.02, "dbtp": float("-inf"), "title": "Mine", "quality": {"x": 1}}
    JobLog().ended(JobResult(CLAIM, "completed", None, summary, 4.2))
    (line,) = lines(out)
    assert line["event"] == "job"
    assert (line["job"], line["track"], line["attempt"], line["outcome"]) == ("job-1", "track-1", 2, "completed")
    assert (line["stages"], line["lufs"], line["dbtp"]) == ({"speak": 1.5}, -16.02, None)
    assert (line["seconds"], line["waited_s"], line["level"]) == (4.2, 1.25, "info")
    assert "I am at peace" not in out.getvalue()
    assert "Mine" not in out.getvalue()


def test_a_failed_job_says_why(out: Out) -> None:
    logs.set_up(Config())
    JobLog().ended(JobResult(CLAIM, "failed", JobError("bpm: 300 is above 200", code="job.invalid"), {}, 0.1))
    (line,) = lines(out)
    assert (line["level"], line["code"]) == ("warning", "job.invalid")
    assert "bpm: 300 is above 200" in line["message"]


def test_an_observer_that_raises_does_not_affect_the_next(out: Out) -> None:
    class Broken(JobObserver):
        def ended(self, ended: JobResult) -> None:
            raise ZeroDivisionError("I am at peace")

    logs.set_up(Config())
    worker = Worker(Config(), Mock(), observers=[Broken(), JobLog()])
    worker._ended(JobResult(CLAIM, "completed", None, {}, 0.1))
    assert [line["event"] for line in lines(out)] == ["watch.bug", "job"]
    assert "I am at peace" not in out.getvalue()


def test_a_terminal_gets_lines_for_people(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    logs.set_up(SECRETS)
    logger.info("hello service-role-value")
    assert "hello ***\n" in screen.getvalue()
    assert "{" not in screen.getvalue()
    assert out.getvalue() == ""


def test_sentry_gets_no_secrets_and_no_texts_of_errors() -> None:
    logs._configure(SECRETS)
    event = {
        "message": "key service-role-value",
        "exception": {"values": [{"type": "KeyError", "value": "I am at peace"}]},
    }
    sent = json.dumps(logs._for_sentry(event, {}))
    assert "service-role-value" not in sent
    assert "I am at peace" not in sent
    assert "KeyError" in sent
