"""What names on a command line stand for: job files, patterns, JSON lines, standard input."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.errors import JobError
from worker.tasks.job_files import JobFile, job_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.json", "a.json", "[take 2].json"):
        (tmp_path / name).write_text(f'{{"name": "{name}"}}')
    (tmp_path / "day.jsonl").write_text('\ufeff{"n": 1}\r\n\n  \n{"n": 2}')
    return tmp_path


def labels(*names: str) -> list[str]:
    return [job.label for job in job_files(names)]


def unreadable(name: str) -> str:
    (job,) = job_files([name])
    with pytest.raises(JobError) as caught:
        job.read()
    assert job.label == name
    return caught.value.message


def test_a_file_is_one_job_of_its_own_folder(folder: Path) -> None:
    (job,) = job_files([str(folder / "a.json")])
    assert job == JobFile(str(folder / "a.json"), folder, folder / "a.json", text=b'{"name": "a.json"}')
    assert job.read() == b'{"name": "a.json"}'
    assert job.stem == "a"


def test_a_pattern_that_no_shell_expanded_is_expanded_in_order(folder: Path) -> None:
    assert labels("*.json") == ["[take 2].json", "a.json", "b.json"]


def test_a_file_with_brackets_in_its_name_is_itself(folder: Path) -> None:
    assert labels("[take 2].json") == ["[take 2].json"]


def test_a_file_that_is_named_twice_counts_once(folder: Path) -> None:
    (folder / "link.json").symlink_to("a.json")
    assert labels("b.json", "./a.json", "[ab].json", "link.json") == ["b.json", "./a.json"]


def test_json_lines_are_a_job_a_line(folder: Path) -> None:
    jobs = job_files(["day.jsonl"])
    assert [(job.label, job.read().strip(), job.stem) for job in jobs] == [
        ("day.jsonl:1", b'{"n": 1}', "day-1"),
        ("day.jsonl:4", b'{"n": 2}', "day-4"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"n":\n 1}', [("standard input", b'{"n":\n 1}')]),
        (b'{"n": 1}\n', [("standard input", b'{"n": 1}\n')]),
        (b'{"n": 1}\n{"n": 2}\n', [("standard input:1", b'{"n": 1}'), ("standard input:2", b'{"n": 2}')]),
        (b"", [("standard input", b"")]),
    ],
)
def test_standard_input_is_a_job_or_lines(
    text: bytes, found: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    jobs = job_files(["-", "-"])
    assert [(job.label, job.read()) for job in jobs] == found
    assert {job.folder for job in jobs} == {Path.cwd()}


def test_what_cannot_be_read_is_told_with_the_rest(folder: Path) -> None:
    (folder / "empty.jsonl").write_text("\n\n")
    (folder / "sub").mkdir()
    assert unreadable("missing.json") == "there is no such file or folder"
    assert unreadable("x*.json") == "no file matches this pattern"
    assert unreadable("empty.jsonl") == "there is no line with a job in it"
    assert unreadable("sub") == "this is a folder; name its files: sub/*.json"
    assert unreadable("a\0b") == "no file can have this name"
    assert unreadable("n" * 5000) == "the name is too long"
    assert labels("missing.json", "a.json") == ["missing.json", "a.json"]


def test_a_file_too_large_for_a_job_is_not_read_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.tasks.job_files._LARGEST_BYTES", 4)
    assert unreadable("a.json").startswith("found more than")
