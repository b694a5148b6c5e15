"""The editor behind the operators' login: who may use it, what it opens, and the process that it runs in."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import soundfile
from database import execute
from loguru import logger
from operating import Operator
from operators_page import ServedPage, served_page
from processes import children
from pydantic import SecretStr
from standins.speech import speech_service

from dsp.noise import Noise
from worker.config import Config
from worker.operate.editing_process import EditingTimings
from worker.operate.sessions import Session

RATE = 44_100
EDIT = "/studio/edit"
TONES: Mapping[str, Any] = {"durationMin": 0.2, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}
READS = (f"{EDIT}/api/start", f"{EDIT}/page/lanes.js", f"{EDIT}/api/files/x", f"{EDIT}/api/renders/x/events")
POSTS = (f"{EDIT}/api/hear", f"{EDIT}/api/uploads", f"{EDIT}/api/renders", f"{EDIT}/api/jobs/7c1d")
SECRET = "I am calm and my name is Ann"
SIGNED = "https://media.example/rain.mp3?token=abcdefghijklmnopqrstuvwxyz0123456789"
ANN, BEN = "a0000000-0000-4000-8000-000000000001", "b0000000-0000-4000-8000-000000000002"


def config_of(dsn: str, tmp_path: Path, **settings: Any) -> Config:
    return Config(database_url=SecretStr(dsn), storage_dir=tmp_path / "out", cache_dir=tmp_path / "cache", **settings)


@pytest.fixture
def page(leased_dsn: str, tmp_path: Path) -> Iterator[ServedPage]:
    with served_page(config_of(leased_dsn, tmp_path)) as served:
        yield served


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """The events of the log."""
    events: list[dict[str, Any]] = []
    sink = logger.add(lambda line: events.append(json.loads(line)["record"]["extra"]), serialize=True)
    yield events
    logger.remove(sink)


def asked(job: Mapping[str, Any], number: int = 1, **more: Any) -> dict[str, Any]:
    return {"deck": "A", "number": number, "version": number, "job": job, "at_s": 0, "seconds": 1, **more}


def hear(client: httpx.Client, job: Mapping[str, Any], number: int = 1, **more: Any) -> httpx.Response:
    return client.post(f"{EDIT}/api/hear", json=asked(job, number, **more))


def status_of_head(page: ServedPage, client: httpx.Client, *, length: int) -> int:
    """The answer to the head of an upload, of whose body nothing follows."""
    (cookie,) = client.cookies.jar
    head = (
        f"POST {EDIT}/api/uploads HTTP/1.1\r\nHost: 127.0.0.1:{page.server.port}\r\nOrigin: {page.address}\r\n"
        f"Cookie: {cookie.name}={cookie.value}\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", page.server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        return int(connection.recv(4096).split()[1])


def sound(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * Noise("pink", 3, RATE).render(0, round(seconds * RATE)), RATE, format="WAV")
    return file.getvalue()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


def editors() -> list[psutil.Process]:
    """Processes of the editor, and its fork server."""
    return [process for process in children() if "worker.studio.editing" in " ".join(process.cmdline())]


def test_no_stranger_reaches_the_editor_or_starts_its_process(page: ServedPage) -> None:
    stranger = page.client(logged_in=False)
    for path in READS:
        assert stranger.get(path).status_code == 401, path
    for path in POSTS:
        assert stranger.post(path, json={}).status_code == 401, path
    shown = stranger.get(f"{EDIT}/")
    assert (shown.status_code, 'name="token"' in shown.text, "main.js" in shown.text) == (200, True, False)
    assert (page.page.editor.pid, editors()) == (None, [])


@pytest.mark.parametrize("host", ["evil.example", "localhost"])
def test_a_session_opens_no_editor_under_another_name(page: ServedPage, host: str) -> None:
    client = page.client()
    host = f"{host}:{page.server.port}"
    assert client.get(f"{EDIT}/api/start", headers={"Host": host}).status_code == 401
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client.post(f"{EDIT}/api/hear", headers=headers, json=asked(TONES)).status_code == 401
    assert page.page.editor.pid is None


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_other_pages_cannot_have_the_editor_do_anything(page: ServedPage, headers: dict[str, str]) -> None:
    client = page.client()
    for path in POSTS:
        assert client.post(path, headers=headers, json=asked(TONES)).status_code == 403, path
    if "Sec-Fetch-Site" in headers:
        for path in READS:
            assert client.get(path, headers=headers).status_code == 403, path
    assert page.page.editor.pid is None


def test_the_same_page_is_served_as_on_a_laptop(page: ServedPage) -> None:
    client = page.client()
    shown = client.get(f"{EDIT}/")
    folder = Path(__file__).parents[3] / "worker"
    assert shown.text == (folder / "studio" / "page_files" / "index.html").read_text()
    for name, owner in (("main.js", "studio"), ("lanes.js", "studio"), ("base.css", "web")):
        assert client.get(f"{EDIT}/page/{name}").text == (folder / owner / "page_files" / name).read_text()
    assert client.get(EDIT).headers["location"] == f"{EDIT}/"
    for answer in (shown, client.get(f"{EDIT}/api/start"), hear(client, TONES), client.get(f"{EDIT}/api/x")):
        policy = answer.headers["content-security-policy"]
        assert ("default-src 'none'" in policy, "unsafe" in policy) == (True, False)
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert answer.headers["server"] == "mindscript"
    start = client.get(f"{EDIT}/api/start").json()
    assert (start["folder"], start["program"], start["queue"]) == (None, None, "../")


def test_no_path_of_a_browser_reaches_the_disk_or_the_process(page: ServedPage, tmp_path: Path) -> None:
    client = page.client()
    (tmp_path / "out" / "background-music").mkdir(parents=True)
    (tmp_path / "out" / "background-music" / "rain.wav").write_bytes(sound(20))
    for path in ("open", "page/../open", "page/%2e%2e/app.py", "page//etc/passwd", "api/files/..%2f..%2fx", "x"):
        assert client.get(f"{EDIT}/{path}").status_code == 404, path
        assert client.post(f"{EDIT}/{path}", json={}).status_code in (404, 405), path
    names = (
        "/etc/passwd",
        "../out/x.wav",
        "file:///etc/passwd",
        f"{tmp_path}/out/background-music/rain.wav",
        "rain.wav",
    )
    for number, name in enumerate(names, 1):
        for job in ({"backgroundMusic": {"url": name}}, {"voice": {"provider": "uploaded", "url": name}}):
            answer = hear(client, {**TONES, **job}, number)
            notes = json.loads(answer.headers.get("x-heard", "{}")).get("notes")
            # music that cannot be had is left out, as in a job
            assert answer.status_code == 422 or "music" in " ".join(notes), (name, answer.text)


def test_an_upload_is_bounded_and_decoded_in_the_process(page: ServedPage) -> None:
    client = page.client()
    assert status_of_head(page, client, length=(200 << 20) + 1) == 413
    assert client.post(f"{EDIT}/api/uploads", content=b"no sound " * 1000).status_code == 422
    assert hear(client, {**TONES, "script": "x" * 3_000_000}).status_code == 413
    taken = client.post(f"{EDIT}/api/uploads", content=sound(20)).json()
    assert (taken["seconds"], taken["sounds"]) == (20.0, [taken["name"]])
    heard = hear(client, {**TONES, "backgroundMusic": {"url": taken["name"]}})
    assert (heard.status_code, json.loads(heard.headers["x-heard"])["notes"]) == (200, [])
    assert heard.content[:4] == b"RIFF"


def test_a_long_body_of_a_stranger_is_refused_unread(page: ServedPage) -> None:
    stranger = page.client(logged_in=False)
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(150):
            sent += 1 << 20
            yield bytes(1 << 20)

    headers = {"Content-Length": str(150 << 20)}
    with contextlib.suppress(httpx.TransportError):  # it sends on after the answer
        assert stranger.post(f"{EDIT}/api/uploads", content=parts(), headers=headers).status_code == 401
    assert (sent < 150 << 20, page.page.editor.pid) == (True, None)


@pytest.mark.further
def test_a_whole_track_goes_to_the_browser_and_nowhere_else(page: ServedPage, leased_dsn: str, tmp_path: Path) -> None:
    client = page.client()
    begun = client.post(f"{EDIT}/api/renders", json={"job": TONES}).json()
    with client.stream("GET", f"{EDIT}/api/renders/{begun['id']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
    assert (told[-1]["state"], len(told) > 2) == ("done", True)
    track = f"{EDIT}/api/files/{told[-1]['files']['track']}"
    whole = client.get(track)
    part = client.get(track, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert client.head(track).headers["content-length"] == str(len(whole.content))
    assert "attachment" in client.get(f"{track}?download").headers["content-disposition"]
    assert execute(leased_dsn, "SELECT id FROM audio_job_queue") == []
    assert not (tmp_path / "out").exists()


def test_a_stream_ends_when_its_session_has_ended(page: ServedPage) -> None:
    client = page.client()
    begun = client.post(f"{EDIT}/api/renders", json={"job": {**TONES, "durationMin": 480}}).json()
    with client.stream("GET", f"{EDIT}/api/renders/{begun['id']}/events") as events:
        lines = events.iter_lines()
        assert next(lines)
        page.client().post(f"{EDIT}/api/renders/{begun['id']}/cancel", json={})  # of another session: nothing ends
        begun = client.post(f"{EDIT}/api/renders", json={"job": {**TONES, "durationMin": 480}}).json()
    with client.stream("GET", f"{EDIT}/api/renders/{begun['id']}/events") as events:
        lines = events.iter_lines()
        assert next(lines)
        client.post("/studio/logout")
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in lines:
                pass


def test_an_opened_job_shows_its_words_and_that_is_logged(
    operator: Operator, served: ServedPage, logged: list[dict[str, Any]]
) -> None:
    job = operator.job(payload={**TONES, "script": SECRET, "backgroundMusic": {"url": SIGNED}})
    client = served.client()
    assert client.get(f"{EDIT}/api/jobs/{job}").status_code in (404, 405)
    opened = client.post(f"{EDIT}/api/jobs/{job}", json={}).json()
    assert (opened["job"]["script"], opened["name"]) == (SECRET, f"job-{job[:8]}")
    url = opened["job"]["backgroundMusic"]["url"]
    assert url == "https://media.example/rain.mp3?***"
    assert SIGNED not in json.dumps(opened)
    session = next(event["session"] for event in logged if event["event"] == "studio.login")
    shown = [event for event in logged if event["event"] == "studio.script"]
    assert shown == [{"event": "studio.script", "session": session, "job": job}]
    assert client.post(f"{EDIT}/api/jobs/{'0' * 8}", json={}).status_code == 404
    assert len([event for event in logged if event["event"] == "studio.script"]) == 1


def test_a_job_that_renders_again_is_opened_as_its_track_has_it(operator: Operator, served: ServedPage) -> None:
    config = {"solfeggio": {"frequency": 417}}
    track = operator.track("The river", ANN, script=SECRET, frequency_config=json.dumps(config))
    job = operator.job(payload={"quality": "standard"}, track_id=track, user_id=ANN)
    opened = served.client().post(f"{EDIT}/api/jobs/{job}", json={}).json()["job"]
    assert (opened["script"], opened["solfeggio"]["frequency"]) == (SECRET, 417)


def test_an_opened_job_hears_its_own_customer_s_recording_alone(
    page: ServedPage, leased_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "voice-uploads" / ANN
    folder.mkdir(parents=True)
    (folder / "me.wav").write_bytes(sound(5))
    execute(leased_dsn, "INSERT INTO auth.users (id) VALUES (%s), (%s)", ANN, BEN)
    client = page.client()
    job = {**TONES, "voice": {"provider": "uploaded", "url": f"{ANN}/me.wav"}}
    assert hear(client, job).status_code == 422  # no job that was opened names it
    for number, (user_id, status) in enumerate(((BEN, 422), (ANN, 200)), 2):
        job_id = page.queue.enqueue(job, user_id=user_id)
        assert client.post(f"{EDIT}/api/jobs/{job_id}", json={}).status_code == 200
        heard = hear(client, job, number)
        assert heard.status_code == status, heard.text


def test_words_are_paid_for_only_when_asked_with_their_price_first(leased_dsn: str, tmp_path: Path) -> None:
    job = {**TONES, "script": "I am calm.", "voice": {"provider": "openai"}}
    with speech_service() as service:
        key, url = SecretStr("sk-test"), f"{service.url}/v1"
        with served_page(config_of(leased_dsn, tmp_path, openai_api_key=key, openai_base_url=url)) as page:
            client = page.client()
            refused = hear(client, job)
            assert (refused.status_code, refused.json()["characters"]) == (409, len(job["script"]))
            assert refused.json()["cents"] > 0
            assert service.requests == []
            assert hear(client, job, 2, pay=True).status_code == 200
            assert len(service.requests) == 1


def test_a_process_that_was_killed_is_started_anew_with_its_jobs(
    page: ServedPage, logged: list[dict[str, Any]], tmp_path: Path
) -> None:
    client = page.client()
    folder = tmp_path / "out" / "background-music"
    folder.mkdir(parents=True)
    (folder / "rain.wav").write_bytes(sound(20))
    job = {**TONES, "backgroundMusic": {"url": "rain.wav"}}
    assert client.post(f"{EDIT}/api/jobs/{page.queue.enqueue(job)}", json={}).status_code == 200
    assert json.loads(hear(client, job).headers["x-heard"])["notes"] == []
    first = page.page.editor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(first))
    heard = hear(client, job, 2)
    assert (heard.status_code, json.loads(heard.headers["x-heard"])["notes"]) == (200, [])
    assert page.page.editor.pid not in (None, first)
    eventually(lambda: any(event["event"] == "editor.ended" for event in logged))
    assert len([event for event in logged if event["event"] == "studio.script"]) == 1


def test_the_process_ends_when_nobody_uses_it(leased_dsn: str, tmp_path: Path, logged: list[dict[str, Any]]) -> None:
    quick = EditingTimings(idle_s=0.3, check_s=0.05)
    with served_page(config_of(leased_dsn, tmp_path), editing=quick) as page:
        client = page.client()
        assert hear(client, TONES).status_code == 200
        first = page.page.editor.pid
        eventually(lambda: any(event["event"] == "editor.ended" for event in logged))
        assert (psutil.pid_exists(first or 0), editors()) == (False, [])
        assert hear(client, TONES).status_code == 200
        assert page.page.editor.pid != first


def test_the_process_that_takes_too_much_memory_is_ended(
    leased_dsn: str, tmp_path: Path, logged: list[dict[str, Any]]
) -> None:
    config = config_of(leased_dsn, tmp_path, memory_limit_mb=64)  # less than it has from its first moment
    with served_page(config) as page:
        client = page.client()
        assert client.get(f"{EDIT}/api/start").status_code in (200, 503)
        eventually(lambda: any(event["event"] == "editor.ended" for event in logged))
        assert client.get("/studio/page/main.js").status_code == 200


def test_the_process_has_no_secret_that_it_does_not_need(page: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "a-key-that-nobody-may-see")
    monkeypatch.setenv("STUDIO_TOKEN", "a-token-that-nobody-may-see")
    client = page.client()
    assert client.get(f"{EDIT}/api/start").status_code == 200
    found = editors()
    assert len(found) == 2  # the fork server, and the editor
    for process in found:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert (b"PATH=" in environment, b"nobody-may-see" in environment) == (True, False)
    assert os.getsid(page.page.editor.pid or 0) == page.page.editor.pid


def test_the_page_ends_its_editor_with_itself(leased_dsn: str, tmp_path: Path) -> None:
    with served_page(config_of(leased_dsn, tmp_path)) as page:
        assert hear(page.client(), TONES).status_code == 200
        assert len(editors()) == 2
    assert editors() == []


def test_what_was_logged_out_opens_nothing(page: ServedPage) -> None:
    client = page.client()
    cookie = dict(client.cookies)
    assert client.get(f"{EDIT}/api/start").status_code == 200
    client.post("/studio/logout")
    assert httpx.get(f"{page.address}{EDIT}/api/start", cookies=cookie).status_code == 401
    assert not page.page._sessions.is_good(Session("00000000", 0.0))
