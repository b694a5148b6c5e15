"""Who may use the queue's page: a test for each line of docs/howto/use-the-queue-page.md, "Who may use it"."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from loguru import logger
from operating import Operator
from operators_page import TOKEN, WORKER_TOKEN, ServedPage, served_page
from pydantic import SecretStr

from worker.config import Config
from worker.operate import sessions
from worker.operate.sessions import MOST_WAITING
from worker.service.http_server import Server
from worker.service.state import Report
from worker.service.status_pages import Answers, status_routes

READS = ("/studio/api/events", "/studio/api/jobs/7c1d", "/studio/page/main.js", "/studio/page/queue.css")
POSTS = ("/studio/api/jobs", "/studio/api/queue", "/studio/api/jobs/7c1d/script", "/studio/logout")
SECRET = "I am calm and my name is Ann"


@pytest.fixture
def page(leased_dsn: str, tmp_path: Path) -> Iterator[ServedPage]:
    with served_page(Config(database_url=SecretStr(leased_dsn), storage_dir=tmp_path)) as served:
        yield served


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines of the log, as JSON."""
    lines: list[str] = []
    sink = logger.add(lines.append, serialize=True)
    yield lines
    logger.remove(sink)


def event_of(line: str) -> dict[str, object]:
    extra = json.loads(line)["record"]["extra"]
    assert isinstance(extra, dict)
    return extra


def test_nothing_is_had_without_a_session(page: ServedPage) -> None:
    stranger = page.client(logged_in=False)
    for path in READS:
        assert stranger.get(path).status_code == 401, path
    for path in POSTS:
        assert stranger.post(path, json={}).status_code == 401, path
    stranger.headers["Authorization"] = f"Bearer {WORKER_TOKEN}"  # which is for other pages
    assert stranger.get("/studio/api/jobs/7c1d").status_code == 401
    stranger.cookies.set("mindscript_studio", "9999999999.00000000." + "0" * 64)
    assert stranger.get("/studio/api/jobs/7c1d").status_code == 401


def test_the_login_is_all_that_a_stranger_sees(page: ServedPage) -> None:
    stranger = page.client(logged_in=False)
    shown = stranger.get("/studio/")
    assert (shown.status_code, 'name="token"' in shown.text) == (200, True)
    assert "main.js" not in shown.text
    assert stranger.get("/studio/page/base.css").status_code == 200
    assert stranger.get("/studio").headers["location"] == "/studio/"
    assert "main.js" in page.client().get("/studio/").text


def test_one_login_gives_a_cookie_out_of_reach_of_scripts(page: ServedPage) -> None:
    stranger = page.client(logged_in=False)
    answer = stranger.post("/studio/login", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio/")
    cookie = answer.headers["set-cookie"]
    assert {"Path=/studio", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert "Secure" not in cookie
    for said in ("https", "https, http", "http,HTTPS"):
        headers = {"X-Forwarded-Proto": said, "Origin": page.address.replace("http:", "https:")}
        by_https = stranger.post("/studio/login", data={"token": TOKEN}, headers=headers)
        assert "Secure" in by_https.headers["set-cookie"]


def test_a_wrong_token_is_refused_and_logged_without_it(
    page: ServedPage, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "WRONG_S", 0.0)
    stranger = page.client(logged_in=False)
    for wrong in ("", "guessed-by-somebody", TOKEN[:-1], f"{TOKEN}x", "é" * 30):
        answer = stranger.post("/studio/login", data={"token": wrong})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
        assert not wrong or wrong not in answer.text
    assert [event_of(line)["event"] for line in logged] == ["studio.refused"] * 5
    assert "guessed-by-somebody" not in "".join(logged)


def test_many_wrong_tokens_at_once_are_refused_unread(page: ServedPage) -> None:
    """Requests beyond those that may wait are answered at once, and health still is."""
    body = b"token=wrong"
    head = (
        f"POST /studio/login HTTP/1.1\r\nHost: 127.0.0.1:{page.server.port}\r\nOrigin: {page.address}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    opened = [socket.create_connection(("127.0.0.1", page.server.port), timeout=60) for _ in range(MOST_WAITING * 2)]
    try:
        for each in opened:
            each.sendall(head.encode() + body)
        assert httpx.get(f"{page.address}/health", timeout=60).status_code == 200
        last = opened[-1].recv(4096)
        assert last.startswith((b"HTTP/1.1 429 ", b"HTTP/1.1 403 "))
        assert any(each.recv(12) == b"HTTP/1.1 429" for each in opened[:-1])
    finally:
        for each in opened:
            each.close()


def test_a_session_is_of_no_use_under_another_name(page: ServedPage) -> None:
    client = page.client()
    assert client.get("/studio/page/main.js").status_code == 200
    for host in ("evil.example", f"evil.example:{page.server.port}", f"localhost:{page.server.port}", "127.0.0.1"):
        assert client.get("/studio/page/main.js", headers={"Host": host}).status_code == 401, host
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert client.post("/studio/api/queue", headers=headers, json={"action": "pause"}).status_code == 401, host
    assert page.queue.queue_state().paused_at is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"X-Forwarded-Proto": "https"},
    ],
)
def test_posts_of_other_pages_are_refused(page: ServedPage, headers: dict[str, str]) -> None:
    client = page.client()
    for path in (*POSTS, "/studio/login"):
        assert client.post(path, headers=headers, json={"action": "pause"}).status_code == 403, path
    assert page.queue.queue_state().paused_at is None


def test_a_post_that_does_not_say_whence_is_refused(page: ServedPage) -> None:
    client = page.client()
    del client.headers["Origin"]
    assert client.post("/studio/api/queue", json={"action": "pause"}).status_code == 403
    assert client.post("/studio/login", data={"token": TOKEN}).status_code == 403


