"""`mindscript-worker init`: what it writes, what it never writes over, and what it says to run next."""

from __future__ import annotations

import shlex
import stat
import sys
from pathlib import Path

import pytest

from worker.cli import init as init_command
from worker.cli.arguments import build_parser
from worker.cli.init import init
from worker.cli.program import program
from worker.config import VARIABLES, Config
from worker.errors import WorkerError
from worker.payload.parse import parse_job


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "mindscript-worker")])


@pytest.mark.parametrize("local_voice", [True, False])
def test_the_job_is_taken_and_all_that_it_names_is_there(local_voice, monkeypatch, capsys):
    monkeypatch.setattr(init_command, "has_local_voice", lambda: local_voice)
    assert init(Config(), folder=Path("my first")) == 0
    job = parse_job(Path("my first/job.json").read_bytes())
    assert (Path("my first") / job.background_music.url).is_file()
    assert job.voice.provider == ("local" if local_voice else "uploaded")
    if not local_voice:
        assert (Path("my first") / job.voice.url).is_file()
    lines = capsys.readouterr().out.split("Next:\n")[1].splitlines()
    assert len(lines) == 2
    for line in lines:
        called, *arguments = shlex.split(line)
        assert called == "bin/mindscript-worker"
        build_parser().parse_args(arguments)


def test_the_settings_are_all_there_all_unset_and_private():
    init(Config(), folder=Path())
    settings = Path(".env")
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    lines = settings.read_text().splitlines()
    assert all(not line or line.startswith("#") for line in lines)
    assert {name.upper() for name in VARIABLES} - {"DYNO"} <= {line[1:].partition("=")[0] for line in lines}


@pytest.mark.parametrize("name", ["job.json", "demo-loop.flac", ".env"])
def test_nothing_is_written_where_one_of_the_files_exists(name):
    Path(name).write_text("mine")
    with pytest.raises(WorkerError, match=f"{name} is there already, and nothing was written"):
        init(Config(), folder=Path())
    assert Path(name).read_text() == "mine"
    assert [path.name for path in Path().iterdir()] == [name]


def test_a_file_in_the_place_of_the_folder_is_told_in_plain_words():
    Path("calm").write_text("mine")
    with pytest.raises(WorkerError, match="calm: there is a file or folder of this name"):
        init(Config(), folder=Path("calm"))


def test_the_program_is_called_by_its_name_where_path_has_it(tmp_path, monkeypatch):
    called = tmp_path / "elsewhere" / "mindscript-worker"
    called.parent.mkdir()
    called.write_text("#!/bin/sh\n")
    called.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(called)])
    assert program() == "elsewhere/mindscript-worker"
    monkeypatch.setenv("PATH", str(called.parent))
    assert program() == "mindscript-worker"
