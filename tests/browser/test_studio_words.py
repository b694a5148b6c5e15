"""Changed words in the studio's page: nobody is asked to speak them until the user has said so, and knows how many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from standins.speech import Service, speech_service
from studio_server import served_studio
from waiting import until

from worker.config import Config
from worker.studio.server import StudioServer

JOB = {"script": "I am calm.", "voice": {"provider": "openai"}, "durationMin": 0.3, "solfeggio": {"hz": 528}}
WORDS = "I let this day go."


@pytest.fixture
def service() -> Iterator[Service]:
    with speech_service() as service:
        yield service


@pytest.fixture
def studio(tmp_path: Path, service: Service) -> Iterator[StudioServer]:
    """A studio with an OpenAI voice, so that nothing of its first job is spoken yet."""
    folder = tmp_path / "studio"
    folder.mkdir()
    key, url = SecretStr("sk-test"), f"{service.url}/v1"
    with served_studio(
        folder, Config(cache_dir=tmp_path / "cache", openai_api_key=key, openai_base_url=url), JOB
    ) as open_one:
        yield open_one


def test_words_are_spoken_only_when_the_user_has_agreed(opened, service):
    page = opened(until_heard=False)
    until(page, "document.getElementById('ask').open")
    assert page.locator("#ask").inner_text().startswith("Have these words spoken?")
    assert f"{len(JOB['script'])} characters" in page.locator("#ask").inner_text()
    page.get_by_role("button", name="Not now").click()
    until(page, "!document.getElementById('ask').open")
    assert service.requests == []
    page.locator("#script").fill(WORDS)
    until(page, "document.getElementById('ask').open")
    assert f"{len(WORDS)} characters" in page.locator("#ask").inner_text()
    page.get_by_role("button", name="Have them spoken").click()
    until(page, "Boolean(studio.decks.get('A').span)")
    assert [request["body"]["input"] for request in service.requests] == [WORDS]
