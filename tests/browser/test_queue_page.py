"""The queue page in a real browser: log in, look, retry, pause; wrong token, another origin, phone size.

With QUEUE_PICTURES set to a folder, the pictures of docs/howto/use-the-queue-page.md are drawn into it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from database import execute, row_of
from operators_page import TOKEN, ServedPage, served_page
from playwright.sync_api import Page, expect
from pydantic import SecretStr
from waiting import until

from worker.config import Config
from worker.errors import ConfigurationError, MediaError, TransientError
from worker.operate import sessions
from worker.queue.claims import AttemptReport
from worker.queue.service import Queue, open_queue

TITLES = ("Sleep, little fox", "Morning walk", "Before the exam", "Calm in ten minutes", "The river at night")
HOSTILE = "<img src=x onerror='globalThis.taken = true'>"
SECRET = "I am calm and my name is Ann"


def job(queue: Queue, title: str, **payload: object) -> str:
    return queue.enqueue({"durationMin": 10, "metadata": {"title": title}, "script": SECRET, **payload})


def ended(queue: Queue, title: str, error: Exception, **report: object) -> str:
    job_id = job(queue, title)
    claim = queue.claim()
    assert claim is not None
    queue.resolve_failure(claim, error, report=AttemptReport(str(error), {"fetch": 1.5, "speak": 8.25}, **report))
    return job_id


@pytest.fixture
def served(leased_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedPage]:
    """A page whose queue has a job of each kind."""
    monkeypatch.setattr(sessions, "WRONG_S", 0.0)
    config = Config(database_url=SecretStr(leased_dsn), storage_dir=tmp_path)
    with closing(open_queue(config, worker_name="web.2")) as queue:
        for title in TITLES[:3]:
            ended(queue, title, MediaError("rain.mp3 holds no sound", code="media.empty", customer_message="Sorry."))
        ended(queue, TITLES[4], MediaError("no such voice", code="voice.unknown", customer_message="Sorry."))
        ended(
            queue,
            TITLES[3],
            ConfigurationError("OpenAI has ended the model tts-1", code="voice.model", about=("tts-1",)),
        )
        for title in TITLES[2:4]:
            job(queue, title)
            claim = queue.claim()
            assert claim is not None
            queue.heartbeat(claim, progress=40, stage="encode")
        # as if they had run for half a minute: by hand, without the triggers that would take the claim away
        execute(leased_dsn, "ALTER TABLE audio_job_queue DISABLE TRIGGER USER")
        earlier = "UPDATE audio_job_queue SET started_at = started_at - interval '30 s' WHERE status = 'processing'"
        execute(leased_dsn, earlier)
        execute(leased_dsn, "ALTER TABLE audio_job_queue ENABLE TRIGGER USER")
        job(queue, TITLES[4])
        done = job(queue, TITLES[1])
        result = {"duration": 600, "quality": {"integrated_lufs": -16.02, "target_lufs": -16.0, "true_peak_dbtp": -1.2}}
        execute(
            leased_dsn,
            "UPDATE audio_job_queue SET status = 'completed', completed_at = clock_timestamp(), result = %s"
            " WHERE id = %s",
            json.dumps(result),
            done,
        )
    with served_page(config) as page:
        yield page


@pytest.fixture
def opened(served: ServedPage, new_page: Callable[..., Page]) -> Callable[..., Page]:
    """Logs in, and waits for the queue."""

    def open_page(**options: object) -> Page:
        page = new_page(**options)
        page.goto(f"{served.address}/studio/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        until(page, "document.getElementById('live')?.textContent === 'live'")
        return page

    return open_page


def picture(page: Page, name: str, **options: object) -> None:
    """Draw a picture for the docs, where they are wanted."""
    folder = os.environ.get("QUEUE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", **options)  # type: ignore[arg-type]


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in ("serious", "critical")]


def failed_job(served: ServedPage) -> str:
    return served.queue.failed_ids(code="media.empty", limit=10)[0]


def test_the_queue_is_shown_after_one_login(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    expect(page.locator("#figures")).to_contain_text(re.compile(r"Waiting\s*1.*Running\s*2.*Failed\s*4", re.DOTALL))
    expect(page.locator("#causes")).to_contain_text("OpenAI has ended the model tts-1")
    expect(page.locator("#failures li").first).to_contain_text("media.empty 3 jobs")
    expect(page.locator("#running li").first).to_contain_text("encode")
    expect(page.locator("#running li").first).to_contain_text("left")
    expect(page.locator("#workers")).to_contain_text("web.2")
    picture(page, "queue")
    page.reload()
    until(page, "document.getElementById('live')?.textContent === 'live'")
    assert page.context.cookies()[0]["httpOnly"]


def test_a_title_is_never_code(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    job_id = job(served.queue, HOSTILE)
    expect(page.locator("#waiting")).to_contain_text(HOSTILE)
    page.goto(f"{served.address}/studio/#job/{job_id}")
    expect(page.locator("#job-title")).to_have_text(HOSTILE)
    assert page.evaluate("globalThis.taken") is None


def test_a_wrong_token_shows_no_queue(served: ServedPage, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto(f"{served.address}/studio/")
    page.get_by_label("Token").fill("a-token-that-somebody-has-guessed")
    with page.expect_response("**/studio/login") as answer:
        page.get_by_role("button", name="Log in").click()
    assert answer.value.status == 403
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    assert page.context.cookies() == []
    page.goto(f"{served.address}/studio/")
    expect(page.get_by_label("Token")).to_be_visible()


def test_another_origin_can_do_nothing(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    evil = page.context.new_page()
    evil.route("http://evil.example/", lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    evil.goto("http://evil.example/")
    url = f"{served.address}/studio/api/queue"
    read = "url => fetch(url, { credentials: 'include' }).then(() => 'read', () => 'refused')"
    assert evil.evaluate(read, url.replace("queue", "events")) == "refused"
    form = """([url, text]) => {
      const form = document.createElement("form");
      Object.assign(form, { action: url, method: "POST", enctype: "text/plain" });
      form.append(Object.assign(document.createElement("input"), { name: text, value: "" }));
      document.body.append(form);
      form.submit();
    }"""
    with evil.expect_response(url) as answer:
        evil.evaluate(form, [url, '{"action": "pause"}'])
    assert (answer.value.request.method, answer.value.status) == ("POST", 403)
    assert served.queue.queue_state().paused_at is None


def test_a_failed_job_is_retried_by_keyboard(opened: Callable[..., Page], served: ServedPage, leased_dsn: str) -> None:
    page = opened()
    job_id = failed_job(served)
    page.locator(f"#failed a[href='#job/{job_id}']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#job-title")).to_be_focused()
    expect(page.locator("#job")).to_contain_text("rain.mp3 holds no sound")
    expect(page.locator("#job")).to_contain_text(f"mindscript-worker jobs retry {job_id}")
    picture(page, "queue-job")
    page.get_by_role("button", name="Retry").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("The job waits again (it was failed)")
    assert str(row_of(leased_dsn, job_id)["status"]) == "pending"
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()


def test_all_of_one_cause_are_retried_once_it_is_confirmed(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    for answer, failed in (("Leave it", 3), ("Retry them", 0)):
        page.locator("#failures li").first.get_by_role("button", name="Retry these").click()
        expect(page.locator("#ask")).to_contain_text("Retry 3 jobs that failed of media.empty?")
        expect(page.locator("#ask-command")).to_have_text("mindscript-worker jobs retry --code media.empty")
        assert serious(page) == []
        page.get_by_role("button", name=answer).click()
        expect(page.locator("#ask")).to_be_hidden()
        if not failed:
            expect(page.locator("#said")).to_contain_text("3 of 3 jobs wait again")
        assert len(served.queue.failed_ids(code="media.empty", limit=10)) == failed


def test_a_job_is_purged_and_cancelled_only_when_confirmed(
    opened: Callable[..., Page], served: ServedPage, leased_dsn: str
) -> None:
    page = opened()
    job_id = failed_job(served)
    page.goto(f"{served.address}/studio/#job/{job_id}")
    for answer, payload in (("Leave it", True), ("Purge it", False)):
        page.get_by_role("button", name="Purge", exact=True).click()
        page.get_by_role("button", name=answer).click()
        expect(page.locator("#ask")).to_be_hidden()
        if not payload:
            expect(page.locator("#said")).to_contain_text("The job is purged")
        assert bool(row_of(leased_dsn, job_id)["payload"]) == payload


def test_the_script_is_shown_only_when_asked_for(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    page.goto(f"{served.address}/studio/#job/{failed_job(served)}")
    page.locator("#job summary").click()
    expect(page.locator("#job pre")).to_contain_text("28 characters")
    assert SECRET not in page.content()
    page.get_by_role("button", name="Show the customer's words").click()
    expect(page.locator("#job pre")).to_contain_text(SECRET)


def test_the_queue_is_paused_and_resumed(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Reason").fill("moving the bucket")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.locator("#paused")).to_contain_text("moving the bucket")
    assert served.queue.queue_state().reason == "moving the bucket"
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#paused")).to_be_hidden()
    assert served.queue.queue_state().paused_at is None


def test_what_changes_is_shown_and_keeps_the_focus(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    link = page.locator("#waiting a").first
    link.focus()
    job(served.queue, "A new one")
    expect(page.locator("#waiting")).to_contain_text("A new one")
    expect(link).to_be_focused()


def test_who_logs_out_sees_the_login(opened: Callable[..., Page], served: ServedPage) -> None:
    page = opened()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{served.address}/studio/")
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_queue_that_does_not_answer_is_said_to(
    opened: Callable[..., Page], served: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened()

    def away() -> None:
        raise TransientError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(served.queue, "queue_state", away)
        expect(page.locator("#trouble")).to_contain_text("the database is away")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#trouble")).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_serious(
    opened: Callable[..., Page], new_page: Callable[..., Page], served: ServedPage, width: int, scheme: str
) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    page = opened(**options)
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"queue-{'phone' if width == 390 else 'wide'}-{scheme}")
    page.goto(f"{served.address}/studio/#job/{failed_job(served)}")
    expect(page.locator("#job-title")).to_be_visible()
    page.locator("#job summary").click()
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"queue-job-{'phone' if width == 390 else 'wide'}-{scheme}")
    login = new_page(**options)
    login.goto(f"{served.address}/studio/")
    assert serious(login) == []
    picture(login, f"queue-login-{'phone' if width == 390 else 'wide'}-{scheme}")
