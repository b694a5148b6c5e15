"""What was fetched once: kept, asked after, dropped."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from fetching import SONG, outside
from standins.foreign_host import ForeignHost, page

from worker.errors import MediaError
from worker.media.cache import Address, MediaCache


def address(url: str) -> Address:
    return Address(url, url)


def versioned(content: bytes, etag: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("if-none-match") == etag:
            page(b"", 304, ETag=etag)(handler)
        else:
            page(content, ETag=etag)(handler)

    return answer


def md5(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def test_an_unchanged_file_is_not_sent_again(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3?token=1"] = versioned(SONG, '"v1"')
    jobs = [tmp_path / "job1", tmp_path / "job2", tmp_path / "job3"]
    for job in jobs:
        job.mkdir()
    cache = tmp_path / "cache"
    outside(host, jobs[0], "https://media.example.com/a.mp3?token=1", cache_dir=cache)
    second = outside(host, jobs[1], "https://media.example.com/a.mp3?token=1", cache_dir=cache)
    assert second.read_bytes() == SONG
    assert [headers.get("if-none-match") for _, _, headers in host.asked] == [None, '"v1"']
    # What a job was given stays, however soon the cache lets go of it.
    shutil.rmtree(cache)
    assert second.read_bytes() == SONG
    third = outside(host, jobs[2], "https://media.example.com/a.mp3?token=1", cache_dir=cache)
    assert third.read_bytes() == SONG


@pytest.mark.parametrize("etags", [('"v1"', '"v1"'), ('W/"1"', 'W/"1"'), (md5(b"other"), md5(b"other"))])
def test_two_signed_addresses_are_two_files(host: ForeignHost, tmp_path: Path, etags: tuple[str, str]) -> None:
    """Where the token chooses the file, and the host's ETag does not tell them apart."""
    content = {"A": b"a customer's music", "B": b"another customer's music"}
    for token, etag in zip("AB", etags, strict=True):
        host.pages[f"/a.mp3?token={token}"] = versioned(content[token], etag)
    for token in "ABAB":
        found = outside(host, tmp_path, f"https://media.example.com/a.mp3?token={token}", cache_dir=tmp_path / "cache")
        assert found.read_bytes() == content[token]


def test_two_signed_addresses_are_two_files_within_a_job(host: ForeignHost, tmp_path: Path) -> None:
    for token in "AB":
        host.pages[f"/a.mp3?token={token}"] = page(token.encode())
    one, other = (outside(host, tmp_path, f"https://media.example.com/a.mp3?token={token}") for token in "AB")
    assert (one.read_bytes(), other.read_bytes()) == (b"A", b"B")


def test_a_link_signed_anew_costs_no_transfer(host: ForeignHost, tmp_path: Path) -> None:
    """Where the ETag is the MD5 of the content, the same ETag is the same content."""
    for token in "12":
        host.pages[f"/a.mp3?token={token}"] = versioned(SONG, md5(SONG))
    host.pages["/a.mp3?token=3"] = versioned(b"changed", md5(b"changed"))
    for token, content in (("1", SONG), ("2", SONG), ("3", b"changed")):
        found = outside(host, tmp_path, f"https://media.example.com/a.mp3?token={token}", cache_dir=tmp_path / "cache")
        assert found.read_bytes() == content
    assert [headers.get("if-none-match") for _, _, headers in host.asked] == [None, md5(SONG), md5(SONG)]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_changed_file_replaces_the_kept_one(host: ForeignHost, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for version in (b"one", b"two"):
        host.pages["/a.mp3"] = page(version, ETag=f'"{version.decode()}"')
        assert outside(host, tmp_path, cache_dir=cache).read_bytes() == version
    assert len(list(cache.iterdir())) == 1


def test_a_file_gone_from_the_server_is_gone_from_here(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = page(SONG, ETag='"1"')
    outside(host, tmp_path, cache_dir=tmp_path / "cache")
    del host.pages["/a.mp3"]
    with pytest.raises(MediaError) as caught:
        outside(host, tmp_path, cache_dir=tmp_path / "cache")
    assert caught.value.code == "media.missing"


def test_a_kept_file_that_another_process_drops_is_asked_for_again(
    host: ForeignHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions(handler) -> None:  # type: ignore[no-untyped-def]
        answer = page(b"", 304) if handler.headers.get("if-none-match") else page(SONG, ETag='"1"')
        answer(handler)

    host.pages["/a.mp3"] = versions
    cache = tmp_path / "cache"
    outside(host, tmp_path, cache_dir=cache)
    hand_out = MediaCache.hand_out

    def dropped_just_now(self: MediaCache, kept: object, to: Path) -> bool:
        shutil.rmtree(cache)
        return hand_out(self, kept, to)  # type: ignore[arg-type]

    monkeypatch.setattr(MediaCache, "hand_out", dropped_just_now)
    assert outside(host, tmp_path, cache_dir=cache).read_bytes() == SONG


def test_the_cache_keeps_to_its_size_and_drops_the_least_used(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path / "cache", max_bytes=250)
    file = tmp_path / "file"
    for number in range(2):
        file.unlink(missing_ok=True)
        file.write_bytes(bytes([number]) * 100)
        cache.keep(file, address(f"url{number}"), '"e"')
        kept = cache.find(address(f"url{number}"))
        assert kept is not None
        os.utime(kept.path, (1000 + number, 1000 + number))
    kept = cache.find(address("url0"))
    assert kept is not None
    assert cache.hand_out(kept, tmp_path / "used")  # which makes url0 the newest
    file.unlink()
    file.write_bytes(b"2" * 100)
    cache.keep(file, address("url2"), '"e"')
    assert cache.find(address("url0")) is not None
    assert cache.find(address("url1")) is None
    assert cache.find(address("url2")) is not None
    file.unlink()
    file.write_bytes(b"3" * 300)
    cache.keep(file, address("url3"), '"e"')
    assert cache.find(address("url3")) is None


def test_the_cache_sweeps_up_after_a_killed_process(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = MediaCache(folder, max_bytes=1000)
    folder.mkdir(mode=0o700)
    left = folder / "0123.part"
    left.write_bytes(b"half")
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    file = tmp_path / "file"
    file.write_bytes(b"whole")
    cache.keep(file, address("url"), '"e"')
    assert not left.exists()
    assert cache.find(address("url")) is not None


def test_workers_share_a_small_cache(tmp_path: Path) -> None:
    """Each gets what it asked for, whole, while all of them push each other's files out."""
    cache = MediaCache(tmp_path / "cache", max_bytes=2500)
    wrong: list[str] = []

    def worker(me: int) -> None:
        for turn in range(40):
            url = f"url{(me + turn) % 4}"
            out = tmp_path / f"{me}-{turn}"
            kept = cache.find(address(url))
            if kept is None or not cache.hand_out(kept, out):
                out.write_bytes(url.encode() * 250)
                cache.keep(out, address(url), '"e"')
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


def test_an_unwritable_cache_does_no_harm(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = page(SONG, ETag='"1"')
    (tmp_path / "cache").write_text("not a folder")
    assert outside(host, tmp_path, cache_dir=tmp_path / "cache").read_bytes() == SONG
