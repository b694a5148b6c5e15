"""Keys that mean nothing where they stand: all are found, and what was meant is said."""

from __future__ import annotations

from typing import Any

import pytest

from worker.payload.aliases import SPELLINGS
from worker.payload.known_keys import unknown_key_line, unknown_keys


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"binaural": {"carierHz": 300}}, "binaural.carierHz: not a known key; did you mean carrierHz?"),
        ({"binaural": {"base_freqency": 300}}, "binaural.base_freqency: not a known key; did you mean base_frequency?"),
        ({"voise": {}}, "voise: not a known key; did you mean voice?"),
        ({"Script": "Hi"}, "Script: not a known key; did you mean script?"),
        ({"backgroundmusic": {}}, "backgroundmusic: not a known key; did you mean backgroundMusic?"),
        ({"duration_min": 3}, "duration_min: not a known key; did you mean durationMin?"),
        ({"carrierHz": 300}, "carrierHz: not a known key; did you mean binaural.carrierHz?"),
        ({"title": "Calm"}, "title: not a known key; did you mean metadata.title?"),
        (
            {"binaural": {"timeline": [{"atMin": 0, "beatHz": 4}, {"atMin": 1, "beat": 4}]}},
            "binaural.timeline[1].beat: not a known key; did you mean beatHz?",
        ),
        (
            {"gains": {"timeline": {"musik": []}}},
            "gains.timeline.musik: not a known key; did you mean music?",
        ),
        (
            {"solfeggio": {"sequence": [{"hz": 528, "minute": 1}]}},
            "solfeggio.sequence[0].minute: not a known key; did you mean minutes?",
        ),
        (
            {"backgroundMusic": {"loop": {"from": 1, "till": 9}}},
            "backgroundMusic.loop.till: not a known key; known in backgroundMusic.loop are from, to",
        ),
        ({"fade": {"pitch": 1}}, "fade.pitch: not a known key; known in fade are inMs, outMs"),
        ({"a.b[0]c\n": 1}, "a.b[0]c\\n: not a known key; `mindscript-worker schema` prints all"),
    ],
)
def test_what_was_meant_is_said(payload: dict[str, Any], says: str) -> None:
    (name,) = unknown_keys(payload)
    assert unknown_key_line(name) == says


def test_no_spelling_of_any_field_is_unknown() -> None:
    for names in SPELLINGS.values():
        for name in names:
            payload: Any = None
            for key in reversed(name.split(".")):
                payload = {key: payload}
            assert unknown_keys(payload) == ()


def test_words_to_pronounce_are_no_keys() -> None:
    assert unknown_keys({"pronounce": {"Siobhan": "shivawn"}}) == ()
