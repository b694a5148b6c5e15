"""`render --watch`: a track is made again when something that it is made from was saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.cli import render, watch
from worker.cli.render_tasks import RenderOptions
from worker.config import Config
from worker.errors import JobError, MediaError
from worker.tasks.outputs import Overwrite, staged
from worker.tasks.render_task import RenderTask

TONES = {"durationMin": 0.1, "solfeggio": {"hz": 528}}


class Made:
    """Stands in for rendering: writes each track's file, and remembers its job."""

    def __init__(self) -> None:
        self.hz: list[list[float]] = []
        self.fails = False

    def __call__(self, tasks: Sequence[RenderTask], _: Config, overwrite: Overwrite, *, quiet: bool) -> Any:
        self.hz.append([task.job.solfeggio.tones[0].hz for task in tasks if task.job.solfeggio])
        if self.fails:
            raise MediaError("music: rain.mp3 holds no sound")
        for task in tasks:
            with staged([output.path for output in task.outputs()], overwrite) as place:
                place(task.destination.path).write_text("sound")
        return render.Made((), tuple(task.destination.path for task in tasks), {})


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.chdir(tmp_path)
    made = Made()
    monkeypatch.setattr(watch, "rendered", made)
    save("a.json", 528)
    return made


def save(name: str, hz: float, **more: Any) -> None:
    """As many editors do: a new file takes the name."""
    new = Path(f"{name}.new")
    new.write_text(json.dumps(TONES | {"solfeggio": {"hz": hz}} | more))
    new.replace(name)


def watched(*steps: Callable[[], object], names: Sequence[str] = ("a.json",), **options: Any) -> None:
    """Watch; each step happens after two looks at what the one before has left."""
    left = [step for each in steps for step in (lambda: None, lambda: None, each)] + [lambda: None] * 3

    def pause() -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    with pytest.raises(KeyboardInterrupt):
        watch.watch_jobs(names, RenderOptions(**options), Config(), Overwrite(), play=False, quiet=False, pause=pause)


def test_it_is_made_at_once_and_again_when_the_job_was_saved(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    watched(lambda: save("a.json", 417))
    assert made.hz == [[528], [417]]
    assert capsys.readouterr().err.splitlines() == [
        "watching a.json; Ctrl-C ends this",
        "a.json was saved",
        "watching a.json; Ctrl-C ends this",
    ]


def test_saving_the_same_again_makes_nothing_new(made: Made) -> None:
    watched(lambda: save("a.json", 528), lambda: save("a.json", 528.0))
    assert made.hz == [[528]]


def test_it_is_made_again_when_the_music_was_saved(made: Made) -> None:
    Path("rain.mp3").write_text("rain")
    save("a.json", 528, backgroundMusic={"url": "rain.mp3"})
    watched(lambda: Path("rain.mp3").write_text("more rain"), lambda: Path("other.mp3").write_text("no"))
    assert made.hz == [[528], [528]]


def test_a_recording_that_goes_away_for_a_while_is_waited_for(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    Path("takes").mkdir()
    Path("takes/1.wav").write_text("first")
    Path("me.wav").symlink_to("takes/1.wav")
    watched(Path("takes/1.wav").unlink, lambda: Path("takes/1.wav").write_text("second"), voice=Path("me.wav"))
    assert made.hz == [[528], [528]]
    assert "error: --voice: there is no file me.wav" in capsys.readouterr().err


def test_a_broken_job_is_told_and_waited_out(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    watched(lambda: Path("a.json").write_text('{"durationMin": '), Path("a.json").unlink, lambda: save("a.json", 639))
    assert made.hz == [[528], [639]]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told[0].startswith("error: the job is not ")
    assert told[1] == "error: a.json: there is no such file or folder"


def test_what_cannot_be_made_is_told_and_waited_out(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    made.fails = True
    watched(lambda: setattr(made, "fails", False), lambda: save("a.json", 639))
    assert made.hz == [[528], [639]]
    assert "error: music: rain.mp3 holds no sound" in capsys.readouterr().err


def test_only_what_has_changed_is_made_again(made: Made) -> None:
    save("b.json", 741)
    watched(lambda: save("b.json", 852), names=["*.json"], out="out/")
    assert made.hz == [[528, 741], [852]]


def test_a_track_that_was_there_before_is_not_replaced(made: Made) -> None:
    Path("a.mp3").write_text("older")
    with pytest.raises(JobError, match=r"a\.mp3 exists"):
        watch.watch_jobs(["a.json"], RenderOptions(), Config(), Overwrite(), play=False, quiet=False)
    assert Path("a.mp3").read_text() == "older"


def test_a_track_that_somebody_changed_is_not_replaced(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    watched(lambda: Path("a.mp3").write_text("edited by hand"), lambda: save("a.json", 417))
    assert made.hz == [[528]]
    assert "a.mp3 exists" in capsys.readouterr().err


@pytest.mark.parametrize("given", [{"names": ["-"]}, {"names": ["a.json"], "out": "-"}])
def test_only_files_can_be_watched(made: Made, given: dict[str, Any]) -> None:
    options = RenderOptions(out=given.get("out"))
    with pytest.raises(JobError, match="--watch: found with -"):
        watch.watch_jobs(given["names"], options, Config(), Overwrite(), play=False, quiet=False)
