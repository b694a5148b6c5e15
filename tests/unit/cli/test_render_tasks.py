"""What `render` is asked for becomes checked tasks, or all mistakes at once, before anything is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.cli.render_tasks import RenderOptions, tasks_of
from worker.config import Config
from worker.errors import JobError, MediaError
from worker.tasks.job_files import job_files
from worker.tasks.outputs import Overwrite
from worker.tasks.render_task import RenderTask

TONES = {"durationMin": 0.1, "solfeggio": {"hz": 528}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, *jobs: dict[str, Any]) -> str:
    Path(name).write_text("\n".join(json.dumps(TONES | job) for job in jobs or ({},)))
    return name


def tasks(*names: str, force: bool = False, **options: Any) -> list[RenderTask]:
    found, errors = tasks_of(job_files(names), RenderOptions(**options), Config(), Overwrite(force=force))
    assert [f"{file.label}: {error.message}" for file, error in errors] == []
    return found


def told(*names: str, **options: Any) -> list[str]:
    _, errors = tasks_of(job_files(names), RenderOptions(**options), Config(), Overwrite())
    return [f"{file.label}: {error.message}" for file, error in errors]


def tracks(*names: str, **options: Any) -> list[str]:
    return [str(task.destination.path) for task in tasks(*names, **options)]


def test_a_track_has_its_jobs_name_and_format() -> None:
    assert tracks(write("calm.json")) == ["calm.mp3"]
    assert tracks(write("calm.json", {"outputFormat": "flac"})) == ["calm.flac"]
    assert tracks("calm.json", out="x.WAV") == ["x.WAV"]
    assert tracks("calm.json", start="1") == ["calm-excerpt.flac"]


def test_the_tracks_of_many_jobs_go_to_a_folder() -> None:
    names = [write("a.json"), write("b.json")]
    given = {"out": "new/", "report": "new/", "preview": "new/"}
    made = tasks(*names, **given)
    assert [str(task.destination.path) for task in made] == ["new/a.mp3", "new/b.mp3"]
    assert [str(task.report) for task in made] == ["new/a.json", "new/b.json"]
    assert [str(task.preview) for task in made] == ["new/a-preview.mp3", "new/b-preview.mp3"]
    assert Path("new").is_dir()
    assert told(*names, out="x.mp3") == [
        f"{name}: --out: found 'x.mp3' with more than one job; a folder is needed: x.mp3/" for name in names
    ]
    assert told(*names, out="-")[0] == "a.json: --out: found '-' with more than one job; name a folder, such as out/"


def test_a_folder_that_is_there_takes_one_track_too() -> None:
    Path("there").mkdir()
    assert tracks(write("a.json"), out="there") == ["there/a.mp3"]


def test_tracks_of_json_lines_are_called_after_their_titles() -> None:
    titles = ["Evening: Calm / 1", "Twice", "twice", "", "../..", "Größe"]
    lines = write("day.jsonl", *({"metadata": {"title": title}} for title in titles))
    assert tracks(lines) == [
        "Evening- Calm - 1.mp3",
        "day-2.mp3",
        "day-3.mp3",
        "day-4.mp3",
        "day-5.mp3",
        "Größe.mp3",
    ]


def test_a_title_is_put_in_the_place_of_the_jobs() -> None:
    (task,) = tasks(write("a.json", {"metadata": {"title": "old", "artist": "me"}}), title="new [b]")
    assert (task.job.metadata.title, task.job.metadata.artist) == ("new [b]", "me")
    with pytest.raises(JobError, match=r"--title: found .* allowed is a text of at most 500 characters"):
        tasks("a.json", title="x" * 501)


def test_all_mistakes_of_all_jobs_are_told_and_nothing_is_made(folder: Path) -> None:
    write("good.json")
    write("bad.jsonl", {"durationMin": -1}, {}, {"solfeggio": {"hz": "x"}})
    found = told("missing.json", "bad.jsonl", "good.json", out="out/")
    assert [line.partition(": ")[0] for line in found] == ["missing.json", "bad.jsonl:1", "bad.jsonl:3"]
    assert found[0] == "missing.json: there is no such file or folder"
    assert not (folder / "out").exists()


def test_every_file_of_every_job_is_checked(folder: Path) -> None:
    names = [write("a.json", {"metadata": {"title": "t"}}), write("b.json", {"backgroundMusic": {"url": "a.mp3"}})]
    Path("a.mp3").write_text("music of b")
    Path("b.mp3").write_text("older")
    assert told(*names) == [
        "a.json: --out: a.mp3 is read here, and would be lost; give another name",
        "b.json: --out: b.mp3 exists; give another name, or --force to replace it",
    ]
    Path("sub").mkdir()
    write("sub/a.json")
    assert told("a.json", "sub/a.json", out="sub/") == [
        "sub/a.json: --out: sub/a.mp3 is what --out of a.json names, too"
    ]


@pytest.mark.parametrize(
    ("job", "there", "says"),
    [
        ({"deliver": ["headphones", "speakers"]}, "a-speakers.mp3", "the track for speakers: a-speakers.mp3 exists"),
        ({"script": "I am calm.", "lyrics": True}, "a.vtt", "the lyrics beside a.mp3: a.vtt exists"),
        ({"script": "I am calm.", "lyrics": True}, "a.lrc", "the lyrics beside a.mp3: a.lrc exists"),
        ({"peaks": True}, "a.peaks.json", "the waveform of a.mp3: a.peaks.json exists"),
        ({"deliver": ["flac"]}, "a.flac", "the track as FLAC: a.flac exists"),
        ({"deliver": ["stems"]}, "a-stem-solfeggio.flac", "the stem of the solfeggio: a-stem-solfeggio.flac exists"),
        ({"deliver": ["stems"]}, "a-stems.json", "the list of the stems: a-stems.json exists"),
    ],
)
def test_files_beside_the_track_are_kept_too(job: dict[str, Any], there: str, says: str) -> None:
    Path(there).write_text("the user's")
    assert says in told(write("a.json", job))[0]
    assert tracks("a.json", start="0") == ["a-excerpt.mp3"]  # which has none of them


@pytest.mark.parametrize("option", ["report", "preview"])
def test_reports_and_previews_must_have_their_ending(option: str) -> None:
    assert f"--{option}: found the ending '.txt'" in told(write("a.json"), **{option: "a.txt"})[0]


@pytest.mark.parametrize(
    ("option", "there"),
    [("out", "a.json"), ("report", "a.json"), ("report", "take [2].json"), ("preview", "rain.mp3"), ("out", "me.wav")],
)
def test_no_option_may_name_what_is_read(option: str, there: str) -> None:
    write("a.json", {"backgroundMusic": {"name": "rain"}})
    for name in ("rain.mp3", "me.wav"):
        Path(name).write_bytes(b"sound")
    write("take [2].json")
    read = ["take [2].json"] if "take" in there else ["a.json"]
    options = RenderOptions(voice=Path("me.wav"), **{"out": "x.mp3"} | {option: there})
    _, ((_, error),) = tasks_of(job_files(read), options, Config(), Overwrite(force=True))
    expected = "allowed are .mp3" if (option, there) == ("out", "a.json") else "is read here"
    assert expected in error.message


def test_unknown_keys_are_warned_of_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.json", {"durationMn": 1})
    assert tracks("a.json") == ["a.mp3"]
    line = "durationMn: not a known key; did you mean durationMin?"
    assert capsys.readouterr().err == f"warning: {line} (it is ignored)\n"
    assert told("a.json", strict=True) == [f"a.json: {line}"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": "1:x"}, "--from: found '1:x'"),
        ({"seconds": "0"}, "--seconds: found '0'"),
        ({"start": "1", "preview": "p.mp3"}, "--preview: found with --from or --seconds"),
        ({"title": "x"}, "--title: found 2 jobs, allowed is one"),
        ({"new_takes": (1,)}, "--new-take: found with more than one job"),
    ],
)
def test_an_option_that_cannot_be_is_told_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(JobError, match=says):
        tasks(write("a.json"), write("b.json"), **options)


def test_a_recording_that_is_not_there_is_bad_media() -> None:
    with pytest.raises(MediaError, match=r"--voice: there is no file me\.wav"):
        tasks(write("a.json"), voice=Path("me.wav"))


def test_standard_output_is_not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks(write("a.json"), out="-")
    assert task.destination.to_stdout
    assert not task.outputs()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "but standard output is a terminal" in told("a.json", out="-")[0]
    assert "goes to standard output with -o -" in told("a.json", out="/dev/stdout")[0]


def test_the_null_device_takes_a_track_that_nobody_wants() -> None:
    (task,) = tasks(write("a.json"), out="/dev/null", report="/dev/null")
    assert not task.destination.kept
    assert not task.destination.to_stdout
