"""What was fetched once: kept, asked after, dropped."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from fetching import SONG, outside
from standins.foreign_host import ForeignHost, page

from worker.errors import MediaError
from worker.media.cache import MediaCache


def test_an_unchanged_file_is_not_sent_again(host: ForeignHost, tmp_path: Path) -> None:
    def versioned(handler) -> None:  # type: ignore[no-untyped-def]
        if handler.headers.get("if-none-match") == '"v1"':
            page(b"", 304, ETag='"v1"')(handler)
        else:
            page(SONG, ETag='"v1"')(handler)

    host.pages["/a.mp3?token=1"] = host.pages["/a.mp3?token=2"] = versioned
    jobs = [tmp_path / "job1", tmp_path / "job2", tmp_path / "job3"]
    for job in jobs:
        job.mkdir()
    cache = tmp_path / "cache"
    outside(host, jobs[0], "https://media.example.com/a.mp3?token=1", cache_dir=cache)
    second = outside(host, jobs[1], "https://media.example.com/a.mp3?token=2", cache_dir=cache)
    assert second.read_bytes() == SONG
    assert [headers.get("if-none-match") for _, _, headers in host.asked] == [None, '"v1"']
    # What a job was given stays, however soon the cache lets go of it.
    shutil.rmtree(cache)
    assert second.read_bytes() == SONG
    third = outside(host, jobs[2], "https://media.example.com/a.mp3?token=2", cache_dir=cache)
    assert third.read_bytes() == SONG


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
    def versioned(handler) -> None:  # type: ignore[no-untyped-def]
        answer = page(b"", 304) if handler.headers.get("if-none-match") else page(SONG, ETag='"1"')
        answer(handler)

    host.pages["/a.mp3"] = versioned
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


def test_an_unwritable_cache_does_no_harm(host: ForeignHost, tmp_path: Path) -> None:
    host.pages["/a.mp3"] = page(SONG, ETag='"1"')
    (tmp_path / "cache").write_text("not a folder")
    assert outside(host, tmp_path, cache_dir=tmp_path / "cache").read_bytes() == SONG
