"""The list `layers`: what each entry may hold, what is said of one that is wrong, and how layers are named."""

from __future__ import annotations

from typing import Any

import pytest

from worker.errors import JobError
from worker.payload.known_keys import unknown_key_line
from worker.payload.layers import LAYER_KINDS, NoiseLayer, SpeechLayer, ToneLayer
from worker.payload.parse import parse_job
from worker.payload.schema import RenderJob

SPEECH = {"kind": "speech", "script": "Hi.", "voice": {"provider": "local"}}
MUSIC = {"kind": "music", "url": "rain.mp3"}
NOISE = {"kind": "noise"}
SPANS = 'allowed is a list of at most 100 spans {"startSec", "endSec"}'


def span(start_s: float, end_s: float | None = None) -> dict[str, float | None]:
    return {"startSec": start_s, "endSec": end_s}


LEAST: dict[str, dict[str, Any]] = {
    "speech": SPEECH,
    "music": MUSIC,
    "recording": {"kind": "recording", "url": "bell.wav"},
    "tone": {"kind": "tone", "hz": 432},
    "binaural": {"kind": "binaural"},
    "noise": NOISE,
}


def job(*layers: Any, **fields: Any) -> RenderJob:
    return parse_job({"layers": list(layers), **fields})


def mistakes(*layers: Any, **fields: Any) -> list[str]:
    with pytest.raises(JobError) as caught:
        job(*layers, **fields)
    return list(caught.value.lines)


def test_every_kind_has_the_least_that_it_needs() -> None:
    assert LEAST.keys() == LAYER_KINDS.keys()
    assert job(*LEAST.values()).layers == tuple(LEAST)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (5, ": found 5, allowed is an object"),
        ({}, ".kind: found nothing, allowed is one of speech, music, recording, tone, binaural, noise"),
        (
            {"kind": "bird"},
            '.kind: found "bird", allowed is one of speech, music, recording, tone, binaural, noise',
        ),
        ({"kind": "tone", "hz": 19}, ".hz: found 19, allowed is a number from 20 to 16000"),
        ({"kind": "tone", "hz": True}, ".hz: found true, allowed is a number from 20 to 16000"),
        ({"kind": "tone"}, ".hz: found nothing, needed is hz or sequence"),
        ({"kind": "tone", "sequence": [432, 5]}, ".sequence[1].hz: found 5, allowed is a number from 20 to 16000"),
        ({"kind": "music"}, ".url: found nothing, needed is url or id or title"),
        ({"kind": "recording"}, ".url: found nothing, needed is url"),
        ({**MUSIC, "hz": 432}, ".hz: found 432, allowed is nothing: a layer of kind music has no such field"),
        (
            {"kind": "binaural", "pan": 0},
            ".pan: found 0, allowed is nothing: a layer of kind binaural has no such field",
        ),
        ({**NOISE, "when": "night"}, f'.when: found "night", {SPANS}'),
        ({**NOISE, "when": [span(9 * at, 9 * at + 5) for at in range(101)]}, f".when: found a list of 101, {SPANS}"),
        ({**NOISE, "when": [{"endSec": 3}]}, ".when[0].startSec: found nothing, allowed is a number from 0 to 86400"),
        (
            {**NOISE, "when": [span(0), span(4, 5)]},
            ".when[0].endSec: found nothing, needed in all spans but the last",
        ),
        (
            {**NOISE, "when": [span(0, 5), span(4.9)]},
            ".when[1].startSec: found 4.9, allowed is at least 5 (where when[0] ends)",
        ),
        ({**NOISE, "when": [span(5, 5.05)]}, ".when[0].endSec: found 5.05, allowed are spans of at least 0.1 s"),
        (
            {**NOISE, "startSec": 8, "when": [span(7.5, 9)]},
            ".when[0].startSec: found 7.5, allowed is at least 8 (startSec)",
        ),
        ({**NOISE, "endSec": 8, "when": [span(7, 9)]}, ".when[0].endSec: found 9, allowed is at most 8 (endSec)"),
        (
            {**NOISE, "endSec": 8, "when": [span(8)]},
            ".when[0].startSec: found 8, allowed are spans of at least 0.1 s",
        ),
        (
            {**NOISE, "fadeInMs": 600, "fadeOutMs": 900, "when": [span(0, 2), span(3, 4)]},
            ".fadeOutMs: found 900, allowed are fades of at most 1000 in all, the length of when[1]",
        ),
        (
            {**SPEECH, "when": [span(1, 2)]},
            ".when: found a list of 1, allowed is nothing: a voice speaks by startSec, endSec, loopMode, pauseSec "
            "and intervalSec",
        ),
        ({**NOISE, "colour": "green"}, '.colour: found "green", allowed is one of pink, brown, white'),
        ({**NOISE, "width": 2.5}, ".width: found 2.5, allowed is a number from 0 to 2"),
        ({**NOISE, "fadeInMs": 600_001}, ".fadeInMs: found 600001, allowed is a number from 0 to 600000"),
        ({**NOISE, "startSec": 5, "endSec": 5}, ".endSec: found 5, allowed is more than startSec (5)"),
        (
            {**NOISE, "pan": 1.5},
            ".pan: found 1.5, allowed is a number from -1 to 1, or at most 1000 points of atMin and pan",
        ),
        (
            {**NOISE, "pan": [{"atMin": 0, "pan": 2}]},
            ".pan[0].pan: found 2, allowed is a number from -1 to 1",
        ),
        (
            {**NOISE, "gain": [{"atMin": 1, "db": 0}, {"atMin": 1, "db": 0}]},
            ".gain: each atMin must be later than the one before",
        ),
        (
            {**NOISE, "name": " x"},
            '.name: found " x", allowed is a text of at most 60 characters on one line, without spaces around it',
        ),
        (
            {**NOISE, "duckedBy": ["me"]},
            '.duckedBy: found "me", allowed is nothing, since no other layer speaks',
        ),
        ({"kind": "speech"}, ".script: found nothing to speak, needed is a script, or a voice that is uploaded"),
        (
            {"kind": "speech", "voice": {"provider": "uploaded"}},
            ".voice.url: found nothing, needed when voice.provider is uploaded: the recording's URL",
        ),
        ({**SPEECH, "voice": {"speed": 9}}, ".voice.speed: found 9, allowed is a number from 0.25 to 4"),
        ({**SPEECH, "loopMode": "no"}, '.loopMode: found "no", allowed is true, false, repeat or interval'),
        (
            {**MUSIC, "loop": "never"},
            '.loop: found "never", allowed is true, false, "auto", "whole" or {"from", "to"} in seconds, '
            "at least 0.1 s apart",
        ),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(layer: Any, says: str) -> None:
    assert mistakes(NOISE, layer) == [f"layers[1]{says}"]


def test_all_mistakes_of_all_entries_are_told() -> None:
    found = mistakes({"kind": "tone", "hz": 1, "pan": 3}, NOISE, {"kind": "music"}, durationMin=0)
    names = ["layers[0].pan", "layers[0].hz", "layers[2].url", "durationMin"]
    assert [line.partition(":")[0] for line in found] == names


def test_a_script_that_cannot_be_spoken_is_refused_with_its_place() -> None:
    (line,) = mistakes({**SPEECH, "script": "Dear [Your Name]."})
    assert line.startswith("layers[0].script: ")
    with pytest.raises(JobError) as caught:
        job({**SPEECH, "script": "Dear [Your Name]."})
    assert caught.value.code == "script.placeholder"


@pytest.mark.parametrize("found", [{}, "noise", [NOISE] * 17])
def test_what_is_no_list_of_sixteen_is_refused(found: Any) -> None:
    with pytest.raises(JobError, match=r"^layers: found .*, allowed is a list of at most 16 objects$"):
        parse_job({"layers": found})


def test_sixteen_layers_are_counted_with_those_of_the_jobs_own_fields() -> None:
    assert len(job(*[NOISE] * 15, carrierType="pink").layers) == 16
    (line,) = mistakes(*[NOISE] * 16, carrierType="pink")
    assert line == "layers: found 16 and 1 of the job's own fields, allowed are 16 in all"


def test_a_layer_without_a_name_is_called_after_its_kind() -> None:
    found = job(NOISE, NOISE, {**NOISE, "name": "noise 3"}, NOISE, carrierType="pink", solfeggio={"hz": 528})
    assert found.layers == ("solfeggio", "noise", "noise 2", "noise 4", "noise 3", "noise 5")


def test_two_layers_of_one_name_are_refused() -> None:
    (line,) = mistakes({**NOISE, "name": "sea"}, {**MUSIC, "name": "sea"})
    assert line == 'layers[1].name: found "sea", allowed is one that no other layer has'
    (line,) = mistakes({**NOISE, "name": "noise"}, carrierType="pink")
    assert line.startswith("layers[0].name: ")


