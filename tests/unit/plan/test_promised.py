"""The tones and beats that a plan promises, and that a document of them comes back as it was."""

from __future__ import annotations

import json

import pytest

from dsp.envelope import Breakpoints, Constant, Fade
from dsp.plan import Layer, RenderPlan
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.plan.promised import Promised, PromisedTone, promised_of, read_promised

RATE = 44_100


def promised(*layers: tuple[str, object, float], minutes: float = 1.0) -> Promised:
    frames = round(minutes * 60 * RATE)
    made = tuple(Layer(name, source, Constant(gain)) for name, source, gain in layers)
    return promised_of(RenderPlan(RATE, frames, made, Fade(frames, RATE, 2 * RATE)), -2.0)


def test_a_tone_has_its_frequency_level_and_span_between_the_fades():
    (tone,) = promised(("solfeggio", Tone(528.0, RATE), 0.1)).tones
    assert tone == PromisedTone("solfeggio", "both", ((0.0, 528.0),), -22.0, 1.0, 58.0)


def test_the_tones_of_a_sequence_leave_out_their_crossfades():
    sequence = ToneSequence((396.0, 417.0, 528.0), (0, 20 * RATE, 40 * RATE), 4 * RATE, RATE)
    tones = promised(("solfeggio", sequence, 0.1)).tones
    assert [(tone.course[0][1], tone.from_s, tone.to_s) for tone in tones] == [
        (396.0, 1.0, 18.0),
        (417.0, 22.0, 38.0),
        (528.0, 42.0, 58.0),
    ]


@pytest.mark.parametrize(
    ("kind", "channels", "hz", "level"),
    [
        (Binaural, ["left", "right"], [197.0, 203.0], -22.0),
        (Monaural, ["both", "both"], [197.0, 203.0], -28.02),
        (Isochronic, ["both"], [200.0], -28.02),
    ],
)
def test_the_tones_of_each_kind_of_beat(kind, channels, hz, level):
    found = promised(("binaural", kind(200.0, 6.0, RATE), 0.1))
    assert [tone.channel for tone in found.tones] == channels
    assert [tone.course for tone in found.tones] == [((0.0, each),) for each in hz]
    assert {tone.level_dbfs for tone in found.tones} == {level}
    (beat,) = found.beats
    assert (beat.mode, beat.carrier, beat.beat) == (kind.__name__.lower(), ((0.0, 200.0),), ((0.0, 6.0),))


def test_a_gliding_beat_is_promised_with_its_course():
    beat = Breakpoints((0, 30 * RATE, 90 * RATE), (10.0, 4.0, 4.0))
    found = promised(("binaural", Binaural(200.0, beat, RATE), 0.1))
    assert found.beats[0].beat == ((0.0, 10.0), (30.0, 4.0), (60.0, 4.0))
    left = found.tones[0]
    assert left.at(15.0) == 200.0 - 3.5


def test_a_level_that_moves_is_not_promised():
    frames = 60 * RATE
    layer = Layer("solfeggio", Tone(528.0, RATE), Breakpoints((0, frames), (0.1, 0.2)))
    (tone,) = promised_of(RenderPlan(RATE, frames, (layer,), Constant(1.0)), 0.0).tones
    assert tone.level_dbfs is None


def test_a_document_comes_back_as_it_was():
    beat = Breakpoints((0, 30 * RATE), (10.0, 4.0))
    found = promised(("binaural", Binaural(200.0, beat, RATE), 0.1), ("solfeggio", Tone(528.0, RATE, "square"), 0.1))
    document = json.loads(json.dumps(found.as_json()))
    assert document["version"] == 1
    assert read_promised(document) == found
    assert read_promised({**document, "later": "fields"}) == found
    assert read_promised(None) is None


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"tones": {}, "beats": []},
        {"tones": [{"channel": "middle", "course": [[0, 1]], "from_s": 0, "to_s": 1}], "beats": []},
        {"tones": [{"channel": "left", "course": [], "from_s": 0, "to_s": 1}], "beats": []},
        {"tones": [{"channel": "left", "course": [[0, "1"]], "from_s": 0, "to_s": 1}], "beats": []},
        {"tones": [{"channel": "left", "course": [[1, 5], [0, 5]], "from_s": 0, "to_s": 1}], "beats": []},
        {"tones": [{"channel": "left", "course": [[0, 1e9]], "from_s": 0, "to_s": 1}], "beats": []},
    ],
)
def test_what_is_no_such_document_is_refused(document):
    with pytest.raises(ValueError):
        read_promised(document)