def test_other_sites_cannot_embed_what_is_read(page: ServedPage) -> None:
    client = page.client()
    for path in READS:
        assert client.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403, path


def test_every_answer_forbids_foreign_code_and_is_not_kept(page: ServedPage) -> None:
    client = page.client()
    answers = [client.get(path) for path in ("/studio/", "/studio/page/main.js", "/studio/api/jobs/7c1d", "/studio/x")]
    answers += [page.client(logged_in=False).get("/studio/"), client.post("/studio/api/jobs", content=b"x")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert answer.headers["server"] == "mindscript"


def test_the_pages_have_nothing_inline(page: ServedPage) -> None:
    client = page.client()
    for shown in (client.get("/studio/").text, page.client(logged_in=False).get("/studio/").text):
        assert "<style" not in shown
        assert " style=" not in shown
        assert " on" not in shown.replace(" once", "")
        assert all(" src=" in script for script in shown.split("<script")[1:])
        assert "https://" not in shown


def test_a_session_ends_when_it_is_logged_out(page: ServedPage) -> None:
    client = page.client()
    cookie = dict(client.cookies)
    with client.stream("GET", "/studio/api/events") as events:
        lines = events.iter_lines()
        assert next(lines)
        answer = client.post("/studio/logout")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        for _ in lines:
            pass  # the stream ends
    assert httpx.get(f"{page.address}/studio/page/main.js", cookies=cookie).status_code == 401


def test_no_request_has_more_than_4_kb(page: ServedPage) -> None:
    client = page.client()
    assert client.post("/studio/api/jobs", json={"verb": "retry", "code": "x" * 5000}).status_code == 413
    assert client.post("/studio/api/jobs", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    for body in (b"", b"[]", b"{" * 2000, b"\xff"):
        json_type = {"Content-Type": "application/json"}
        assert client.post("/studio/api/jobs", content=body, headers=json_type).status_code == 400


def test_no_path_of_a_browser_reaches_the_disk(page: ServedPage) -> None:
    client = page.client()
    for path in (
        "page/../app.py",
        "page/%2e%2e/app.py",
        "page/..%2fapp.py",
        "page//etc/passwd",
        "api/jobs/..%2f..%2fx",
    ):
        assert client.get(f"/studio/{path}").status_code == 404, path


def test_the_script_is_shown_when_it_is_asked_for_and_that_is_logged(
    operator: Operator, served: ServedPage, logged: list[str]
) -> None:
    job = operator.job(payload={"script": SECRET, "durationMin": 5})
    client = served.client()
    shown = client.get(f"/studio/api/jobs/{job}")
    assert (shown.status_code, SECRET in shown.text) == (200, False)
    assert f"({len(SECRET)} characters; --script shows them)" in shown.text
    assert client.get(f"/studio/api/jobs/{job}/script").status_code == 405
    assert client.post(f"/studio/api/jobs/{job}/script", json={}).json()["payload"]["script"] == SECRET
    events = [event_of(line) for line in logged]
    session = next(event["session"] for event in events if event["event"] == "studio.login")
    assert [event for event in events if event["event"] == "studio.script"] == [
        {"event": "studio.script", "session": session, "job": job}
    ]
    assert SECRET not in "".join(logged)


def test_the_worker_s_own_pages_stay_as_they_are(page: ServedPage) -> None:
    anybody = httpx.Client(base_url=page.address, timeout=60)
    for path in ("/health", "/ready", "/metrics", "/"):
        answer = anybody.get(path, headers={"Host": "any.example", "Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, "content-security-policy" in answer.headers) == (200, False), path
    assert anybody.post("/process").status_code == 401
    body = b"x" * 60_000  # as long as ever
    bearer = {"Authorization": f"Bearer {WORKER_TOKEN}"}
    assert anybody.post("/process", content=body, headers=bearer).status_code == 202
    anybody.close()


def test_without_its_token_there_is_no_page() -> None:
    answers = Answers(*(lambda: Report(None, {}),) * 2, lambda: b"", lambda: None)
    server = Server(0, status_routes(answers, with_process=False), host="127.0.0.1")
    try:
        for path in ("/studio", "/studio/", "/studio/login", "/studio/page/base.css"):
            assert httpx.get(f"http://127.0.0.1:{server.port}{path}", timeout=60).status_code == 404
    finally:
        server.close()


def test_streams_are_bounded(page: ServedPage) -> None:
    clients = [page.client() for _ in range(4)]
    with clients[0].stream("GET", "/studio/api/events") as oldest:
        lines = oldest.iter_lines()
        assert next(lines)
        opened = [client.stream("GET", "/studio/api/events") for client in clients[1:]]
        for each in opened:
            assert next(each.__enter__().iter_lines())
        for _ in lines:
            pass  # the oldest of four ends, since three are allowed
        for each in opened:
            each.__exit__(None, None, None)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


def test_a_page_that_has_gone_is_forgotten(page: ServedPage) -> None:
    with page.client().stream("GET", "/studio/api/events") as events:
        assert next(events.iter_lines())
        assert len(page.page._feed._streams) == 1
    eventually(lambda: not page.page._feed._streams)


def test_what_a_customer_wrote_leaves_without_keys(page: ServedPage, leased_dsn: str) -> None:
    job = page.queue.enqueue({"durationMin": 1, "metadata": {"title": "sk-abcdefghijklm12"}})
    client = page.client()
    shown = client.get(f"/studio/api/jobs/{job}").text
    assert ("sk-abcdefghijklm12" in shown, "***" in shown) == (False, True)
    with client.stream("GET", "/studio/api/events") as events:
        told = next(line for line in events.iter_lines() if line.startswith("data: "))
    assert ("sk-abcdefghijklm12" in told, job in told) == (False, True)
