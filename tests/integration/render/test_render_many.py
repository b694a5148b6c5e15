"""`render` with many jobs, and the playing of what it made."""

from __future__ import annotations

import json
import re
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from worker.cli.main import run
from worker.cli.players import Player, find_player, playing
from worker.cli.render_tasks import RenderOptions
from worker.cli.watch import watch_jobs
from worker.config import Config
from worker.errors import MachineError
from worker.ffmpeg.program import find_ffmpeg
from worker.tasks.outputs import Overwrite

SHORT = {"durationMin": 0.05, "solfeggio": {"hz": 528}, "outputFormat": "wav"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_job_that_fails_does_not_stop_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [SHORT, SHORT | {"backgroundMusic": {"url": "gone [b].mp3"}}, SHORT | {"metadata": {"title": "Last"}}]
    Path("day.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert run(["render", "day.jsonl", "-o", "out/", "--report", "out/"]) == 3
    assert sorted(path.name for path in Path("out").iterdir()) == ["Last.json", "Last.wav", "day-1.json", "day-1.wav"]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("error: day.jsonl:2: music: ")
    assert "gone [b].mp3" in err.splitlines()[-1]
    assert "out/Last.wav" in err
    assert re.search(r"^day\.jsonl:2 +failed", err, re.MULTILINE)


def test_what_was_made_and_what_failed_is_a_json_document(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [SHORT | {"fade": {"inMs": 9000}}, SHORT | {"backgroundMusic": {"url": "gone.mp3"}}]
    Path("day.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert run(["render", "day.jsonl", "-o", "out/", "--json", "--quiet"]) == 3
    told = json.loads(capfd.readouterr().out)
    (track,) = told["tracks"]
    assert (track["file"], track["length_s"]) == ("out/day-1.wav", 3.0)
    assert any("fade" in note for note in track["notes"])
    assert list(told["failed"]) == ["day.jsonl:2"]
    assert told["failed"]["day.jsonl:2"].startswith("music: ")


@pytest.mark.parametrize("arguments", [["-o", "-"], ["--watch"]])
def test_a_json_document_has_standard_output_alone(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_text(json.dumps(SHORT))
    assert run(["render", "a.json", "--json", *arguments]) == 2
    assert capfd.readouterr().err.startswith("error: --json: found with -")


def test_mistakes_are_told_before_anything_is_made(capfd: pytest.CaptureFixture[str]) -> None:
    Path("good.json").write_text(json.dumps(SHORT))
    Path("bad.json").write_text(json.dumps(SHORT | {"durationMin": "x"}))
    assert run(["render", "*.json", "gone.json", "-o", "out/"]) == 2
    told = capfd.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in told] == [["error", "bad.json"], ["error", "gone.json"]]
    assert not Path("out").exists()


def program(folder: Path, name: str, text: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_track_is_played_by_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("-a [b].json").write_text(json.dumps(SHORT))
    program(tmp_path, "aplay", f"import sys; open({str(tmp_path / 'played')!r}, 'w').write(sys.argv[-1])")
    monkeypatch.setenv("FFMPEG", str(find_ffmpeg().path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert run(["render", "--play", "--quiet", "--", "-a [b].json"]) == 0
    assert (tmp_path / "played").read_text() == str(tmp_path / "-a [b].wav")
    assert capfd.readouterr().err == "playing -a [b].wav with aplay; Ctrl-C stops it\n"
    # which does not read MP3
    assert run(["render", "--play", "-o", "b.mp3", "--", "-a [b].json"]) == 1
    assert "install FFmpeg, which brings ffplay, or mpv" in capfd.readouterr().err
    assert not Path("b.mp3").exists()


def test_a_player_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "mpv", "import sys; sys.exit('no sound device')")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    player = find_player(["mp3"])
    with playing(player, Path("a")) as at_work, pytest.raises(MachineError, match="status 1: no sound device"):
        at_work.wait()


def test_a_player_that_fails_under_watch_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("a.json").write_text(json.dumps(SHORT))
    program(tmp_path, "mpv", "import sys; sys.exit('no sound device')")
    monkeypatch.setenv("FFMPEG", str(find_ffmpeg().path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    told, deadline, looks_left = "", time.monotonic() + 60, 5

    def pause() -> None:
        nonlocal told, looks_left
        told += capfd.readouterr().err
        looks_left -= "no sound device" in told
        if looks_left == 0 or time.monotonic() > deadline:
            raise KeyboardInterrupt
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        watch_jobs(["a.json"], RenderOptions(), Config(), Overwrite(), play=True, quiet=False, pause=pause)
    assert told.count("error: --play: mpv ended with status 1: no sound device") == 1


def test_a_player_ends_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "mpv", "import signal; print(flush=True); signal.pause()")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with playing(Player("mpv"), Path("a")) as at_work:
        process = at_work.process
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM
