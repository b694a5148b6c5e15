"""Music and uploads: what may be fetched, what may not, and what becomes of a server that misbehaves."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage, production_buckets, serve_project
from standins.stranger import PUBLIC, Stranger, page, raw, redirect, stranger

from worker.backoff import Patience
from worker.config import Config
from worker.errors import ConfigurationError, MediaError, ResourceError, TransientError
from worker.fetch import fetch as fetch_module
from worker.fetch.fetch import fetch_media
from worker.fetch.guarded_http import Network
from worker.fetch.media_cache import MediaCache

ORIGIN = "https://ref.supabase.co"
HOSTS = ("media.example.com", "*.cdn.example.com")
SONG = b"ID3" + bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "_PATIENCE", Patience(failures=3, first_wait_s=0.01, longest_wait_s=0.02))


# -- strangers


@pytest.fixture(scope="module")
def _somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("certificate")
    with stranger(folder, "media.example.com", "a.cdn.example.com", "b.cdn.example.com") as running:
        yield running


@pytest.fixture
def somebody(_somebody: Stranger) -> Stranger:
    _somebody.pages.clear()
    _somebody.asked.clear()
    _somebody.reached.clear()
    _somebody.looked_up.clear()
    _somebody.names.update(
        {host: [[PUBLIC]] for host in ("media.example.com", "a.cdn.example.com", "b.cdn.example.com")}
    )
    return _somebody


def outside(somebody: Stranger, into: Path, url: str = "https://media.example.com/a.mp3", **how: object) -> Path:
    deadline_s = float(str(how.pop("deadline_s", 10.0)))
    cache = how.pop("cache_dir", None)
    config = Config(media_hosts=HOSTS, media_max_mb=1, **how)  # type: ignore[arg-type]
    return fetch_media(
        url,
        bucket="background-music",
        into=into,
        config=config,
        cache_dir=cache if isinstance(cache, Path) else None,
        network=somebody.network,
        deadline_s=deadline_s,
    )


def test_a_file_from_an_allowed_host(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3?v=1"] = page(SONG)
    path = outside(somebody, tmp_path, "https://media.example.com/a.mp3?v=1")
    assert path.read_bytes() == SONG
    assert path.parent == tmp_path
    assert path.suffix == ".mp3"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    host, _, headers = somebody.asked[0]
    assert host == "media.example.com"  # the name, though the connection went to an address
    assert somebody.reached == [PUBLIC]
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
def test_a_name_that_leads_inside_is_refused_unconnected(
    somebody: Stranger, tmp_path: Path, answers: list[str]
) -> None:
    somebody.names["media.example.com"] = [answers]
    with pytest.raises(MediaError, match="not a public address"):
        outside(somebody, tmp_path)
    assert somebody.reached == []


def test_dns_that_changes_its_mind_is_asked_only_once(somebody: Stranger, tmp_path: Path) -> None:
    somebody.names["media.example.com"] = [[PUBLIC], ["127.0.0.1"]]
    somebody.pages["/a.mp3"] = page(SONG)
    outside(somebody, tmp_path)
    assert somebody.looked_up == ["media.example.com"]
    assert somebody.reached == [PUBLIC]


def test_redirects_are_followed_between_allowed_hosts(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = redirect("https://a.cdn.example.com/b.mp3?X-Amz-Signature=1", 307)
    somebody.pages["/b.mp3?X-Amz-Signature=1"] = redirect("/c.mp3", 301)
    somebody.pages["/c.mp3"] = page(SONG)
    assert outside(somebody, tmp_path).read_bytes() == SONG
    assert [host for host, _, _ in somebody.asked] == [
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
def test_redirects_elsewhere_are_refused(somebody: Stranger, tmp_path: Path, target: str) -> None:
    somebody.pages["/a.mp3"] = redirect(target)
    with pytest.raises(MediaError) as caught:
        outside(somebody, tmp_path, supabase_url=ORIGIN, supabase_service_role_key=SERVICE_KEY)
    assert caught.value.code == "media.refused"
    assert {host for host, _, _ in somebody.asked} == {"media.example.com"}
    assert not any("apikey" in headers for _, _, headers in somebody.asked)


def test_a_redirect_to_a_name_that_leads_inside_is_refused(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = redirect("https://b.cdn.example.com/x.mp3")
    somebody.names["b.cdn.example.com"] = [["192.168.0.10"]]
    with pytest.raises(MediaError, match="not a public address"):
        outside(somebody, tmp_path)
    assert somebody.reached == [PUBLIC]


def test_redirects_end(somebody: Stranger, tmp_path: Path) -> None:
    for hop in range(6):
        somebody.pages[f"/{hop}.mp3"] = redirect(f"/{hop + 1}.mp3")
    with pytest.raises(MediaError, match="redirects more than 3 times"):
        outside(somebody, tmp_path, "https://media.example.com/0.mp3")
    assert [path for _, path, _ in somebody.asked] == ["/0.mp3", "/1.mp3", "/2.mp3", "/3.mp3"]


def test_a_certificate_for_another_name_is_not_good_enough(somebody: Stranger, tmp_path: Path) -> None:
    somebody.names["c.cdn.example.com"] = [[PUBLIC]]
    somebody.pages["/a.mp3"] = page(SONG)
    with pytest.raises(TransientError, match="certificate"):
        outside(somebody, tmp_path, "https://c.cdn.example.com/a.mp3")
    assert somebody.asked == []


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
def test_too_large_is_noticed_while_it_comes(somebody: Stranger, tmp_path: Path, head: bytes, body: bytes) -> None:
    somebody.pages["/a.mp3"] = raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", body)
    with pytest.raises(MediaError, match="MEDIA_MAX_MB") as caught:
        outside(somebody, tmp_path)
    assert caught.value.code == "media.too_large"
    assert list(tmp_path.iterdir()) == []


def test_too_large_is_refused_before_it_comes(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1500000\r\n\r\n", b"x")
    with pytest.raises(MediaError, match="is 2 MB"):
        outside(somebody, tmp_path)


def test_a_body_beyond_its_promise_ends_at_the_promise(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"12345" + b"x" * 100_000)
    assert outside(somebody, tmp_path).read_bytes() == b"12345"


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
    somebody: Stranger, tmp_path: Path, pieces: tuple[bytes, ...]
) -> None:
    somebody.pages["/a.mp3"] = raw(*pieces)
    with pytest.raises(TransientError):
        outside(somebody, tmp_path)
    assert len(somebody.asked) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_break_is_made_good_by_the_next_try(somebody: Stranger, tmp_path: Path) -> None:
    answers = [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"x" * 50), page(SONG)]
    somebody.pages["/a.mp3"] = lambda handler: answers.pop(0)(handler)
    assert outside(somebody, tmp_path).read_bytes() == SONG


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
def test_slowness_ends_at_the_deadline(somebody: Stranger, tmp_path: Path, head: bytes, piece: bytes) -> None:
    stop = threading.Event()
    somebody.pages["/a.mp3"] = raw(*_drip(stop, head, piece))  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="too slow"):
        outside(somebody, tmp_path, deadline_s=0.4)
    stop.set()
    assert list(tmp_path.iterdir()) == []


def test_a_handshake_that_never_comes_ends_at_the_deadline(somebody: Stranger, tmp_path: Path) -> None:
    import socket

    import httpcore

    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        network = SimpleNamespace(
            addresses=lambda host, port: [PUBLIC],
            connect=lambda address, _port, timeout_s: httpcore.SyncBackend().connect_tcp("127.0.0.1", port),
            tls=somebody.trust,
        )
        with pytest.raises(TransientError, match="too slow"):
            outside(SimpleNamespace(network=network), tmp_path, deadline_s=0.3)  # type: ignore[arg-type]


def test_dns_that_does_not_answer_ends_at_the_deadline(somebody: Stranger, tmp_path: Path) -> None:
    stop = threading.Event()

    def never(host: str, port: int) -> list[str]:
        stop.wait(30)
        return [PUBLIC]

    network = Network(addresses=never, connect=somebody.network.connect, tls=somebody.trust)
    with pytest.raises(TransientError, match="no answer from DNS"):
        outside(SimpleNamespace(network=network), tmp_path, deadline_s=0.2)  # type: ignore[arg-type]
    stop.set()
    assert somebody.reached == []


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
    somebody: Stranger, tmp_path: Path, status: int, kind: type[Exception], code: str, tries: int
) -> None:
    somebody.pages["/a.mp3?sig=secret"] = page(b"no", status)
    with pytest.raises(kind) as caught:
        outside(somebody, tmp_path, "https://media.example.com/a.mp3?sig=secret")
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert "https://media.example.com/a.mp3" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(somebody.asked) == tries


def test_a_long_retry_after_is_left_to_the_queue(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = page(b"", 503, Retry_After="120")
    with pytest.raises(TransientError) as caught:
        outside(somebody, tmp_path)
    assert caught.value.retry_after_s == 120.0
    assert len(somebody.asked) == 1


def test_compressed_answers_are_not_taken(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = page(b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(MediaError, match="compressed"):
        outside(somebody, tmp_path)


def test_a_full_disk_is_a_resource_error(somebody: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody.pages["/a.mp3"] = page(SONG)

    def full(self: Path, *args: object, **kwargs: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResourceError, match="No space left"):
        outside(somebody, tmp_path)


# -- the cache


def test_an_unchanged_file_is_not_sent_again(somebody: Stranger, tmp_path: Path) -> None:
    def versioned(handler) -> None:  # type: ignore[no-untyped-def]
        if handler.headers.get("if-none-match") == '"v1"':
            page(b"", 304, ETag='"v1"')(handler)
        else:
            page(SONG, ETag='"v1"')(handler)

    somebody.pages["/a.mp3?token=1"] = somebody.pages["/a.mp3?token=2"] = versioned
    jobs = [tmp_path / "job1", tmp_path / "job2", tmp_path / "job3"]
    for job in jobs:
        job.mkdir()
    cache = tmp_path / "cache"
    outside(somebody, jobs[0], "https://media.example.com/a.mp3?token=1", cache_dir=cache)
    second = outside(somebody, jobs[1], "https://media.example.com/a.mp3?token=2", cache_dir=cache)
    assert second.read_bytes() == SONG
    assert [headers.get("if-none-match") for _, _, headers in somebody.asked] == [None, '"v1"']
    # What a job was given stays, however soon the cache lets go of it.
    shutil.rmtree(cache)
    assert second.read_bytes() == SONG
    third = outside(somebody, jobs[2], "https://media.example.com/a.mp3?token=2", cache_dir=cache)
    assert third.read_bytes() == SONG


def test_a_changed_file_replaces_the_kept_one(somebody: Stranger, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for version in (b"one", b"two"):
        somebody.pages["/a.mp3"] = page(version, ETag=f'"{version.decode()}"')
        assert outside(somebody, tmp_path, cache_dir=cache).read_bytes() == version
    assert len(list(cache.iterdir())) == 1


def test_a_file_gone_from_the_server_is_gone_from_here(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = page(SONG, ETag='"1"')
    outside(somebody, tmp_path, cache_dir=tmp_path / "cache")
    del somebody.pages["/a.mp3"]
    with pytest.raises(MediaError) as caught:
        outside(somebody, tmp_path, cache_dir=tmp_path / "cache")
    assert caught.value.code == "media.missing"


def test_a_kept_file_that_another_process_drops_is_asked_for_again(
    somebody: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versioned(handler) -> None:  # type: ignore[no-untyped-def]
        answer = page(b"", 304) if handler.headers.get("if-none-match") else page(SONG, ETag='"1"')
        answer(handler)

    somebody.pages["/a.mp3"] = versioned
    cache = tmp_path / "cache"
    outside(somebody, tmp_path, cache_dir=cache)
    hand_out = MediaCache.hand_out

    def dropped_just_now(self: MediaCache, kept: object, to: Path) -> bool:
        shutil.rmtree(cache)
        return hand_out(self, kept, to)  # type: ignore[arg-type]

    monkeypatch.setattr(MediaCache, "hand_out", dropped_just_now)
    assert outside(somebody, tmp_path, cache_dir=cache).read_bytes() == SONG


def test_the_cache_keeps_to_its_size_and_drops_the_least_used(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path / "cache", max_bytes=250)
    file = tmp_path / "file"
    for number in range(2):
        file.unlink(missing_ok=True)
        file.write_bytes(bytes([number]) * 100)
        cache.keep(file, f"url{number}", '"e"')
        kept = cache.find(f"url{number}")
        assert kept is not None
        os.utime(kept.path, (1000 + number, 1000 + number))
    kept = cache.find("url0")
    assert kept is not None
    assert cache.hand_out(kept, tmp_path / "used")  # which makes url0 the newest
    file.unlink()
    file.write_bytes(b"2" * 100)
    cache.keep(file, "url2", '"e"')
    assert cache.find("url0") is not None
    assert cache.find("url1") is None
    assert cache.find("url2") is not None
    file.unlink()
    file.write_bytes(b"3" * 300)
    cache.keep(file, "url3", '"e"')
    assert cache.find("url3") is None


def test_the_cache_sweeps_up_after_a_killed_process(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = MediaCache(folder, max_bytes=1000)
    folder.mkdir()
    left = folder / "0123.part"
    left.write_bytes(b"half")
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    file = tmp_path / "file"
    file.write_bytes(b"whole")
    cache.keep(file, "url", '"e"')
    assert not left.exists()
    assert cache.find("url") is not None


def test_workers_share_a_small_cache(tmp_path: Path) -> None:
    """Each gets what it asked for, whole, while all of them push each other's files out."""
    cache = MediaCache(tmp_path / "cache", max_bytes=2500)
    wrong: list[str] = []

    def worker(me: int) -> None:
        for turn in range(40):
            url = f"url{(me + turn) % 4}"
            out = tmp_path / f"{me}-{turn}"
            kept = cache.find(url)
            if kept is None or not cache.hand_out(kept, out):
                out.write_bytes(url.encode() * 250)
                cache.keep(out, url, '"e"')
            if out.read_bytes() != url.encode() * 250:
                wrong.append(url)

    threads = [threading.Thread(target=worker, args=(me,)) for me in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    left = list((tmp_path / "cache").iterdir())
    assert not [path for path in left if path.suffix == ".part"]
    assert sum(path.stat().st_size for path in left) <= 2500


def test_an_unwritable_cache_does_no_harm(somebody: Stranger, tmp_path: Path) -> None:
    somebody.pages["/a.mp3"] = page(SONG, ETag='"1"')
    (tmp_path / "cache").write_text("not a folder")
    assert outside(somebody, tmp_path, cache_dir=tmp_path / "cache").read_bytes() == SONG


# -- our own storage


@pytest.fixture
def storage() -> Storage:
    running = Storage(*production_buckets())
    running.put("background-music", "calm/deep sea.mp3", SONG)
    return running


@pytest.fixture
def project(storage: Storage) -> Iterator[Config]:
    with serve_project({"/storage/v1": storage}) as url:
        yield Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY)  # type: ignore[arg-type]


