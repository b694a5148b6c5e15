"""Files beside a job are found before it is queued, and taken along under names that cannot collide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.cli.local_media import LocalFile, local_files, take_along
from worker.config import Config
from worker.errors import MediaError
from worker.media.download import fetch_media
from worker.payload.parse import parse_job


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(storage_dir=tmp_path / "out", media_hosts=("cdn.example.com",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "jobs"
    (folder / "sounds").mkdir(parents=True)
    for name in ("rain.mp3", "me.WAV", "cover.png", "sounds/sea.flac"):
        (folder / name).write_bytes(name.encode())
    return folder


def found(payload: dict[str, Any], folder: Path, config: Config) -> list[LocalFile]:
    return local_files(payload, parse_job(payload), folder, config)


def lines(payload: dict[str, Any], folder: Path, config: Config) -> tuple[str, ...]:
    with pytest.raises(MediaError) as caught:
        found(payload, folder, config)
    return caught.value.lines


WITH_ALL = {
    "voice": {"provider": "uploaded", "url": "me.WAV"},
    "backgroundMusic": {"url": "rain.mp3", "volume_db": -12},
    "metadata": {"cover": "cover.png", "title": "Calm"},
}


def test_the_worker_finds_all_that_was_taken_along(folder: Path, config: Config, tmp_path: Path) -> None:
    along = take_along(WITH_ALL, found(WITH_ALL, folder, config), config)
    for what, reference, content in (
        ("music", along["backgroundMusic"]["url"], b"rain.mp3"),
        ("uploaded voice", along["voice"]["url"], b"me.WAV"),
        ("cover", along["metadata"]["cover"], b"cover.png"),
    ):
        path = fetch_media(reference, what=what, into=tmp_path, config=config)  # type: ignore[arg-type]
        assert path.read_bytes() == content
    assert along["backgroundMusic"]["volume_db"] == -12
    assert along["metadata"]["title"] == "Calm"
    assert WITH_ALL["backgroundMusic"] == {"url": "rain.mp3", "volume_db": -12}  # the job file's own stays


def test_files_of_listed_layers_are_taken_along_by_their_place(folder: Path, config: Config) -> None:
    payload = {
        "layers": [
            {"kind": "noise"},
            {"kind": "music", "title": "rain"},
            {"kind": "recording", "url": "sounds/sea.flac"},
            {"kind": "speech", "voice": {"provider": "uploaded", "url": "me.WAV"}},
        ]
    }
    files = found(payload, folder, config)
    assert [file.field for file in files] == ["layers[1].title", "layers[2].url", "layers[3].voice.url"]
    assert [file.bucket for file in files] == [config.media_buckets[0], *[config.voice_buckets[0]] * 2]
    along = take_along(payload, files, config)["layers"]
    names = [along[1]["title"], along[2]["url"], along[3]["voice"]["url"]]
    for file, name in zip(files, names, strict=True):
        assert (config.storage_dir / file.bucket / name).read_bytes() == file.path.read_bytes()
    payload["layers"][2]["url"] = "gone.flac"
    assert lines(payload, folder, config)[0].startswith('layers[2].url: found "gone.flac", which is neither')


def test_names_are_of_the_content_so_nothing_is_overwritten(folder: Path, config: Config) -> None:
    payload = {"backgroundMusic": {"url": "rain.mp3"}}
    keys = []
    for content in (b"rain", b"storm", b"rain"):
        (folder / "rain.mp3").write_bytes(content)
        keys.append(take_along(payload, found(payload, folder, config), config)["backgroundMusic"]["url"])
    assert keys[0] == keys[2] != keys[1]
    kept = config.storage_dir / "background-music"
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {keys[0]: b"rain", keys[1]: b"storm"}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"backgroundMusic": {"url": "sounds/sea.flac"}}, "backgroundMusic.url"),
        ({"backgroundMusic": {"name": "rain"}}, "backgroundMusic.name"),
        ({"backgroundMusic": {"id": "rain"}}, "backgroundMusic.id"),
        ({"background_music": {"track_id": "rain.mp3"}}, "background_music.track_id"),
        ({"background_music": {"url": "rain.mp3"}, "voice": {"voice_id": "nova"}}, "background_music.url"),
    ],
)
def test_the_field_as_its_sender_spells_it_is_rewritten(
    payload: dict[str, Any], field: str, folder: Path, config: Config
) -> None:
    (file,) = found(payload, folder, config)
    assert file.field == field
    along = take_along(payload, [file], config)
    assert parse_job(along).dialect == parse_job(payload).dialect
    music = parse_job(along).background_music
    assert music is not None
    assert (config.storage_dir / "background-music" / str(music.url or music.id or music.name)).is_file()


def test_what_is_in_storage_or_a_url_stays_as_it_is(folder: Path, config: Config) -> None:
    (config.storage_dir / "background-music").mkdir(parents=True)
    (config.storage_dir / "background-music" / "Serene.mp3").write_bytes(b"x")
    for url in ("Serene.mp3", "serene.mp3", "https://cdn.example.com/a.mp3"):
        assert found({"backgroundMusic": {"url": url}}, folder, config) == []
    assert found({"backgroundMusic": {"id": "of-the-catalogue"}}, folder, config) == []


def test_every_file_that_is_nowhere_is_named(folder: Path, config: Config) -> None:
    payload = {
        "voice": {"provider": "uploaded", "url": "you.wav"},
        "backgroundMusic": {"url": "storm.mp3"},
        "metadata": {"cover": "../../../x" * 400},
    }
    music, voice, cover = lines(payload, folder, config)
    assert music.startswith('backgroundMusic.url: found "storm.mp3", which is neither beside the job nor in ')
    assert music.endswith("background-music")
    assert voice.startswith('voice.url: found "you.wav", which is neither')
    assert cover.startswith("metadata.cover: found ")


@pytest.mark.parametrize("url", ["https://elsewhere.example.com/a.mp3", "http://cdn.example.com/a.mp3", "ftp://x/a"])
def test_a_url_that_the_worker_would_refuse_is_refused_now(url: str, folder: Path, config: Config) -> None:
    (line,) = lines({"backgroundMusic": {"url": url}}, folder, config)
    assert line.startswith("backgroundMusic.url: music: ")


def test_nothing_is_uploaded_to_supabase(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bucket:
        def names_in(self, bucket: str, _folder: str, *, most: int) -> list[str]:
            return ["serene.mp3"][:most] if bucket == "background-music" else []

        def close(self) -> None:
            """As a storage does."""

    monkeypatch.setattr("worker.cli.local_media.open_storage", lambda _config: Bucket())
    config = Config(supabase_url="https://x.supabase.co", supabase_service_role_key="k" * 40)
    assert found({"backgroundMusic": {"url": "serene.mp3"}}, folder, config) == []
    (line,) = lines({"backgroundMusic": {"url": "rain.mp3"}}, folder, config)
    assert line == (
        'backgroundMusic.url: found "rain.mp3", a file of this machine, which the worker cannot read; enqueue uploads '
        "nothing: put it into the bucket background-music (Supabase, Storage), and enqueue the job again"
    )
    (line,) = lines({"backgroundMusic": {"url": "storm.mp3"}}, folder, config)
    assert line.endswith("which is not in the bucket background-music")
