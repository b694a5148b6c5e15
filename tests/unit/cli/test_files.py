"""What a person names is never written over where it is read from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.cli.files import check_outputs, named_files
from worker.errors import WorkerError


@pytest.fixture
def music(tmp_path: Path) -> Path:
    path = tmp_path / "music.flac"
    path.write_bytes(b"music")
    return path


@pytest.mark.parametrize("option", ["--out", "--preview", "--report", "--picture"])
@pytest.mark.parametrize("spelling", ["itself", "through a folder", "link", "hard link"])
def test_no_option_writes_over_an_input(music: Path, option: str, spelling: str) -> None:
    named = music.parent / "named.flac"
    if spelling == "link":
        named.symlink_to(music)
    elif spelling == "hard link":
        os.link(music, named)
    else:
        named = music if spelling == "itself" else music.parent / "no" / ".." / music.name
    with pytest.raises(WorkerError, match=f"{option}: .*is read here"):
        check_outputs({option: named}, [music])


def test_two_options_do_not_write_to_one_file(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"--report: .* is what --out names, too"):
        check_outputs({"--out": tmp_path / "a", "--preview": None, "--report": tmp_path / "a"}, [])


def test_an_older_track_may_be_replaced(tmp_path: Path, music: Path) -> None:
    (tmp_path / "track.mp3").write_bytes(b"older")
    check_outputs({"--out": tmp_path / "track.mp3"}, [music, tmp_path / "missing.json"])


def test_files_are_found_anywhere_in_a_job(tmp_path: Path) -> None:
    job = {
        "script": "I am calm. " * 100,
        "backgroundMusic": {"url": "music.flac"},
        "metadata": {"cover": "https://example.com/cover.png"},
        "playlist": ["a.wav", ["b.wav"], 3, None, ""],
    }
    assert {path.name for path in named_files(job, tmp_path)} == {"music.flac", "a.wav", "b.wav"}
