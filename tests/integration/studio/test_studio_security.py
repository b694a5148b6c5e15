"""Who may use the studio: a test for each line of docs/howto/use-the-studio.md, "Who may use it"."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from loguru import logger
from studio_server import TONES, served_studio

from worker.web import bodies
from worker.web.bodies import receive_file

POSTS = ("/api/check", "/api/hear", "/api/lanes", "/api/measure", "/api/uploads", "/api/renders")


@pytest.fixture
def stranger(studio):
    """A client without the cookie."""
    with httpx.Client(base_url=f"http://127.0.0.1:{studio.server.port}", timeout=30) as client:
        yield client


def test_it_listens_on_this_machine_alone(studio):
    assert studio.server._socket.getsockname()[0] == "127.0.0.1"
    others = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if not address.startswith("127."):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, studio.server.port), timeout=10)


def test_the_token_is_taken_once(folder, config):
    with served_studio(folder, config) as server, httpx.Client() as first, httpx.Client() as second:
        assert second.get(server.address.replace("token=", "token=x")).status_code == 403
        cookie = first.get(server.address).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert second.get(server.address).status_code == 403
        root = f"http://127.0.0.1:{server.port}/"
        assert (first.get(root).status_code, second.get(root).status_code) == (200, 403)


def test_two_studios_do_not_share_a_cookie(folder, config):
    with served_studio(folder, config) as one, served_studio(folder, config) as other, httpx.Client() as client:
        client.get(one.address)
        assert client.get(f"http://127.0.0.1:{other.port}/api/start").status_code == 401
        client.get(other.address)
        assert client.get(f"http://127.0.0.1:{one.port}/api/start").status_code == 200


def test_nothing_is_had_without_the_cookie(stranger):
    assert stranger.get("/").status_code == 403
    for path in ("/api/start", "/page/main.js", "/api/files/x", "/api/renders/x/events"):
        assert stranger.get(path).status_code == 401, path
    stranger.cookies.set(f"studio_{stranger.base_url.port}", "guessed")
    for path in (*POSTS, "/api/renders/x/cancel"):
        assert stranger.post(path, headers={"Origin": str(stranger.base_url).rstrip("/")}).status_code == 401, path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_another_name_for_this_machine_is_refused(studio, host):
    found = studio.client.get("/api/start", headers={"Host": host.format(port=studio.server.port)})
    assert found.status_code == 421
    assert studio.client.get("/", headers={"Host": f"localhost:{studio.server.port}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_posts_of_other_pages_are_refused(studio, headers):
    for path in POSTS:
        assert studio.client.post(path, headers=headers, json={"job": TONES}).status_code == 403, path


def test_a_post_that_does_not_say_whence_is_refused(studio):
    cookies = dict(studio.client.cookies)
    url = f"http://127.0.0.1:{studio.server.port}/api/check"
    assert httpx.post(url, json={"job": TONES}, cookies=cookies).status_code == 403
    fetched = {"Sec-Fetch-Site": "same-origin"}
    assert httpx.post(url, json={"job": TONES}, cookies=cookies, headers=fetched).status_code == 200


def test_other_pages_can_embed_nothing(studio):
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}
    assert studio.client.get("/page/main.js", headers=embedded).status_code == 403
    assert studio.client.get("/page/main.js").headers["cross-origin-resource-policy"] == "same-origin"


def test_every_answer_has_a_policy_without_inline_code(studio, stranger, monkeypatch):
    bug = studio.client.post("/api/check", json={"job": TONES, "x": 1})
    answers = [
        studio.client.get("/"),
        studio.client.get("/nowhere"),
        stranger.get("/"),
        stranger.get("/api/start"),
        bug,
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_has_no_inline_script_or_style(studio):
    page = studio.client.get("/").text
    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == page.count('<script type="module" src="page/') == 1
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    "reference", ["../secret.wav", "/etc/passwd", "{outside}", "sub/../../secret.wav", "file:///etc/passwd", "..", "."]
)
def test_no_path_of_a_job_reaches_the_disk(studio, reference):
    outside = studio.folder.parent / "secret.wav"
    outside.write_bytes(b"RIFF")
    music = {"url": reference.format(outside=outside)}
    answer = studio.hear({**TONES, "backgroundMusic": music})
    assert answer.status_code == 422
    assert "no such file in the studio's folder" in answer.json()["error"]


@pytest.mark.parametrize("id", ["../first.json", "..%2f..%2fetc%2fpasswd", "track-1.mp3", "%00"])
def test_files_are_had_by_their_ids_alone(studio, id):
    (studio.folder / "track-1.mp3").write_bytes(b"mine")
    assert studio.client.get(f"/api/files/{id}").status_code == 404
    assert studio.client.get(f"/page/{id}").status_code == 404


def test_the_page_s_folder_is_no_way_out(studio):
    for path in ("/page/..%2f__init__.py", "/page/../guards.py", "/page/index.html"):
        assert studio.client.get(path).status_code == 404


def test_an_upload_is_named_by_its_content(studio, tmp_path):
    sound = Path(__file__).parents[3] / "examples" / "demo-loop.flac"
    given = {"X-Name": "../../evil.flac", "Content-Disposition": 'attachment; filename="../evil.flac"'}
    answer = studio.client.post("/api/uploads", content=sound.read_bytes(), headers=given)
    name = answer.json()["name"]
    assert name.endswith(".flac")
    assert name.removesuffix(".flac").isalnum()
    assert [each.name for each in studio.folder.iterdir()] == [name]
    assert studio.hear({**TONES, "backgroundMusic": {"url": name}}).status_code == 200


def test_an_upload_that_is_no_sound_leaves_nothing(studio):
    answer = studio.client.post("/api/uploads", content=b"#EXTM3U\nfile:///etc/passwd\n" * 100)
    assert answer.status_code == 422
    assert "incoming" not in answer.json()["error"]
    assert list(studio.folder.iterdir()) == []


def test_uploads_are_bounded_whatever_they_say(studio, monkeypatch):
    monkeypatch.setattr("worker.studio.app.receive_file", lambda *given: receive_file(*given, most_bytes=10_000))
    said = studio.client.post("/api/uploads", content=b"x" * 10_001)
    unsaid = studio.client.post("/api/uploads", content=iter([b"x" * 5000] * 3))
    assert (said.status_code, unsaid.status_code) == (413, 413)
    assert list(studio.folder.iterdir()) == []
    assert bodies.UPLOAD_BYTES == 200 << 20


def test_documents_are_bounded_and_must_be_json(studio):
    check = "/api/check"
    assert studio.client.post(check, json={"job": {"script": "x" * bodies.JSON_BYTES}}).status_code == 413
    parts = iter([b'{"job": {"script": "', b"x" * bodies.JSON_BYTES])
    typed = {"Content-Type": "application/json"}
    assert studio.client.post(check, content=parts, headers=typed).status_code == 413
    assert studio.client.post(check, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    for text in (b"", b"[", b"[]", b"[" * 100_000, b'{"job": 3}'):
        assert studio.client.post(check, content=text, headers=typed).status_code == 400


def test_no_script_is_logged(studio, monkeypatch):
    written: list[str] = []
    sink = logger.add(written.append, level=0)
    monkeypatch.setattr("worker.studio.hearing.Hearing.hear", lambda *_: 1 / 0)
    try:
        job = {**TONES, "script": "my secret words", "voice": {"provider": "uploaded", "url": "gone.wav"}}
        assert studio.hear(job).status_code == 500
        assert studio.ask("/api/lanes", job).status_code == 422
        studio.client.post("/api/check", json={"job": {**job, "durationMin": "my secret words"}})
    finally:
        logger.remove(sink)
    assert any("studio.bug" in line or "bug" in line for line in written)
    assert "secret" not in "".join(map(str, written))


def test_files_of_the_studio_are_its_user_s_own(studio):
    sound = Path(__file__).parents[3] / "examples" / "demo-loop.flac"
    name = studio.client.post("/api/uploads", content=sound.read_bytes()).json()["name"]
    assert (studio.folder / name).stat().st_mode & 0o077 == 0
