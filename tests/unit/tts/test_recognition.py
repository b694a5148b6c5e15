"""What speech recognition says of a voice: word errors, alarms, notes. (The recogniser itself: benchmarks.)"""

from __future__ import annotations

import pytest

from worker.errors import ConfigurationError
from worker.tts import recognition
from worker.tts.recognition import Recognised, check_recogniser, recognise, word_error


@pytest.mark.parametrize(
    ("expected", "heard", "error"),
    [
        ("I am calm.", "i am CALM", 0),
        ("I’m fine, José!", "Im fine Jose", 0),
        ("I am calm and safe.", "I am calm", 2 / 5),
        ("I am calm.", "I am very calm.", 1 / 3),
        ("I am calm.", "", 1),
        ("I am calm.", "You are cold.", 1),
        ("Count from 10 to 1.", "Count from ten to one.", 0),
    ],
)
def test_word_error(expected, heard, error):
    assert word_error(expected, heard) == pytest.approx(error)


def test_alarms_name_pieces_and_never_quote_them():
    found = Recognised(((1, 0.0), (2, 0.4), (5, 0.25)))
    assert found.alarms == (2,)
    assert found.notes() == ["voice: in piece 2 other words may be heard (40% of them); please listen to it."]
    assert found.as_json() == {"pieces": 3, "word_error": 0.217, "alarms": [2]}


def test_a_recogniser_that_is_missing_is_for_the_operator(monkeypatch):
    monkeypatch.setattr(recognition, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"VERIFY.*\[verify\]"):
        check_recogniser()


@pytest.mark.parametrize("fails", [OSError(), ValueError()])
def test_a_recogniser_that_fails_costs_no_job(tmp_path, monkeypatch, fails):
    def failing(paths, *, timeout_s):
        raise fails

    monkeypatch.setattr(recognition, "_ask", failing)
    assert recognise([], tmp_path, sample_rate=44_100) is None