def test_voices_that_duck_are_the_jobs_own_and_those_of_the_list() -> None:
    voices = {"script": "Hi.", "voice": {"provider": "local"}}
    found = job(
        {**MUSIC, "duckedBy": ["voice", "second"]}, {**SPEECH, "name": "second", "duckedBy": ["voice"]}, **voices
    )
    assert found.layer_list[0].ducked_by == ("voice", "second")  # type: ignore[union-attr]
    (line,) = mistakes({**SPEECH, "name": "me", "duckedBy": ["me"]}, **voices)
    assert line == 'layers[0].duckedBy: found "me", allowed is voice'


def test_keys_that_no_kind_has_are_named_with_what_was_meant() -> None:
    found = job({**NOISE, "widht": 1}, {**SPEECH, "voice": {"provider": "local", "sped": 1}}).unknown_keys
    assert [unknown_key_line(name) for name in found] == [
        "layers[0].widht: not a known key; did you mean width?",
        "layers[1].voice.sped: not a known key; did you mean speed?",
    ]


def test_nulls_words_in_any_case_and_numbers_are_read_as_elsewhere() -> None:
    (layer,) = job({"kind": " Tone ", "hz": 432, "wave": "SQUARE", "pan": None, "sequence": None}).layer_list
    assert isinstance(layer, ToneLayer)
    assert (layer.wave, layer.pan, layer.name) == ("square", (), "tone")
    assert job({"kind": "binaural", "band": "Theta"}).layer_list[0].beat_hz == 6.0  # type: ignore[union-attr]


def test_spans_are_read_in_order_and_may_meet() -> None:
    (layer,) = job({**NOISE, "when": [span(0, 5), {"startSec": 5, "endSec": 5.1}, {"startSec": 7}]}).layer_list
    assert isinstance(layer, NoiseLayer)
    assert [(each.start_s, each.end_s) for each in layer.when] == [(0, 5), (5, 5.1), (7, None)]
    assert job({**NOISE, "when": [{"startSec": 1, "stop": 2}]}).unknown_keys == ("layers[0].when[0].stop",)


def test_a_whisper_is_softer_and_has_less_bass_unless_stated() -> None:
    plain, stated = job(
        {**SPEECH, "whisper": True},
        {**SPEECH, "whisper": True, "gainDb": -3, "voice": {"provider": "local", "highPassHz": 80}},
    ).layer_list
    assert isinstance(plain, SpeechLayer)
    assert isinstance(stated, SpeechLayer)
    assert (plain.gain_db, plain.voice.high_pass_hz) == (-13.0, 200.0)
    assert (stated.gain_db, stated.voice.high_pass_hz) == (-3.0, 80.0)


def test_a_voice_of_the_list_needs_a_length_beside_a_voice_of_the_job() -> None:
    older = {"script": "Hi.", "output": {"normalize": True}}  # as long as its speech
    (line,) = mistakes(SPEECH, **older)
    assert line == "durationMin: found nothing, needed where layers has a voice (here layers[0])"
    assert parse_job({"layers": [SPEECH], "output": {"normalize": True}}).duration_min == 5.0


def test_all_scripts_together_have_the_limit_of_one() -> None:
    with pytest.raises(JobError, match="layers: found 12 characters in all scripts, allowed are at most 11"):
        parse_job({"script": "Six. 6", "layers": [{**SPEECH, "script": "Six. 6"}]}, max_script_characters=11)


def test_where_and_how_loud_a_layer_is_does_not_change_the_seed() -> None:
    def seed(**fields: Any) -> int | None:
        return job({**NOISE, **fields}).seed

    assert seed() == seed(gainDb=-3, pan=0.5, width=0.3, fadeInMs=100, gain=[{"atMin": 0, "db": 0}], when=[span(1)])
    assert seed() != seed(colour="white")


def test_a_list_without_entries_changes_nothing() -> None:
    assert parse_job({"carrierType": "pink", "layers": []}) == parse_job({"carrierType": "pink"})
    (layer,) = parse_job({"carrierType": "pink"}).every_layer()
    assert isinstance(layer, NoiseLayer)
    assert (layer.name, layer.gain_db, layer.colour) == ("noise", -24.0, "pink")
