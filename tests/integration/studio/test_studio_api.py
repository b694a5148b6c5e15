"""What the studio's page asks for: checks, spans, lanes, uploads, whole tracks."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from standins.speech import speech_service
from studio_server import TONES, open_studio

from dsp import noise
from dsp.noise import Noise
from worker.config import Config
from worker.payload.parse import parse_job
from worker.render.previewer import Previewer
from worker.studio.hearing import Asked, OvertakenError

RATE = 44_100
LONG = {**TONES, "durationMin": 5, "backgroundMusic": {"url": "rain.flac"}}


@pytest.fixture
def rain(folder: Path) -> None:
    """Twenty seconds of music in the studio's folder."""
    soundfile.write(folder / "rain.flac", 0.1 * Noise("pink", 3, RATE).render(0, 20 * RATE), RATE)


def told(studio, id):
    """The last event of a render."""
    with studio.client.stream("GET", f"/api/renders/{id}/events", timeout=120) as events:
        lines = [line for line in events.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_the_start_has_the_job_and_six_sessions(studio):
    start = studio.client.get("/api/start").json()
    assert start["job"] == TONES
    assert len(start["sessions"]) == 6
    assert 528 in start["solfeggio_hz"]
    for session in start["sessions"]:
        found = studio.client.post("/api/check", json={"job": {"session": session["name"]}}).json()
        assert (found["errors"], found["effective"]["durationMin"]) == ([], session["minutes"])


def test_every_mistake_is_at_its_field(studio):
    job = {**TONES, "durationMin": "x", "fade": {"inMs": -1}, "binaural": {"carierHz": 3}, "script": "[pause 99999s]"}
    found = studio.client.post("/api/check", json={"job": job}).json()
    assert {"durationMin", "fade.inMs"} <= {each["field"] for each in found["errors"]}
    assert "carrierHz" in found["warnings"][0]
    assert found["effective"] is None
    good = studio.client.post("/api/check", json={"job": {"binaural": {"band": "theta"}}}).json()["effective"]
    assert good["binaural"]["beatHz"] == 6
    assert good["gains"]["musicDb"] == -10
    recorded = {"voice": {"provider": "uploaded", "url": "me.wav"}}
    said = studio.client.post("/api/check", json={"job": recorded}).json()["effective"]["voice"]
    assert (good["voice"]["speed"], said["speed"]) == (0.9, 1.0)


def test_a_span_is_the_previewer_s_in_16_bits(studio, rain, monkeypatch):
    heard = []
    hear = Previewer.hear
    monkeypatch.setattr(Previewer, "hear", lambda *given, **more: heard.append(hear(*given, **more)) or heard[-1])
    answer = studio.hear(LONG, at_s=100.5, seconds=2.0)
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert (rate, samples.shape) == (RATE, (2 * RATE, 2))
    assert np.abs(samples - heard[0].samples).max() <= 1 / 32_768
    facts = json.loads(answer.headers["x-heard"])
    assert (facts["start_s"], facts["track_s"], facts["estimated"]) == (100.5, 300.0, True)
    assert facts["lufs"] == pytest.approx(-16.0, abs=0.5)


def test_the_level_is_exact_once_the_whole_is_measured(studio, rain):
    measured = studio.ask("/api/measure", LONG).json()
    facts = json.loads(studio.hear(LONG, 60.0).headers["x-heard"])
    assert (measured["estimated"], facts["estimated"]) == (False, False)
    assert facts["master_gain_db"] == measured["master_gain_db"]
    assert facts["lufs"] == pytest.approx(-16.0, abs=0.1)


def test_what_was_overtaken_is_not_made(studio):
    body = {"deck": "A", "job": TONES, "at_s": 0, "seconds": 1}
    assert studio.client.post("/api/hear", json={**body, "number": 7, "version": 3}).status_code == 200
    assert studio.client.post("/api/hear", json={**body, "number": 6, "version": 3}).status_code == 410
    assert studio.client.post("/api/measure", json={**body, "number": 6, "version": 2}).status_code == 410
    assert studio.client.post("/api/hear", json={**body, "deck": "B", "number": 1, "version": 1}).status_code == 200


def test_a_change_ends_the_measuring_of_the_version_before(studio, rain):
    statuses = []
    job = {**LONG, "durationMin": 480}
    version = {"number": 1, "version": 1, "deck": "A", "job": job}
    measuring = threading.Thread(
        target=lambda: statuses.append(studio.client.post("/api/measure", json=version).status_code)
    )
    begun = threading.Event()
    hear = Previewer.hear
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Previewer, "hear", lambda *given, **more: begun.set() or hear(*given, **more))
        measuring.start()
        assert begun.wait(60)
        studio.client.post("/api/hear", json={**version, "number": 2, "version": 2, "at_s": 0, "seconds": 1})
        measuring.join(60)
    assert statuses == [410]


def test_the_end_of_the_studio_ends_the_measuring(studio, rain):
    hearing = studio.server.context.hearing
    begun = threading.Event()
    hear = Previewer.hear
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Previewer, "hear", lambda *given, **more: begun.set() or hear(*given, **more))
        measuring = hearing.wholes.submit(hearing.measure, Asked("A", 1, 1, parse_job({**LONG, "durationMin": 480})))
        assert begun.wait(60)
        hearing.close()
    assert isinstance(measuring.exception(0), OvertakenError)


