"""What the operating system refuses is said in plain words, with the file that a person knows."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from worker.cli.main import run
from worker.os_errors import disk_is_full, with_file


def error(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file) if file else OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (error(errno.ENOSPC, "out.mp3"), "out.mp3: the disk is full"),
        (error(errno.ENOSPC), "the disk is full"),
        (error(errno.EACCES, "/music/.mindscript-ab12cd_3"), "/music: permission denied"),
        (error(errno.ENOSPC, "/music/.mindscript-ab12cd_3/calm.mp3"), "/music/calm.mp3: the disk is full"),
        (error(errno.EISDIR, "out"), "out: this is a folder, a file is needed"),
        (error(errno.EPIPE, "a\x1b[2J\n"), r"a\x1b[2J\n: Broken pipe"),  # no word of ours: the system's
    ],
)
def test_an_error_is_in_plain_words(raised: OSError, says: str) -> None:
    assert with_file(raised) == says


def test_our_temporary_files_are_named_by_their_folder() -> None:
    folder = Path(tempfile.gettempdir())
    raised = error(errno.ENOSPC, str(folder / "mindscript-out-ab12cd_3" / "track.mp3"))
    assert with_file(raised) == f"the temporary folder {folder} (TMPDIR): the disk is full"


def test_a_full_disk_is_one_by_quota_or_limit_too() -> None:
    assert all(disk_is_full(error(number)) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    assert not disk_is_full(error(errno.EACCES))


def long_name(folder: Path) -> Path:
    return folder / ("n" * 300)


def circle(folder: Path) -> Path:
    (folder / "circle").symlink_to("circle")
    return folder / "circle"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "missing.json", "missing.json: there is no such file or folder"),
        (lambda folder: folder, "folder"),
        (long_name, "the name is too long"),
        (circle, "circle: its links lead in a circle"),
        (lambda folder: folder / "\x1b]2J", r"\x1b]2J: there is no such file or folder"),
    ],
)
def test_a_job_file_that_cannot_be_read_is_one_line(
    make, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["render", str(make(tmp_path)), "-o", str(tmp_path / "a.mp3")]) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert "Errno" not in printed
    assert printed.count("\n") == 1


def test_an_error_nobody_expected_names_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def voices(*_: object, **__: object) -> int:
        raise error(errno.EROFS, "/media/disk/track.mp3")

    monkeypatch.setattr("worker.cli.voices.list_voices", voices)
    assert run(["voices"]) == 1
    assert capsys.readouterr().err == "error: /media/disk/track.mp3: the disk can only be read (--debug shows where)\n"
