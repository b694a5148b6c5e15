"""`mindscript-worker album`: files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.cli.main import run

ALBUM = {
    "durationMin": 0.05,
    "outputFormat": "flac",
    "metadata": {"album": "Evenings"},
    "tracks": [{"solfeggio": {"hz": 528}, "metadata": {"title": "Calm / one"}}, {"carrierType": "pink"}],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))
    Path("evenings.json").write_text(json.dumps(ALBUM))


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_tracks_are_named_by_number_and_title_and_the_whole_by_the_album(capsys):
    assert run(["album", "evenings.json", "--report", "r.json", "--json"]) == 0
    assert names("evenings") == ["01-Calm - one.flac", "02.flac", "Evenings.flac"]
    report = json.loads(Path("r.json").read_text())
    assert [track["file"] for track in report["tracks"]] == ["01-Calm - one.flac", "02.flac"]
    assert report["whole"]["frames"] == 2 * report["tracks"][0]["frames"]
    assert len(json.loads(capsys.readouterr().out)["tracks"]) == 3


def test_nothing_is_written_over_and_nothing_else_is_made(capsys):
    Path("out").mkdir()
    Path("out/02.flac").write_text("mine")
    assert run(["album", "evenings.json", "-o", "out/"]) == 2
    assert "track 2: out/02.flac exists" in capsys.readouterr().err
    assert names("out") == ["02.flac"]
    assert run(["album", "evenings.json", "-o", "out/", "--force", "--no-whole", "--quiet"]) == 0
    assert names("out") == ["01-Calm - one.flac", "02.flac"]


def test_keys_that_mean_nothing_are_told_with_their_track(capsys):
    Path("evenings.json").write_text(json.dumps({**ALBUM, "carierHz": 3}))
    assert run(["album", "evenings.json", "--no-whole"]) == 0
    assert "tracks[1].carierHz" in capsys.readouterr().err
    assert run(["album", "evenings.json", "--no-whole", "--strict", "--force"]) == 2


def test_a_file_that_is_no_album_says_what_one_is(capsys):
    Path("job.json").write_text('{"solfeggio": {"hz": 528}}')
    assert run(["album", "job.json"]) == 2
    assert "tracks: found null, allowed is a list of 1 to 99 jobs" in capsys.readouterr().err
    assert not Path("job").exists()
