"""The editor in a real browser: log in, open it, change a beat, hear it; open a job of the queue in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from operators_page import TOKEN, ServedPage, served_page
from playwright.sync_api import Page, expect
from pydantic import SecretStr
from waiting import until

from worker.config import Config

SECRET = "I am calm and my name is Ann"
JOB = {"durationMin": 1, "script": "", "solfeggio": {"hz": 417}, "metadata": {"title": "The river at night"}}
LEVEL_AT = """hz => {
  const { analyser } = studio.player;
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  return Math.max(...bins.slice(Math.round(hz * analyser.fftSize / 44100) - 2).slice(0, 5));
}"""


@pytest.fixture
def served(leased_dsn: str, tmp_path: Path) -> Iterator[ServedPage]:
    with served_page(
        Config(database_url=SecretStr(leased_dsn), storage_dir=tmp_path / "out", cache_dir=tmp_path / "cache")
    ) as page:
        yield page


@pytest.fixture
def queue_page(served: ServedPage, new_page: Callable[..., Page]) -> Page:
    """The queue, after the login."""
    page = new_page()
    page.goto(f"{served.address}/studio/edit/")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    until(page, "document.getElementById('live')?.textContent === 'live'")
    return page


def is_heard(page: Page) -> None:
    until(page, "Boolean(globalThis.studio?.decks.get('A').span && studio.decks.get('A').plan)")


def test_a_changed_beat_is_heard_at_once(queue_page: Page) -> None:
    page = queue_page
    page.get_by_role("link", name="Editor").click()
    is_heard(page)
    assert page.locator("#copy-command").is_hidden()
    page.click("#play")
    until(page, "studio.player.playing && studio.player.position > 0.2")
    page.get_by_label("Beat, Carrier, in Hz").fill("333")
    page.get_by_label("Beat, Carrier, in Hz").press("Enter")
    until(page, f"({LEVEL_AT})(330) > -45 && ({LEVEL_AT})(336) > -45")
    page.get_by_role("link", name="The queue").click()
    until(page, "document.getElementById('live')?.textContent === 'live'")


def test_a_job_of_the_queue_is_opened_with_its_words(queue_page: Page, served: ServedPage) -> None:
    page = queue_page
    job_id = served.queue.enqueue({**JOB, "script": SECRET, "voice": {"provider": "openai"}})
    page.goto(f"{served.address}/studio/#job/{job_id}")
    page.locator("#job summary").click()
    assert SECRET not in page.content()
    page.get_by_role("link", name="Open in the editor").click()
    expect(page.locator("#script")).to_have_value(SECRET)
    expect(page.locator("#job-name")).to_have_text(f"job-{job_id[:8]}")
    expect(page.locator("#field-solfeggio-hz")).to_have_value("417")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


def test_a_job_that_is_gone_leaves_the_editor_usable(queue_page: Page, served: ServedPage) -> None:
    page = queue_page
    page.goto(f"{served.address}/studio/edit/#job/{'0' * 32}")
    expect(page.locator("#opening")).to_contain_text("cannot be opened: there is no job")
    is_heard(page)