def test_a_bad_job_or_place_is_said_to_be_one(studio):
    bad = studio.hear({**TONES, "durationMin": -1})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "durationMin")
    assert studio.hear(TONES, at_s=12.5).status_code == 422
    for more in ({"at_s": -1}, {"at_s": True}, {"seconds": 61}, {"deck": ""}, {"deck": "x" * 65}, {"number": "1"}):
        assert studio.ask("/api/hear", TONES, **{"at_s": 0, "seconds": 1} | more).status_code == 400


def test_lanes_show_what_sounds_when(studio, folder):
    claps = np.zeros((4 * RATE, 2))
    claps[:: RATE // 3] = 0.9
    soundfile.write(folder / "me.wav", claps, RATE)
    soundfile.write(folder / "rain.flac", 0.1 * Noise("pink", 3, RATE).render(0, 20 * RATE), RATE)
    job = {
        "durationMin": 1,
        "voice": {"provider": "uploaded", "url": "me.wav"},
        "backgroundMusic": {"url": "rain.flac"},
        "ducking": {"enabled": True, "depthDb": 6},
        "solfeggio": {"sequence": [{"hz": 396, "minutes": 0.5}, 528]},
        "binaural": {"timeline": [{"atMin": 0, "beatHz": 10}, {"atMin": 1, "beatHz": 4}]},
        "carrierType": "pink",
        "gains": {"timeline": {"music": [{"atMin": 0, "db": -6}, {"atMin": 1, "db": -16}]}},
        "startDelaySec": 3,
        "pauseSec": 5,
    }
    lanes = studio.ask("/api/lanes", job).json()
    assert lanes["seconds"] == 60.0
    assert lanes["voice"][0][0] == 3.0
    assert lanes["repetitions"] == len({start for start, _, _, _ in lanes["voice"]}) > 3
    assert [each["name"] for each in lanes["layers"]] == ["voice", "music", "solfeggio", "binaural", "noise"]
    music = lanes["layers"][1]
    assert (music["levels_db"][0], music["levels_db"][-1]) == (-6.0, -16.0)
    starts = np.array(music["seams"])[:, 0]
    assert np.ptp(np.diff(starts)) < 0.002
    assert len(starts) >= 2
    assert lanes["beats"][0]["beat"] == [[0.0, 10.0], [60.0, 4.0]]
    assert [tone["course"][0][1] for tone in lanes["tones"] if tone["layer"] == "solfeggio"] == [396.0, 528.0]
    assert lanes["ducking"]["depth_db"] == 6
    assert [each["spans"] for each in lanes["layers"]] == [[[3.0, 60.0, 0.0, 0.0]], *[[[0.0, 60.0, 0.0, 0.0]]] * 4]


def test_lanes_show_the_spans_and_fades_of_a_layer(studio, folder):
    soundfile.write(folder / "rain.flac", 0.1 * Noise("pink", 3, RATE).render(0, 7 * RATE), RATE)
    when = [{"startSec": 4, "endSec": 12}, {"startSec": 40}]
    fades = {"fadeInMs": 2000, "fadeOutMs": 3000}
    layers = [
        {"kind": "music", "url": "rain.flac", "loop": "whole", "when": when, **fades},
        {"kind": "tone", "hz": 432, "startSec": 10, **fades},
    ]
    music, tone = studio.ask("/api/lanes", {"durationMin": 1, "layers": layers}).json()["layers"]
    assert music["spans"] == [[4.0, 12.0, 2.0, 3.0], [40.0, 60.0, 2.0, 3.0]]
    assert tone["spans"] == [[10.0, 60.0, 2.0, 3.0]]
    assert all(4 <= start <= 12 or 40 <= start <= 60 for start, _ in music["seams"])
    assert any(start > 40 for start, _ in music["seams"])


def test_changed_words_cost_nothing_until_that_is_said(folder, tmp_path):
    with speech_service() as service:
        config = Config(cache_dir=tmp_path / "c", openai_api_key="sk-test", openai_base_url=f"{service.url}/v1")
        job = {"durationMin": 0.5, "script": "I am calm.", "voice": {"provider": "openai"}}
        with open_studio(folder, config, job) as studio:
            asked = studio.hear(job, 3.0)
            assert (asked.status_code, asked.json()["characters"]) == (409, 10)
            assert "cents" in asked.json()
            render = studio.client.post("/api/renders", json={"job": job}).json()
            assert told(studio, render["id"])[-1]["state"] == "unpaid"
            assert not service.requests
            assert studio.hear(job, 3.0, pay=True).status_code == 200
            assert studio.hear({**job, "gains": {"voiceDb": -6}}, 3.0).status_code == 200
            assert len(service.requests) == 1


def test_the_words_of_all_voices_are_priced_in_one_question(folder, tmp_path):
    with speech_service() as service:
        config = Config(cache_dir=tmp_path / "c", openai_api_key="sk-test", openai_base_url=f"{service.url}/v1")
        layers = [
            {"kind": "speech", "script": "I am at home.", "voice": {"provider": "openai", "model": "tts-1-hd"}},
            {
                "kind": "speech",
                "name": "again",
                "script": "I am calm.",
                "voice": {"provider": "openai", "model": "tts-1"},
            },
            {"kind": "speech", "name": "local", "script": "I am free.", "voice": {"provider": "local"}},
        ]
        job = {"durationMin": 0.5, "script": "I am calm.", "voice": {"provider": "openai", "model": "tts-1"}}
        with open_studio(folder, config, job) as studio:
            alone = studio.hear(job, 3.0).json()
            asked = studio.hear({**job, "layers": layers}, 3.0).json()
            dearer = studio.hear({"durationMin": 0.5, "layers": layers[:1]}, 3.0).json()
            assert (alone["characters"], dearer["characters"], asked["characters"]) == (10, 13, 23)  # of two alike one
            assert dearer["cents"] > alone["cents"] * 13 / 10
            assert asked["cents"] == pytest.approx(alone["cents"] + dearer["cents"])
            render = studio.client.post("/api/renders", json={"job": {**job, "layers": layers}}).json()
            assert told(studio, render["id"])[-1]["characters"] == 23
            assert not service.requests
            assert studio.hear(job, 3.0, pay=True).status_code == 200
            assert studio.hear({**job, "layers": layers}, 3.0).json()["characters"] == 13


def test_a_whole_track_is_made_with_its_receipt(studio):
    render = studio.client.post("/api/renders", json={"job": {**TONES, "outputFormat": "flac"}}).json()
    events = told(studio, render["id"])
    made = events[-1]
    assert made["state"] == "done"
    assert [each["fraction"] for each in events] == sorted(each["fraction"] for each in events)
    assert made["to_look_at"] == 0
    assert {"Length", "Loudness", "True peak"} <= {line["name"] for line in made["receipt"]}
    files = made["files"]
    track = studio.client.get(f"/api/files/{files['track']}")
    assert track.content == (studio.folder / "track-1.flac").read_bytes()
    part = studio.client.get(f"/api/files/{files['track']}", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, track.content[100:200])
    page = studio.client.get(f"/api/files/{files['page']}")
    assert page.headers["content-disposition"].startswith("attachment")
    assert "promises kept" in page.text
    assert studio.client.get(f"/api/files/{files['picture']}").content.startswith(b"\x89PNG")


@pytest.mark.further
def test_a_second_track_writes_over_nothing(studio):
    (studio.folder / "track-1.txt").write_text("mine")
    render = studio.client.post("/api/renders", json={"job": {**TONES, "durationMin": 0.05}}).json()
    assert told(studio, render["id"])[-1]["name"] == "track-2.mp3"
    assert (studio.folder / "track-1.txt").read_text() == "mine"


def test_a_cancelled_track_leaves_nothing(studio):
    long = {**TONES, "durationMin": 480}
    first, second = (studio.client.post("/api/renders", json={"job": long}).json()["id"] for _ in range(2))
    for id in (second, first):
        assert studio.client.post(f"/api/renders/{id}/cancel", json={}).status_code == 200
    assert [told(studio, id)[-1]["state"] for id in (first, second)] == ["cancelled", "cancelled"]
    assert list(studio.folder.iterdir()) == []


def test_a_track_that_cannot_be_made_says_why(studio):
    job = {**TONES, "backgroundMusic": {"url": "gone.mp3"}}
    render = studio.client.post("/api/renders", json={"job": job}).json()
    made = told(studio, render["id"])[-1]
    assert made["state"] == "failed"
    assert "no such file" in made["error"]


def test_the_files_of_the_first_job_are_found_where_they_lie(tmp_path, folder, config):
    soundfile.write(tmp_path / "rain.flac", 0.1 * Noise("pink", 3, RATE).render(0, 20 * RATE), RATE)
    named = {**TONES, "backgroundMusic": {"url": str(tmp_path / "rain.flac")}}
    with open_studio(folder, config, named) as studio:
        assert studio.hear(named).status_code == 200
        other = {**TONES, "backgroundMusic": {"url": str(tmp_path / "other.flac")}}
        assert studio.hear(other).status_code == 422


def test_a_changed_beat_leaves_the_noise_as_it_is(folder, config, monkeypatch):
    """With a stated seed none is made anew, and the samples are those of a studio that knows nothing of before."""
    made = []
    chunk = noise._chunk
    monkeypatch.setattr(noise, "_chunk", lambda *of: made.append(of[-1]) or chunk(*of))
    job = {**TONES, "carrierType": "pink", "seed": 3}
    changed = {**job, "binaural": {"beatHz": 7}, "gains": {"binauralDb": -20}}
    with open_studio(folder, config) as studio:
        studio.hear(job).raise_for_status()
        before = len(made)
        heard = studio.hear(changed)
        assert (len(made), before > 0) == (before, True)
        studio.hear({**changed, "seed": 4}).raise_for_status()
        assert len(made) > before
    with open_studio(folder, config) as another:
        assert another.hear(changed).content == heard.content
