"""What a voice is asked to say, from the customer's script: directions, respelled words, notes, lyrics, the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr
from standins.speech import ELEVENLABS_VOICES

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.render.materials import Materials
from worker.render.produce import Produced, produce

PLAIN = {"durationMin": 0.3, "startDelaySec": 1, "loopMode": False, "lyrics": True}


@pytest.fixture
def render(service, tmp_path):
    def rendered(script: str, *, shop: dict[str, str] | None = None, **job: Any) -> Produced:
        config = Config(
            cache_dir=tmp_path / "cache",
            render_threads=1,
            openai_api_key=SecretStr("sk-test"),
            openai_base_url=f"{service.url}/v1",
            elevenlabs_api_key=SecretStr("el-test"),
            elevenlabs_base_url=service.url,
            elevenlabs_tts_voice=ELEVENLABS_VOICES[0],
            pronounce_file=shop or {},
        )
        return produce(
            parse_job({**PLAIN, "script": script, **job}),
            tmp_path / "track.flac",
            materials=Materials(config, lambda reference, *, into, what: tmp_path / "none"),
            encoding=Encoding("flac"),
        )

    return rendered


def texts(service) -> list[str]:
    """What the service was asked to say."""
    return [request["body"].get("input", request["body"].get("text")) for request in service.requests]


def test_directions_reach_the_models_that_know_them_and_no_other(service, render, tmp_path):
    script = "[whispers] I am calm."
    v3 = render(script, voice={"provider": "elevenlabs", "model": "eleven_v3"})
    assert "[whispers]" not in (tmp_path / "track.lrc").read_text()
    assert "I am calm." in (tmp_path / "track.lrc").read_text()
    v2 = render(script, voice={"provider": "elevenlabs"})
    assert texts(service) == ["[whispers] I am calm.", "I am calm."]
    assert not [note for note in v3.report.notes if "direction" in note]
    assert [note for note in v2.report.notes if "direction" in note] == [
        "script: 1 performance direction was left out, such as [whispers]; this voice does not know them."
    ]


def test_respelled_words_are_for_the_voice_alone(service, render, tmp_path):
    produced = render(
        "Siobhan meets Zoë.",
        voice={"provider": "openai"},
        shop={"siobhan": "of the shop", "Zoë": "ZOH-ee"},
        pronounce={"Siobhan": "shi-VAWN"},
    )
    assert texts(service) == ["shi-VAWN meets ZOH-ee."]
    assert "Siobhan meets Zoë." in (tmp_path / "track.lrc").read_text()
    assert "shi-VAWN" not in (tmp_path / "track.vtt").read_text()
    assert "shi-VAWN" not in json.dumps(produced.report.as_json())


def test_another_respelling_is_another_piece_and_the_same_is_free(service, render):
    job = {"voice": {"provider": "openai"}}
    for respelling in ("shi-VAWN", "shi-VAWN", "SHIV-awn"):
        render("Siobhan rests.", pronounce={"Siobhan": respelling}, **job)
    render("Siobhan rests.", pronounce={"Nobody": "no-body"}, **job)
    render("Siobhan rests.", **job)
    assert texts(service) == ["shi-VAWN rests.", "SHIV-awn rests.", "Siobhan rests."]


def test_what_was_changed_in_a_script_is_in_the_notes(service, render):
    produced = render("# Calm\nI **am** calm. [pause] I rest.", voice={"provider": "openai"})
    assert [note for note in produced.report.notes if note.startswith("script: ")] == [
        "script: the marks of Markdown (headings, lists, emphasis, links) were left out.",
        "script: 1 pause without a length was taken as 2 s.",
    ]
    assert not any("#" in text or "*" in text for text in texts(service))


def test_a_placeholder_costs_nothing(service, render):
    with pytest.raises(JobError) as caught:
        render("I, [Your Name], am calm.", voice={"provider": "openai"})
    assert caught.value.code == "script.placeholder"
    assert service.requests == []
