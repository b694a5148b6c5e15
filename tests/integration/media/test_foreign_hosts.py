"""Uploads from elsewhere: what may be fetched, what may not, and what becomes of a server that misbehaves."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpcore
import pytest
from fetching import SONG, outside
from standins.foreign_host import PUBLIC, ForeignHost, page, raw, redirect
from standins.postgrest import SERVICE_KEY

from worker.errors import MediaError, ResourceError, TransientError
from worker.media.guarded_http import Network

ORIGIN = "https://ref.supabase.co"
SOON_S = 3.0  # long enough to get to where it stalls, on any machine


def test_a_file_from_an_allowed_host(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3?v=1"] = page(SONG)
    path = outside(host, tmp_path, "https://media.example.com/a.mp3?v=1")
    assert path.read_bytes() == SONG
    assert path.parent == tmp_path
    assert path.suffix == ".mp3"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    name, _, headers = host.asked[0]
    assert name == "media.example.com"  # the name, though the connection went to an address
    assert host.reached == [PUBLIC]
    assert headers["accept-encoding"] == "identity"
    assert not {"authorization", "apikey", "cookie"} & set(headers)


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["::1"],
        ["fd00::5"],
        ["::ffff:10.0.0.1"],
        [PUBLIC, "10.0.0.5"],
    ],
)
def test_a_name_that_leads_inside_is_refused_unconnected(host: ForeignHost, tmp_path: Path, answers: list[str]) -> None:
    host.names["media.example.com"] = [answers]
    with pytest.raises(MediaError, match="not a public address"):
        outside(host, tmp_path)
    assert host.reached == []


def test_dns_that_changes_its_mind_is_asked_only_once(host: ForeignHost, tmp_path: Path) -> None:
    host.names["media.example.com"] = [[PUBLIC], ["127.0.0.1"]]
    host.pages["/a.mp3"] = page(SONG)
    outside(host, tmp_path)
    assert host.looked_up == ["media.example.com"]
    assert host.reached == [PUBLIC]


def test_redirects_are_followed_between_allowed_hosts(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = redirect("https://a.cdn.example.com/b.mp3?X-Amz-Signature=1", 307)
    host.pages["/b.mp3?X-Amz-Signature=1"] = redirect("/c.mp3", 301)
    host.pages["/c.mp3"] = page(SONG)
    assert outside(host, tmp_path).read_bytes() == SONG
    assert [host for host, _, _ in host.asked] == [
        "media.example.com",
        "a.cdn.example.com",
        "a.cdn.example.com",
    ]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.org/a.mp3",
        "http://media.example.com/a.mp3",
        "https://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "https://user:pass@media.example.com/a.mp3",
        "https://media.example.com:22/",
        f"{ORIGIN}/storage/v1/object/audio-renders/x.mp3",
        "//evil.org/a.mp3",
        "https://[",
        "data:audio/mpeg,x",
        "",
    ],
)
def test_redirects_elsewhere_are_refused(host: ForeignHost, tmp_path: Path, target: str) -> None:
    host.pages["/a.mp3"] = redirect(target)
    with pytest.raises(MediaError) as caught:
        outside(host, tmp_path, supabase_url=ORIGIN, supabase_service_role_key=SERVICE_KEY)
    assert caught.value.code == "media.refused"
    assert {host for host, _, _ in host.asked} == {"media.example.com"}
    assert not any("apikey" in headers for _, _, headers in host.asked)


def test_a_redirect_to_a_name_that_leads_inside_is_refused(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = redirect("https://b.cdn.example.com/x.mp3")
    host.names["b.cdn.example.com"] = [["192.168.0.10"]]
    with pytest.raises(MediaError, match="not a public address"):
        outside(host, tmp_path)
    assert host.reached == [PUBLIC]


def test_redirects_end(host: ForeignHost, tmp_path: Path) -> None:
    for hop in range(6):
        host.pages[f"/{hop}.mp3"] = redirect(f"/{hop + 1}.mp3")
    with pytest.raises(MediaError, match="redirects more than 3 times"):
        outside(host, tmp_path, "https://media.example.com/0.mp3")
    assert [path for _, path, _ in host.asked] == ["/0.mp3", "/1.mp3", "/2.mp3", "/3.mp3"]


def test_a_certificate_for_another_name_is_not_good_enough(host: ForeignHost, tmp_path: Path) -> None:
    host.names["c.cdn.example.com"] = [[PUBLIC]]
    host.pages["/a.mp3"] = page(SONG)
    with pytest.raises(TransientError, match="certificate"):
        outside(host, tmp_path, "https://c.cdn.example.com/a.mp3")
    assert host.asked == []


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 1500000", b"x" * 1_500_000),
        (
            b"Transfer-Encoding: chunked",
            b"".join(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(40)) + b"0\r\n\r\n",
        ),
        (b"X-Length: unknown", b"x" * 1_500_000),
    ],
    ids=["said so", "chunked", "until it closes"],
)
def test_too_large_is_noticed_while_it_comes(host: ForeignHost, tmp_path: Path, head: bytes, body: bytes) -> None:
    host.pages["/a.mp3"] = raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", body)
    with pytest.raises(MediaError, match="MEDIA_MAX_MB") as caught:
        outside(host, tmp_path)
    assert caught.value.code == "media.too_large"
    assert list(tmp_path.iterdir()) == []


def test_too_large_is_refused_before_it_comes(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1500000\r\n\r\n", b"x")
    with pytest.raises(MediaError, match="is 2 MB"):
        outside(host, tmp_path)


def test_a_body_beyond_its_promise_ends_at_the_promise(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"12345" + b"x" * 100_000)
    assert outside(host, tmp_path).read_bytes() == b"12345"


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"x" * 50),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\n12345\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"SSH-2.0-OpenSSH\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 300_000,),
        (),
    ],
    ids=["short", "unended", "no head", "another protocol", "vast", "negative", "long head", "nothing"],
)
def test_a_broken_answer_is_tried_again_and_leaves_nothing(
    host: ForeignHost, tmp_path: Path, pieces: tuple[bytes, ...]
) -> None:
    host.pages["/a.mp3"] = raw(*pieces)
    with pytest.raises(TransientError):
        outside(host, tmp_path)
    assert len(host.asked) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_break_is_made_good_by_the_next_try(host: ForeignHost, tmp_path: Path) -> None:
    answers = [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"x" * 50), page(SONG)]
    host.pages["/a.mp3"] = lambda handler: answers.pop(0)(handler)
    assert outside(host, tmp_path).read_bytes() == SONG


def _drip(stop: threading.Event, head: bytes, piece: bytes) -> tuple[bytes | object, ...]:
    return (head, *[part for _ in range(200) for part in (piece, lambda: stop.wait(0.05))])


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),  # the cut looks like its end
        (b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b""),
    ],
    ids=["body", "body without length", "head", "silence"],
)
def test_slowness_ends_at_the_deadline(host: ForeignHost, tmp_path: Path, head: bytes, piece: bytes) -> None:
    stop = threading.Event()
    host.pages["/a.mp3"] = raw(*_drip(stop, head, piece))  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="too slow"):
        outside(host, tmp_path, deadline_s=SOON_S)
    stop.set()
    assert list(tmp_path.iterdir()) == []


def test_a_handshake_that_never_comes_ends_at_the_deadline(host: ForeignHost, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        network = SimpleNamespace(
            addresses=lambda host, port: [PUBLIC],
            connect=lambda address, _port, timeout_s: httpcore.SyncBackend().connect_tcp("127.0.0.1", port),
            tls=host.trust,
        )
        with pytest.raises(TransientError, match="too slow"):
            outside(SimpleNamespace(network=network), tmp_path, deadline_s=SOON_S)  # type: ignore[arg-type]


def test_dns_that_does_not_answer_ends_at_the_deadline(host: ForeignHost, tmp_path: Path) -> None:
    stop = threading.Event()

    def never(host: str, port: int) -> list[str]:
        stop.wait(30)
        return [PUBLIC]

    network = Network(addresses=never, connect=host.network.connect, tls=host.trust)
    with pytest.raises(TransientError, match="no answer from DNS"):
        outside(SimpleNamespace(network=network), tmp_path, deadline_s=SOON_S)  # type: ignore[arg-type]
    stop.set()
    assert host.reached == []


def test_connecting_is_over_by_the_deadline(host: ForeignHost, tmp_path: Path) -> None:
    """No address is tried for longer than is left, and none after it."""
    host.names["media.example.com"] = [[PUBLIC, PUBLIC]]
    tried: list[tuple[str, float]] = []

    def unreachable(address: str, port: int, timeout_s: float) -> httpcore.NetworkStream:
        tried.append((address, timeout_s))
        time.sleep(timeout_s)
        raise httpcore.ConnectTimeout(f"{address} does not answer")

    network = Network(addresses=host.network.addresses, connect=unreachable, tls=host.trust)
    with pytest.raises(TransientError, match="ConnectTimeout"):
        outside(SimpleNamespace(network=network), tmp_path, deadline_s=SOON_S)  # type: ignore[arg-type]
    assert [address for address, _ in tried] == [PUBLIC]
    assert tried[0][1] <= SOON_S


def test_a_connection_that_comes_after_the_deadline_is_cut_before_a_word(host: ForeignHost, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:

        def late(address: str, port: int, timeout_s: float) -> httpcore.NetworkStream:
            line = httpcore.SyncBackend().connect_tcp("127.0.0.1", mute.getsockname()[1])
            time.sleep(timeout_s + 0.2)
            return line

        network = Network(addresses=host.network.addresses, connect=late, tls=host.trust)
        with pytest.raises(TransientError, match="too slow"):
            outside(SimpleNamespace(network=network), tmp_path, deadline_s=SOON_S)  # type: ignore[arg-type]
        with mute.accept()[0] as other_end:
            assert other_end.recv(1) == b""


@pytest.mark.parametrize(
    ("status", "kind", "code", "tries"),
    [
        (404, MediaError, "media.missing", 1),
        (410, MediaError, "media.missing", 1),
        (403, MediaError, "media.refused", 1),
        (304, MediaError, "media.refused", 1),  # nobody asked whether anything had changed
        (206, MediaError, "media.refused", 1),
        (500, TransientError, "media.unavailable", 3),
        (503, TransientError, "media.unavailable", 3),
        (429, TransientError, "media.unavailable", 3),
    ],
)
def test_what_a_strangers_status_means(
    host: ForeignHost, tmp_path: Path, status: int, kind: type[Exception], code: str, tries: int
) -> None:
    host.pages["/a.mp3?sig=secret"] = page(b"no", status)
    with pytest.raises(kind) as caught:
        outside(host, tmp_path, "https://media.example.com/a.mp3?sig=secret")
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert "https://media.example.com/a.mp3" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(host.asked) == tries


def test_a_long_retry_after_is_left_to_the_queue(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = page(b"", 503, Retry_After="120")
    with pytest.raises(TransientError) as caught:
        outside(host, tmp_path)
    assert caught.value.retry_after_s == 120.0
    assert len(host.asked) == 1


def test_compressed_answers_are_not_taken(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = page(b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(MediaError, match="compressed"):
        outside(host, tmp_path)


def test_a_full_disk_is_a_resource_error(host: ForeignHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.pages["/a.mp3"] = page(SONG)

    def full(self: Path, *args: object, **kwargs: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        outside(host, tmp_path)
