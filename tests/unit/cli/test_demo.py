"""What `demo` prints, writes and returns, with the making of a track itself left out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.cli import demo as module
from worker.cli.main import run
from worker.errors import MediaError
from worker.render import stages

TONE: dict[str, Any] = {"durationMin": 0.5, "solfeggio": {"hz": 528}}
FIGURES = {"frames": 1_323_000, "sample_rate_hz": 44_100, "integrated_lufs": -18.0, "true_peak_dbtp": -3.5}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for jobs; one whose title is "broken" fails. No queue, so that they are made directly."""

    def produce(job, track, *, on_progress, **_options):
        on_progress(stages.MIXING, 0.5)
        if job.metadata.title == "broken":
            raise MediaError("backgroundMusic.url: found no audio", code="media.invalid")
        track.write_bytes(b"audio")
        on_progress(stages.COMPLETE, 1.0)
        return SimpleNamespace(report=SimpleNamespace(as_json=lambda: FIGURES))

    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    monkeypatch.setattr(module, "has_local_voice", lambda: False)
    monkeypatch.setattr(module, "Materials", lambda *_arguments: None)
    monkeypatch.setattr(module, "produce", produce)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody.example/production")
    monkeypatch.delenv("STORAGE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    monkeypatch.setattr(module, "examples_folder", lambda: tmp_path / "jobs")
    return tmp_path / "jobs"


def write(path: Path, **job: object) -> None:
    path.write_text(json.dumps({**TONE, **job}))


def test_a_line_a_stage_a_table_and_what_to_listen_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "full-mix.json")
    assert run(["demo"]) == 0
    said = capsys.readouterr().err
    first, *lines = said.splitlines()
    assert first == "1 job, here; the tracks go to out/demo/"
    assert lines[0] == f"full-mix: {stages.MIXING} (50 %)"
    assert "out/demo/full-mix.mp3  0:30.000  -18.00  -3.50" in said
    assert said.index("Listen, with headphones") < said.index("out/demo/full-mix.mp3  a voice over music")
    assert lines[-2].endswith(" init calm")
    assert lines[-1].endswith(" render calm/job.json -o calm/track.mp3")


def test_the_lines_to_paste_name_a_folder_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "full-mix.json")
    Path("calm").mkdir()
    Path("calm2").mkdir()
    assert run(["demo"]) == 0
    assert "init calm3\n" in capsys.readouterr().err


def test_a_job_that_fails_leaves_the_others_and_the_status_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "a.json", metadata={"title": "broken"})
    write(folder / "b.json")
    assert run(["demo", "--examples", "jobs"]) == 1
    said = capsys.readouterr().err
    assert "error: jobs/a.json: backgroundMusic.url: found no audio" in said
    assert "Listen" not in said
    assert [path.name for path in Path("out/demo").iterdir()] == ["b.mp3"]


def test_a_bad_job_is_told_of_before_any_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "a.json")
    write(folder / "b.json", durationMin=-1)
    assert run(["demo", "--examples", "jobs"]) == 2
    assert "jobs/b.json: durationMin" in capsys.readouterr().err
    assert not Path("out").exists()


def test_jobs_that_need_a_voice_are_left_out_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "spoken.json", script="I am calm.", voice={"provider": "local"})
    write(folder / "tones.json", voice={"provider": "local"})
    assert run(["demo"]) == 0
    assert "no offline voice is installed: spoken." in capsys.readouterr().err
    assert [path.name for path in Path("out/demo").iterdir()] == ["tones.mp3"]


def test_quiet_leaves_the_table_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "full-mix.json")
    assert run(["demo", "--quiet"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said] == ["file", "out/demo/full-mix.mp3"]
