"""An album is tracks with shared defaults; the error has all its mistakes at once, with the track's number."""

from __future__ import annotations

import json

import pytest

from worker.errors import JobError
from worker.payload.album import parse_album
from worker.payload.parse import parse_job

TONE = {"solfeggio": {"hz": 528}}


def refused(payload: object) -> list[str]:
    with pytest.raises(JobError) as caught:
        parse_album(json.dumps(payload))
    return list(caught.value.lines)


def test_a_tracks_own_fields_win_and_sections_are_filled_up():
    album = parse_album(
        {
            "durationMin": 2,
            "metadata": {"album": "Evenings", "artist": "Ana"},
            "gains": {"solfeggioDb": -20, "musicDb": -12},
            "tracks": [
                {**TONE, "metadata": {"title": "Calm"}},
                {**TONE, "durationMin": 3, "gains": {"solfeggioDb": -30}},
            ],
        }
    )
    calm, other = album.jobs
    assert album.title == "Evenings"
    assert album.gap_s == 0
    assert (calm.duration_min, other.duration_min) == (2, 3)
    assert (calm.metadata.title, calm.metadata.artist, other.metadata.artist) == ("Calm", "Ana", "Ana")
    assert (calm.gains.solfeggio_db, other.gains.solfeggio_db, other.gains.music_db) == (-20, -30, -12)


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        ({}, "tracks: found null, allowed is a list of 1 to 99 jobs"),
        ({"tracks": {}}, "tracks: found an object, allowed is a list of 1 to 99 jobs"),
        ({"tracks": []}, "tracks: found a list of 0, allowed is a list of 1 to 99 jobs"),
        ({"tracks": [TONE] * 100}, "tracks: found a list of 100, allowed is a list of 1 to 99 jobs"),
        ({"tracks": [3]}, "tracks[0]: found 3, allowed is an object"),
        ({"tracks": [TONE], "gapSec": -1}, "gapSec: found -1, allowed is a number from 0 to 60 (seconds)"),
        ({"tracks": [TONE], "gapSec": True}, "gapSec: found true, allowed is a number from 0 to 60 (seconds)"),
        ({"tracks": [TONE] * 2, "durationMin": 300}, "tracks: found 600 minutes in all, allowed are at most 480"),
        ({"tracks": [TONE, {**TONE, "lyrics": True}]}, "tracks[1].lyrics: found true, allowed in an album is false"),
        (
            {"tracks": [{**TONE, "deliver": ["stems"]}]},
            "tracks[0].deliver: found stems, allowed in an album is headphones or speakers",
        ),
        (
            {"tracks": [TONE, {**TONE, "outputFormat": "flac"}]},
            "tracks[1].output: found flac of medium quality, allowed is mp3 of medium quality, as in the first track",
        ),
        (
            {"tracks": [TONE, {**TONE, "safety": {"targetLufs": -14}}]},
            "tracks[1].safety.targetLufs: found -14, allowed is -16, as in the first track",
        ),
    ],
)
def test_what_no_album_can_have_is_refused_by_name(payload, line):
    assert refused(payload) == [line]


def test_the_mistakes_of_all_tracks_are_told_at_once():
    lines = refused({"tracks": [{**TONE, "durationMin": "x"}, TONE, {"solfeggio": {"hz": 5}}, {}]})
    assert [line.split(":")[0] for line in lines] == [
        "tracks[0].durationMin",
        "tracks[2].solfeggio.hz",
        "tracks[3].the job has no layer",
    ]


def test_a_job_that_has_tracks_is_said_to_be_an_album():
    with pytest.raises(JobError) as caught:
        parse_job({"carrierType": "pink", "tracks": [{}, {}]})
    assert (
        caught.value.message
        == "tracks: found a list of 2, allowed is nothing: a job is one track, and this is an album"
    )
    with pytest.raises(JobError, match=r"^tracks\[0\].tracks: found a list of 1"):
        parse_album({"carrierType": "pink", "tracks": [{"tracks": [{}]}]})
    assert parse_job({"carrierType": "pink", "tracks": "two"}).layers == ("noise",)
