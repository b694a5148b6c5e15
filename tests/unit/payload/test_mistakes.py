"""Everything that is wrong with a job is told at once, and nothing that only follows from it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from worker.errors import JobError
from worker.payload.mistakes import MOST_LINES
from worker.payload.parse import parse_job
from worker.service.attempt_report import attempt_report


def mistakes_in(payload: Any, **options: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        parse_job(payload, **options)
    return caught.value


def fields_of(payload: Any, **options: Any) -> list[str]:
    return [line.split(":")[0] for line in mistakes_in(payload, **options).lines]


def test_every_kind_of_mistake_is_in_one_list() -> None:
    payload = {
        "script": "I am [Your Name]. [pause 900s] I live in [City].",
        "voice": "nova",
        "durationMin": 500,
        "solfeggio": {"hz": 500},
        "binaural": {"timeline": [{"atMin": 0, "beatHz": 500}, {"beatHz": 5}]},
        "gains": {"timeline": 3},
        "pauseSec": float("nan"),
        "x": float("inf"),
    }
    assert fields_of(payload) == [
        "voice",
        "gains.timeline",
        "pauseSec",
        "solfeggio.hz",
        "binaural.timeline[0].beatHz",
        "binaural.timeline[1].atMin",
        "x",
        "durationMin",
        "script",
        "script",
        "script",
    ]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"solfeggio": {"enabled": True, "hz": 500}}, "solfeggio.hz"),  # not "needed when solfeggio is on"
        ({"backgroundMusic": "rain.mp3"}, "backgroundMusic"),  # not "no layer"
        ({"background_music": "rain.mp3"}, "background_music"),
        ({"session": "sleep"}, "session"),
        ({"voice": {"provider": "uploaded", "url": 3}}, "voice.url"),
        ({"script": 3}, "script"),
        ({"script": "x " * 3000}, "script"),
        ({"script": "I am. [pause 600s] " * 49 + "[pause 601s]", "voice": {"voice_id": "x"}}, "script"),
        ({"binaural": {"beatHz": float("nan")}}, "binaural.beatHz"),
    ],
)
def test_what_follows_from_a_mistake_is_not_another(payload: dict[str, Any], field: str) -> None:
    assert fields_of(payload) == [field]


def test_names_are_the_senders_in_the_older_dialect() -> None:
    payload = {"binaural": {"base_frequency": 5, "beat_frequency": 500}, "solfeggio": {"frequency": 1}}
    assert fields_of(payload) == ["solfeggio.frequency", "binaural.beat_frequency", "binaural.base_frequency"]


def test_the_row_gets_the_first_and_the_attempt_gets_all() -> None:
    error = mistakes_in({"script": "Hi", "durationMin": 0, "pauseSec": -1})
    assert error.message == "durationMin: found 0, allowed is a number from 0.05 to 480 (minutes) (and 1 more error)"
    assert error.customer_message == error.message
    told = attempt_report({}, error, {}).error
    assert told is not None
    assert told.count("found") == 2
    assert "pauseSec: found -1" in told


def test_a_placeholder_first_keeps_its_code_and_words() -> None:
    error = mistakes_in({"script": "I am [Your Name] and {city}."})
    assert (error.code, len(error.lines)) == ("script.placeholder", 2)
    assert "[Your Name]" in error.customer_message
    assert "[Your Name]" not in " ".join(error.lines)


def test_all_lines_go_to_the_worker_and_are_masked() -> None:
    error = pickle.loads(pickle.dumps(mistakes_in({"script": "Hi", "durationMin": 0, "pauseSec": -1})))  # noqa: S301
    error.reword(lambda text: text.replace("found", "***"))
    assert len(error.lines) == 2
    assert not any("found" in line for line in error.lines)


def test_thousands_of_mistakes_are_counted() -> None:
    points = [{"atMin": 0, "db": 99}] * 500
    lines = mistakes_in({"script": "Hi", "gains": {"timeline": {"voice": points}}}).lines
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "the job: 400 more errors are not shown"


def test_unknown_keys_are_mistakes_where_that_is_asked_for() -> None:
    payload = {"script": "Hi", "pauseSec": -1, "binaural": {"carierHz": 300}}
    assert fields_of(payload) == ["pauseSec"]
    assert fields_of(payload, strict=True) == ["pauseSec", "binaural.carierHz"]
