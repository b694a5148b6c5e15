"""An album: one gain for all tracks, numbered tags, and the whole with its chapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
from standins.speech import speech_service
from tiers import further

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError
from worker.payload.album import parse_album
from worker.render.album import ProducedAlbum, produce_album
from worker.render.materials import Materials

RATE = 44_100
QUIET = {"solfeggio": {"hz": 528}, "gains": {"solfeggioDb": -40}, "metadata": {"title": "Quiet"}}
LOUD = {"carrierType": "pink", "carrierGainDb": -20, "metadata": {"title": "Loud"}}
SHARED = {"durationMin": 0.1, "fade": {"inMs": 100, "outMs": 100}, "metadata": {"album": "Evenings", "artist": "Ana"}}


def made(folder: Path, format_: str = "flac", **more: Any) -> tuple[ProducedAlbum, list[Path]]:
    def fetch(reference: str, *, into: Path, what: str) -> Path:
        raise JobError(f"there is no {reference}")

    album = parse_album({**SHARED, "outputFormat": format_, "tracks": [QUIET, LOUD], **more})
    files = [folder / f"{number}.{format_}" for number in (1, 2, 3)]
    produced = produce_album(
        album,
        files[:2],
        files[2],
        materials=Materials(Config(), fetch),
        encoding=Encoding.for_quality(format_, "medium"),
    )
    return produced, files


def test_the_loudest_track_has_the_target_and_all_have_its_gain(tmp_path):
    produced, files = made(tmp_path)
    quiet, loud = produced.tracks
    assert loud.integrated_lufs == pytest.approx(-16, abs=0.1)
    assert quiet.integrated_lufs < -30
    assert quiet.master_gain_db == pytest.approx(loud.master_gain_db, abs=0.01)
    assert produced.whole.master_gain_db == pytest.approx(loud.master_gain_db, abs=0.01)
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("gap_s", [0, 0.5])
def test_the_whole_is_the_tracks_end_to_end(tmp_path, gap_s):
    _, files = made(tmp_path, gapSec=gap_s, safety={"limiter": False, "targetLufs": -26})
    first, second, whole = (soundfile.read(file)[0] for file in files)
    expected = np.concatenate((first, np.zeros((round(gap_s * RATE), 2)), second))
    assert whole.shape == expected.shape
    assert np.abs(whole - expected).max() < 0.002  # the same gain, but for what a target of its own is rounded to


@pytest.mark.parametrize("format_", further(["mp3", "m4a", "flac", "wav"], but=["mp3"]))
def test_tracks_are_numbered_and_the_whole_has_a_chapter_each(tmp_path, format_):
    _, files = made(tmp_path, format_, gapSec=1)
    tags = [mutagen.File(file, easy=format_ in ("mp3", "m4a")) for file in files]
    if format_ == "wav":
        assert [str(each.tags.get("TRCK")) for each in tags] == ["1/2", "2/2", "None"]
        return
    numbers = [each.get("tracknumber") for each in tags]
    assert numbers == ([["1"], ["2"], None] if format_ == "flac" else [["1/2"], ["2/2"], None])
    assert [each["title"] for each in tags] == [["Quiet"], ["Loud"], ["Evenings"]]
    assert {str(each["artist"]) for each in tags} == {"['Ana']"}
    if format_ == "mp3":
        chapters = mutagen.File(files[2]).tags.getall("CHAP")
        named = sorted((chapter.start_time, str(chapter.sub_frames["TIT2"])) for chapter in chapters)
        assert named == [(0, "Quiet"), (7000, "Loud")]


def test_where_one_track_fails_none_appears(tmp_path):
    with pytest.raises(JobError, match="there is no rain"):
        made(tmp_path, tracks=[QUIET, {"backgroundMusic": {"url": "rain.mp3"}}])
    assert list(tmp_path.iterdir()) == []


def test_the_characters_of_all_tracks_are_counted_once(tmp_path):
    checked: list[int] = []
    with speech_service() as service:
        config = Config(cache_dir=tmp_path / "c", openai_api_key="sk-test", openai_base_url=f"{service.url}/v1")
        spoken = {**SHARED, "durationMin": 0.3, "startDelaySec": 1, "voice": {"provider": "openai"}}
        tracks = [{"script": script} for script in ("I am calm.", "I am safe here.", "I am calm.")]
        album = parse_album({**spoken, "outputFormat": "wav", "tracks": tracks})
        files = [tmp_path / f"{number}.wav" for number in range(4)]
        produced = produce_album(
            album,
            files[:3],
            files[3],
            materials=Materials(config, lambda *_, **__: tmp_path, check_characters=checked.append),
            encoding=Encoding("wav"),
            preview=tmp_path / "preview.mp3",
            preview_s=4.0,
        )
    assert checked == [10, 25]  # what the cache has is not asked for again
    assert produced.report.speech["characters_asked"] == 25
    assert produced.report.speech["characters_cached"] == 10
    assert produced.starts_s == (0.0, 18.0, 36.0)
    assert produced.preview_error is None
    preview, rate = soundfile.read(tmp_path / "preview.mp3")
    assert len(preview) / rate == pytest.approx(4.0, abs=0.1)