def own(config: Config, into: Path, reference: str, **how: object) -> Path:
    return fetch_media(reference, bucket="background-music", into=into, config=config, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "reference",
    [
        "calm/deep sea.mp3",
        "{origin}/storage/v1/object/public/background-music/calm/deep%20sea.mp3",
        "{origin}/storage/v1/object/sign/background-music/calm/deep%20sea.mp3?token=expired",
        "{origin}/storage/v1/object/authenticated/background-music/calm/deep%20sea.mp3",
    ],
)
def test_own_objects_are_fetched_with_the_key(
    project: Config, storage: Storage, tmp_path: Path, reference: str
) -> None:
    storage.expired.add("expired")
    storage.buckets["background-music"].public = False
    path = own(project, tmp_path, reference.format(origin=project.supabase_url))
    assert path.read_bytes() == SONG
    assert storage.asked == ["GET /object/authenticated/background-music/calm/deep%20sea.mp3"]
    assert storage.keys == [SERVICE_KEY]


def test_own_objects_are_kept_by_etag(project: Config, storage: Storage, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        assert own(project, tmp_path, "calm/deep sea.mp3", cache_dir=cache).read_bytes() == SONG
    storage.put("background-music", "calm/deep sea.mp3", b"new")
    assert own(project, tmp_path, "calm/deep sea.mp3", cache_dir=cache).read_bytes() == b"new"
    assert storage.statuses == [200, 304, 200]


def test_missing_music_fails_the_job_plainly(project: Config, tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, "gone.mp3")
    assert caught.value.code == "media.missing"
    assert "background-music/gone.mp3" in caught.value.message
    assert "could not be found" in caught.value.customer_message
    assert "background-music/" not in caught.value.customer_message


def test_a_missing_bucket_is_the_operators_only_where_the_worker_chose_it(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(MediaError):
        own(project, tmp_path, f"{project.supabase_url}/storage/v1/object/public/nonsense/a.mp3")
    del storage.buckets["background-music"]
    with pytest.raises(ConfigurationError, match="no bucket 'background-music'"):
        own(project, tmp_path, "a.mp3")


def test_a_refused_key_is_the_operators(project: Config, tmp_path: Path) -> None:
    wrong = Config(supabase_url=project.supabase_url, supabase_service_role_key="wrong")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        own(wrong, tmp_path, "calm/deep sea.mp3")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"statusCode":"500","error":"Internal","message":"Internal Server Error"}'),
        (544, b'{"statusCode":"544","error":"DatabaseTimeout","message":"The connection timed out"}'),
        (400, b'{"statusCode":"503","error":"SlowDown","message":"Please reduce your rate"}'),
        (400, b'{"statusCode":"423","error":"ResourceLocked","message":"The resource is locked"}'),
        (502, b"<html>bad gateway</html>"),
        (429, b'{"message":"API rate limit exceeded"}'),
    ],
)
def test_passing_faults_are_tried_again(
    project: Config, storage: Storage, tmp_path: Path, status: int, body: bytes
) -> None:
    storage.fault("GET", "deep", "answer", times=2, status=status, body=body)
    assert own(project, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    storage.fault("GET", "deep", "answer", times=3, status=status, body=body)
    with pytest.raises(TransientError):
        own(project, tmp_path, "calm/deep sea.mp3")


@pytest.mark.parametrize("kind", ["drop", "truncate", "drop after"])
def test_a_dropped_connection_is_made_good(project: Config, storage: Storage, tmp_path: Path, kind: str) -> None:
    storage.fault("GET", "deep", kind, times=2, after_bytes=500)
    assert own(project, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    assert len(storage.asked) == 3


def test_the_key_follows_no_redirect(project: Config, storage: Storage, somebody: Stranger, tmp_path: Path) -> None:
    storage.fault("GET", "deep", "answer", status=302, headers={"Location": "https://media.example.com/a.mp3"})
    config = project.model_copy(update={"media_hosts": HOSTS})
    with pytest.raises(ConfigurationError, match="redirect"):
        own(config, tmp_path, "calm/deep sea.mp3")
    assert somebody.asked == []


def test_a_secret_key_is_no_bearer_token(project: Config, storage: Storage, tmp_path: Path) -> None:
    from worker.supabase_access import supabase_of

    new = Config(supabase_url=project.supabase_url, supabase_service_role_key="sb_secret_x")  # type: ignore[arg-type]
    supabase = supabase_of(new)
    assert supabase is not None
    assert supabase.headers() == {"apikey": "sb_secret_x"}


# -- without Supabase


def test_without_supabase_names_are_files(tmp_path: Path) -> None:
    (tmp_path / "out/background-music").mkdir(parents=True)
    (tmp_path / "out/background-music/a.mp3").write_bytes(SONG)
    (tmp_path / "secret.mp3").write_bytes(b"secret")
    (tmp_path / "out/background-music/link.mp3").symlink_to(tmp_path / "secret.mp3")
    config = Config(storage_dir=tmp_path / "out")
    assert own(config, tmp_path, "a.mp3").read_bytes() == SONG
    for reference, code in (
        ("b.mp3", "media.missing"),
        ("k" * 300, "media.missing"),
        ("../../secret.mp3", "media.refused"),
        ("link.mp3", "media.refused"),
        ("https://project.supabase.co/storage/v1/object/public/background-music/a.mp3", "media.refused"),
    ):
        with pytest.raises(MediaError) as caught:
            own(config, tmp_path, reference)
        assert caught.value.code == code
