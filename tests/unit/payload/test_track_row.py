"""What a job takes from its row in `tracks`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standins.writers import track_row

from worker.errors import JobError
from worker.payload.album import parse_album
from worker.payload.parse import parse_job
from worker.payload.track_row import completed_payload

AGAIN = {"quality": "high", "format": "flac", "requested_at": "2026-11-29T03:00:00Z"}


def row(**changes: Any) -> dict[str, Any]:
    """A track's columns, as the worker reads them: JSON as text."""
    columns = {**track_row("https://x.supabase.co"), **changes}
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in columns.items()}


def test_render_again_is_made_from_the_track() -> None:
    completed = completed_payload(AGAIN, row())
    assert completed.is_of_track
    job = parse_job(completed.payload)
    assert job.dialect == "app"
    assert job.layers == ("voice", "music", "solfeggio", "binaural")
    assert (job.voice.provider, job.voice.id, job.voice.speed) == ("openai", "nova", 0.9)
    assert (job.duration_min, job.pause_s, job.loop_mode, job.start_delay_s) == (2, 5, "repeat", 3)
    assert (job.gains.music_db, job.gains.solfeggio_db, job.gains.binaural_db) == (-12, -18, -20)
    assert job.solfeggio is not None
    assert job.solfeggio.hz == 528
    assert job.binaural is not None
    assert job.binaural.beat_hz == 6
    assert (job.output.format, job.output.quality) == ("flac", "high"), "what was asked for now wins"
    assert job.metadata.title == "Evening calm"


def test_respellings_are_kept_where_the_app_keeps_the_voice() -> None:
    voice = {"provider": "openai", "voice_id": "nova", "pronounce": {"Siobhan": "shi-VAWN"}}
    job = parse_job(completed_payload(AGAIN, row(voice_config=voice)).payload)
    assert (job.dialect, job.pronounce) == ("app", {"Siobhan": "shi-VAWN"})
    stated = {**AGAIN, "pronounce": {"Siobhan": "SHIV-awn"}}
    job = parse_job(completed_payload(stated, row(voice_config=voice)).payload)
    assert job.pronounce == {"Siobhan": "SHIV-awn"}


def test_without_a_wish_the_tracks_own_format_is_made() -> None:
    job = parse_job(completed_payload({"requested_at": "now"}, row()).payload)
    assert (job.output.format, job.output.quality) == ("mp3", "medium")


def test_what_the_payload_states_wins_over_the_track() -> None:
    job = parse_job(completed_payload({**AGAIN, "durationMin": 7, "startDelaySec": 0}, row()).payload)
    assert (job.duration_min, job.start_delay_s) == (7, 0)


@pytest.mark.parametrize(
    "sound",
    [
        {"script": "x"},
        {"backgroundMusic": {"url": "x"}},
        {"background_music": {"track_id": "x"}},
        {"solfeggio": {"hz": 528}},
        {"binaural": {"band": "theta"}},
        {"carrierType": "pink"},
        {"session": "focus"},
        {"voice": {"provider": "uploaded", "url": "x"}},
    ],
)
def test_a_payload_that_names_a_sound_is_left_as_it_is(sound: dict[str, Any]) -> None:
    completed = completed_payload(sound, row())
    assert not completed.is_of_track
    assert sound.items() <= completed.payload.items()
    assert set(completed.payload) == {*sound, "metadata"}


@pytest.mark.parametrize("nothing", [{"script": ""}, {"solfeggio": None}, {"carrierType": "none"}, {"voice": {}}])
def test_layers_that_are_off_name_no_sound(nothing: dict[str, Any]) -> None:
    assert completed_payload(nothing, row()).is_of_track


def test_title_and_cover_of_the_payload_win() -> None:
    completed = completed_payload({"script": "x", "metadata": {"title": "Mine", "cover": "c.png"}}, row())
    assert completed.payload["metadata"] == {"title": "Mine", "cover": "c.png"}
    assert not completed.has_tracks_cover
    completed = completed_payload({"script": "x", "metadata": {"title": "", "artist": "A"}}, row())
    assert completed.payload["metadata"]["title"] == "Evening calm"
    assert completed.payload["metadata"]["artist"] == "A"
    assert completed.has_tracks_cover


def test_a_track_without_settings_takes_the_defaults() -> None:
    empty = dict.fromkeys(row())
    job = parse_job(completed_payload(AGAIN, {**empty, "script": "I am calm."}).payload)
    assert (job.layers, job.duration_min, job.voice.provider) == (("voice",), 5.0, "openai")
    with pytest.raises(JobError, match="no layer"):
        parse_job(completed_payload(AGAIN, empty).payload)


@pytest.mark.parametrize("name", ["voice_config", "music_config", "frequency_config", "output_config"])
@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, "9" * 5000, "[1]", '"x"', "{"])
def test_a_column_that_holds_no_object_is_named(name: str, text: str) -> None:
    with pytest.raises(JobError, match=rf"tracks\.{name}"):
        completed_payload(AGAIN, {**row(), name: text})


@pytest.mark.parametrize("column", ["frequency_config", "output_config"])
def test_a_section_that_is_no_object_is_named(column: str) -> None:
    section = "loop" if column == "output_config" else "binaural"
    with pytest.raises(JobError, match=rf"tracks\.{column}\.{section}"):
        completed_payload(AGAIN, row(**{column: {section: 5}}))


def test_a_long_title_is_shortened() -> None:
    payload = completed_payload({"script": "x"}, row(title="t" * 5000)).payload
    assert parse_job(payload).metadata.title == "t" * 500


def test_an_album_is_called_after_its_track_and_takes_no_sound_from_it() -> None:
    album = {"durationMin": 1, "tracks": [{"carrierType": "pink"}, {"solfeggio": {"hz": 528}}]}
    completed = completed_payload(album, row(title="Evenings"))
    assert not completed.is_of_track
    parsed = parse_album(completed.payload)
    assert parsed.title == "Evenings"
    assert [(job.layers, job.metadata.title) for job in parsed.jobs] == [(("noise",), None), (("solfeggio",), None)]
    stated = completed_payload({**album, "metadata": {"album": "Mine"}}, row(title="Evenings"))
    assert parse_album(stated.payload).title == "Mine"
