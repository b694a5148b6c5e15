"""A real browser for the studio's page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paths import ROOT
from playwright.sync_api import Browser, Page, sync_playwright
from studio_server import served_studio
from waiting import until

from worker.cli.studio import first_job
from worker.config import Config
from worker.studio.server import StudioServer

_REFUSED = "the server responded with a status of 4"
_BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window; sound may begin without a click, as in a page that was clicked before."""
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.fail(f"none of {', '.join(_BROWSERS)} is installed (Debian: apt-get install chromium)")
    options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]  # root has no sandbox
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=options)
        yield running
        running.close()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[StudioServer]:
    """A studio with the recorded first job, whose voice is everywhere; in pictures the spoken one, for its words."""
    folder = tmp_path / "studio"
    folder.mkdir()
    for name in ("demo-loop.flac", "start/recording.flac"):
        shutil.copy(ROOT / "examples" / name, folder)
    _, job, _ = first_job(spoken="STUDIO_PICTURES" in os.environ)
    with served_studio(folder, Config(cache_dir=tmp_path / "cache"), job) as server:
        yield server


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an empty page; no error may be in the console of any."""
    errors: list[str] = []
    contexts = []

    def open_page(**options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        # an answer such as 422 is one that the page expects
        page.on(
            "console",
            lambda said: errors.append(said.text) if said.type == "error" and _REFUSED not in said.text else None,
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def opened(studio: StudioServer, new_page: Callable[..., Page]) -> Callable[..., Page]:
    """Opens the studio's page, and waits until a span is there, unless told otherwise.

    The server comes first in the arguments, so that it ends last: a page without one would complain.
    """

    def open_page(*, until_heard: bool = True, **options: object) -> Page:
        page = new_page(**options)
        page.goto(studio.address)
        page.wait_for_url(f"http://127.0.0.1:{studio.port}/")
        if until_heard:
            until(page, "Boolean(globalThis.studio?.decks.get('A').span && studio.decks.get('A').plan)")
        return page

    return open_page
