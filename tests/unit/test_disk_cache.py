"""The folder of a cache that others may have been to: nothing is read, written or removed through what they left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from worker.disk_cache import DiskCache

NAMES = ["piece", "ab/piece"]


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """Where a planted link leads."""
    away = tmp_path / "away"
    (away / "ab").mkdir(parents=True, mode=0o700)
    for name in NAMES:
        (away / name).write_bytes(b"theirs")
    return away


def cache_in(folder: Path) -> DiskCache:
    return DiskCache(folder, max_bytes=1000)


def untouched(away: Path) -> bool:
    return all((away / name).read_bytes() == b"theirs" for name in NAMES) and len(list(away.rglob("*"))) == 3


def gives_nothing(cache: DiskCache, name: str, to: Path) -> bool:
    return cache.find(name) is None and cache.read(name) is None and not cache.hand_out(name, to) and not to.exists()


@pytest.mark.parametrize("name", NAMES)
def test_what_was_kept_is_given_back_from_a_folder_for_this_user_alone(tmp_path: Path, name: str) -> None:
    cache = cache_in(tmp_path / "cache" / "speech")
    assert cache.keep(name, b"ours")
    assert cache.read(name) == b"ours"
    assert cache.hand_out(name, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"ours"
    folders = [tmp_path / "cache", *(path for path in (tmp_path / "cache").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    cache.drop(name)
    assert cache.read(name) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_folder_is_not_followed(tmp_path: Path, away: Path, name: str) -> None:
    (tmp_path / "cache").symlink_to(away)
    cache = cache_in(tmp_path / "cache")
    assert gives_nothing(cache, name, tmp_path / "out")
    assert cache.names("") == []
    assert not cache.keep(name, b"ours")
    cache.drop(name)
    assert untouched(away)


def test_a_planted_folder_within_is_not_followed(tmp_path: Path, away: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / "ab").symlink_to(away / "ab")
    cache = cache_in(tmp_path / "cache")
    assert gives_nothing(cache, "ab/piece", tmp_path / "out")
    assert not cache.keep("ab/piece", b"ours")
    cache.drop("ab/piece")
    assert untouched(away)


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_file_is_not_followed(tmp_path: Path, away: Path, name: str) -> None:
    (tmp_path / "cache" / "ab").mkdir(parents=True, mode=0o700)
    (tmp_path / "cache").chmod(0o700)
    (tmp_path / "cache" / name).symlink_to(away / name)
    cache = cache_in(tmp_path / "cache")
    assert gives_nothing(cache, name, tmp_path / "out")
    assert cache.keep(name, b"ours")
    assert cache.read(name) == b"ours"
    assert untouched(away)


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = cache_in(folder)
    assert cache.keep("piece", b"ours")
    folder.chmod(0o777)
    assert gives_nothing(cache, "piece", tmp_path / "out")
    assert not cache.keep("piece", b"new")
    folder.chmod(0o755)
    assert cache.read("piece") == b"ours"
    assert cache.keep("piece", b"new")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("which", ["cache", "cache/media", "cache/media/piece"])
def test_what_belongs_to_another_user_is_not_used(tmp_path: Path, which: str) -> None:
    cache = cache_in(tmp_path / "cache" / "media")
    assert cache.keep("piece", b"ours")
    os.chown(tmp_path / which, 10_001, 10_001)
    assert gives_nothing(cache, "piece", tmp_path / "out")
