"""The tree under STORAGE_DIR, and the keys that both storages share."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.config import Config
from worker.errors import ConfigurationError, ResourceError, TransientError
from worker.storage.base import CONTENT_TYPES, Stored, preview_key, track_key
from worker.storage.choose import open_storage
from worker.storage.local_storage import LocalStorage

KEY = "tracks/t1/j1-0123.mp3"


def put(storage: LocalStorage, path: Path, key: str = KEY) -> Stored:
    return storage.put(path, key, bucket="audio-renders", content_type="audio/mpeg")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "track.mp3"
    path.parent.mkdir()
    path.write_bytes(b"music" * 1000)
    return path


@pytest.fixture(params=["linked", "copied", "copied without links"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The work folder on the same file system, on another, and a file system that has no links at all."""
    link = Path.hardlink_to

    def linked(self: Path, target: Path) -> None:
        if request.param == "copied without links":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        if request.param == "copied" and tmp_path / "out" not in Path(target).parents:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", linked)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_file_is_put_once_and_stays(tmp_path: Path, file: Path) -> None:
    storage = LocalStorage(tmp_path / "out")
    told: list[int] = []
    stored = storage.put(file, KEY, bucket="audio-renders", content_type="audio/mpeg", on_progress=told.append)
    place = tmp_path / "out/audio-renders" / KEY
    assert stored == Stored(f"audio-renders/{KEY}", place.as_uri(), 5000, already_there=False)
    assert told == [5000]
    assert put(storage, file).already_there is True
    file.unlink()
    assert place.read_bytes() == b"music" * 1000
    assert place.stat().st_size == 5000
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audio-renders"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("other", [b"other", b"musiC" * 1000], ids=["another size", "the same size"])
def test_another_file_in_the_place_stays(tmp_path: Path, file: Path, other: bytes) -> None:
    place = tmp_path / "out/audio-renders" / KEY
    place.parent.mkdir(parents=True)
    place.write_bytes(other)
    with pytest.raises(TransientError, match="nothing is overwritten"):
        put(LocalStorage(tmp_path / "out"), file)
    assert place.read_bytes() == other
    assert list(place.parent.iterdir()) == [place]


def test_remove(tmp_path: Path, file: Path) -> None:
    storage = LocalStorage(tmp_path / "out")
    put(storage, file)
    storage.remove("audio-renders", [KEY, "not/there.mp3"])
    assert not (tmp_path / "out/audio-renders" / KEY).exists()


@pytest.mark.parametrize("key", ["../x.mp3", "tracks/../../x.mp3", "/etc/x.mp3"])
def test_keys_stay_in_their_bucket(tmp_path: Path, file: Path, key: str) -> None:
    with pytest.raises(ValueError, match="inside its bucket"):
        put(LocalStorage(tmp_path / "out"), file, key)


def _failing(code: int) -> Callable[..., None]:
    def fail(*_args: object, **_how: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_full_disk_is_a_resource_error(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "hardlink_to", _failing(errno.EXDEV))
    monkeypatch.setattr("shutil.copyfile", _failing(errno.ENOSPC))
    with pytest.raises(ResourceError, match="full"):
        put(LocalStorage(tmp_path / "out"), file)


def test_an_unwritable_folder_names_the_variable(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", _failing(errno.EACCES))
    with pytest.raises(ConfigurationError, match="STORAGE_DIR"):
        put(LocalStorage(tmp_path / "out"), file)


KILLED = """
import errno, os, shutil, sys, time
from pathlib import Path
from worker.storage.local_storage import LocalStorage

def half(source, to):
    with open(source, "rb") as a, open(to, "wb") as b:
        b.write(a.read(2500))
    print("half", flush=True)
    time.sleep(60)

def no_links(self, target):
    raise OSError(errno.EXDEV, "")

Path.hardlink_to = no_links
shutil.copyfile = half
LocalStorage(Path(sys.argv[1])).put(Path(sys.argv[2]), sys.argv[3], bucket="audio-renders", content_type="")
"""


@pytest.mark.integration
def test_a_kill_in_the_middle_leaves_nothing_under_the_name(tmp_path: Path, file: Path) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out), str(file), KEY], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    child.kill()
    child.wait(timeout=60)
    child.stdout.close()
    assert not (out / "audio-renders" / KEY).exists()
    (left,) = (out / ".incoming").iterdir()
    assert left.stat().st_size == 2500
    # The next attempt puts the file in place; once the remains are old, the next copy sweeps them up.
    storage = LocalStorage(out)
    assert put(storage, file).already_there is False
    assert (out / "audio-renders" / KEY).read_bytes() == file.read_bytes()
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    storage._copy(file, out / "audio-renders" / "tracks/t1/another.mp3")
    assert not (out / ".incoming").exists()


def test_open_storage_without_supabase_is_the_tree(tmp_path: Path, file: Path) -> None:
    storage = open_storage(Config(storage_dir=tmp_path / "out"))
    storage.put(file, KEY, bucket="audio-renders", content_type="audio/mpeg")
    storage.close()
    assert (tmp_path / "out/audio-renders" / KEY).is_file()


# -- keys


def test_keys() -> None:
    track, job = "6f1e9a52-6f4b-4b69-8a55-0a4a5a3b7c11", "0b0e7a1e-6d3f-4a54-9d53-0f3b1b1a9b11"
    assert track_key(track, job, "ab12", "mp3") == f"tracks/{track}/{job}-ab12.mp3"
    assert track_key(None, job, "ab12", "m4a") == f"tracks/{job}/{job}-ab12.m4a"
    assert preview_key(track, job, "ab12") == f"{track}/{job}-ab12.mp3"


@pytest.mark.parametrize("odd", ["../../etc", "a/b", "..", "", "\x00", "%2e%2e", "ü" * 300, "a\\b", "x?y#z"])
def test_odd_ids_stay_one_harmless_part(odd: str) -> None:
    key = track_key(odd, odd, "ab12", "mp3")
    parts = key.split("/")
    assert len(parts) == 3
    assert parts[0] == "tracks"
    assert all(part and part not in (".", "..") and part.isascii() for part in parts)
    assert not set(key) & set("%\\?#\x00")


def test_every_ending_the_worker_writes_has_a_type() -> None:
    assert {"mp3", "m4a", "aac", "wav", "flac"} <= set(CONTENT_TYPES)
    assert CONTENT_TYPES["mp3"] == "audio/mpeg"
    assert CONTENT_TYPES["m4a"] == "audio/mp4"


def test_files_are_listed_and_linked_to_by_their_place(file: Path, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "out")
    put(storage, file)
    put(storage, file, "tracks/t1/j2-0123.mp3")
    put(storage, file, "tracks/t1/below/j3-0123.mp3")
    assert storage.names_in("audio-renders", "tracks/t1", most=9) == ["j1-0123.mp3", "j2-0123.mp3"]
    assert storage.names_in("audio-renders", "tracks/t1", most=1) == ["j1-0123.mp3"]
    assert storage.names_in("audio-renders", "tracks/t2", most=9) == []
    assert storage.link("audio-renders", KEY, valid_s=1) == str(tmp_path / "out" / "audio-renders" / KEY)
    assert storage.link("audio-renders", "tracks/t1/none.mp3", valid_s=1) is None
