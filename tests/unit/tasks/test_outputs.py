"""What a command writes: nothing of the user's is written over, and all appears at the end or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.errors import JobError
from worker.tasks.outputs import NOWHERE, Output, Overwrite, check_outputs, output_faults, staged

FORCE = Overwrite(force=True)
CAREFUL = Overwrite()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    path = tmp_path / "music.flac"
    path.write_bytes(b"music")
    return path


def fault(output: Path, *inputs: Path, overwrite: Overwrite = FORCE, endings: tuple[str, ...] = ()) -> str:
    with pytest.raises(JobError) as caught:
        check_outputs([Output("--out", output, endings)], inputs, overwrite)
    assert caught.value.exit_status == 2
    return caught.value.message


@pytest.mark.parametrize("spelling", ["itself", "through a folder", "link", "hard link"])
def test_nothing_writes_over_an_input_even_with_force(music: Path, spelling: str) -> None:
    named = music.parent / "named.flac"
    if spelling == "link":
        named.symlink_to(music)
    elif spelling == "hard link":
        os.link(music, named)
    else:
        named = music if spelling == "itself" else music.parent / ".." / music.parent.name / music.name
    assert fault(named, music, overwrite=FORCE) == f"--out: {named} is read here, and would be lost; give another name"


def test_the_settings_file_counts_as_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("KEY=1")
    os.link(".env", "track.mp3")
    assert "is read here" in fault(Path("track.mp3"))


def test_a_settings_file_of_another_name_counts_as_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.env").write_text("KEY=1")
    monkeypatch.setenv("MINDSCRIPT_ENV_FILE", str(tmp_path / "shop.env"))
    assert "is read here" in fault(tmp_path / "shop.env", overwrite=FORCE)


def test_what_exists_is_replaced_with_force_only(music: Path) -> None:
    assert fault(music, overwrite=CAREFUL) == f"--out: {music} exists; give another name, or --force to replace it"
    check_outputs([Output("--out", music)], [music.parent / "missing.json"], FORCE)


def test_a_link_that_leads_nowhere_exists_too(tmp_path: Path) -> None:
    (tmp_path / "link.mp3").symlink_to("gone.mp3")
    assert "exists" in fault(tmp_path / "link.mp3", overwrite=CAREFUL)


def test_what_is_no_file_is_refused_whatever_is_given(tmp_path: Path, music: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert fault(tmp_path) == f"--out: {tmp_path} is a folder, a file is needed"
    assert fault(tmp_path / "pipe").endswith("is a device or a pipe, a file is needed")
    assert fault(Path("/dev/zero")).endswith("is a device or a pipe, a file is needed")
    assert "only a track goes to standard output" in fault(Path("/dev/stdout"))
    assert "only a track goes to standard output" in fault(Path("-"))
    assert fault(tmp_path / "no" / "a.mp3").endswith(f"there is no folder {tmp_path / 'no'}")
    assert fault(music / "a.mp3").endswith(f"{music} is no folder")
    assert fault(tmp_path / ("n" * 300)).endswith("the name is too long")
    assert fault(tmp_path / "a\0b").startswith("--out: no file can have the name ")


def test_endings_are_checked(tmp_path: Path) -> None:
    expected = "--out: found the ending '.txt', allowed are .mp3, .wav"
    assert fault(tmp_path / "a.txt", endings=(".mp3", ".wav")) == expected
    check_outputs([Output("--out", tmp_path / "A.MP3", (".mp3", ".wav"))], [], CAREFUL)


def test_the_null_device_may_always_be_named() -> None:
    check_outputs([Output("--report", NOWHERE, (".json",)), Output("--out", NOWHERE)], [], CAREFUL)


def test_two_options_do_not_write_to_one_file(tmp_path: Path) -> None:
    outputs = [Output("--out", tmp_path / "a", job="x.json"), Output("--report", tmp_path / "." / "a")]
    ((output, error),) = output_faults(outputs, [], CAREFUL)
    assert output.option == "--report"
    assert error.message == f"--report: {tmp_path / 'a'} is what --out of x.json names, too"


def test_files_appear_together_when_all_is_done(tmp_path: Path) -> None:
    track, report = tmp_path / "a.mp3", tmp_path / "sub" / "a.json"
    report.parent.mkdir()
    with staged([track, report, tmp_path / "unmade.mp3", NOWHERE], CAREFUL) as place:
        for path in (track, report, NOWHERE):
            place(path).write_text("new")
        assert place(track).name == "a.mp3"
        assert not track.exists()
        assert not report.exists()
    assert track.read_text() == report.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp3", "sub"]
    assert not NOWHERE.is_file()


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    def interrupted() -> None:
        with staged([tmp_path / "a.mp3"], CAREFUL) as place:
            place(tmp_path / "a.mp3").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Where a file system has no hard links, too."""
    if not links:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    paths = [tmp_path / "a.mp3", tmp_path / "a.json"]

    def make(meanwhile: str = "") -> None:
        with staged(paths, CAREFUL) as place:
            for path in paths:
                place(path).write_text("ours")
            if meanwhile:
                paths[1].write_text(meanwhile)

    with pytest.raises(JobError, match=r"a\.json has been made by another program meanwhile, so nothing was written"):
        make("theirs")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "theirs")]
    paths[1].unlink()
    make()
    assert paths[1].read_text() == "ours"


def test_own_files_are_replaced_until_somebody_changes_them(tmp_path: Path) -> None:
    track, overwrite = tmp_path / "a.mp3", Overwrite()
    for text in ("one", "two"):
        check_outputs([Output("--out", track)], [], overwrite)
        with staged([track], overwrite) as place:
            place(track).write_text(text)
    assert track.read_text() == "two"
    track.write_text("edited by hand")
    with pytest.raises(JobError, match="exists"):
        check_outputs([Output("--out", track)], [], overwrite)
