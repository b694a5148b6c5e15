"""VOICE_FALLBACKS: what is read, and which voice speaks in whose place."""

from __future__ import annotations

import pytest

from worker.config import Config
from worker.errors import ConfigurationError
from worker.fallbacks import VoiceName, fallbacks_of, read_fallbacks


def names(text: str, of: str, *, own: bool = False) -> list[str]:
    provider, model, voice = of.split("/")
    return [str(name) for name in fallbacks_of(read_fallbacks(text), VoiceName(provider, model, voice), own=own)]


@pytest.mark.parametrize("arrow", ["→", "->", " → ", "  ->  "])
@pytest.mark.parametrize("between", [";", "\n", " ;\n\n"])
def test_rules_are_read_in_order(arrow, between):
    text = between.join([f"openai/tts-1/nova{arrow}openai-realtime/r/marin", f"openai/*/nova{arrow}local/*/heart"])
    assert names(text, "openai/tts-1/nova") == ["openai-realtime/r/marin", "local/*/heart"]
    assert names(text, "openai/tts-1-hd/nova") == ["local/*/heart"]
    assert names(text, "openai/tts-1/alloy") == []


def test_a_models_name_may_hold_slashes():
    (rule,) = read_fallbacks("openai/hexgrad/Kokoro-82M/af_heart -> local/*/*")
    assert (rule.of.model, rule.of.voice) == ("hexgrad/Kokoro-82M", "af_heart")


def test_no_wildcard_matches_a_customers_own_voice():
    assert names("*/*/* -> local/*/*", "elevenlabs/eleven_v3/abc", own=True) == []
    assert names("*/*/abc -> local/*/*", "elevenlabs/eleven_v3/abc", own=True) == ["local/*/*"]


def test_a_voice_is_no_fallback_of_itself_and_stands_in_once():
    text = "openai/*/* -> openai/tts-1/nova; openai/*/* -> local/*/*; openai/tts-1/* -> local/*/*"
    assert names(text, "openai/tts-1/nova") == ["local/*/*"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("openai/tts-1/nova", "a rule is provider/model/voice"),
        ("openai/nova -> local/*/*", "a rule is provider/model/voice"),
        ("openai/*/* -> local/*/* -> local/*/heart", "a rule is provider/model/voice"),
        ("openai/*/* -> */*/*", "does not name the provider"),
        ("azure/*/* -> local/*/*", "found the provider 'azure'"),
        ("uploaded/*/* -> local/*/*", "found the provider 'uploaded'"),
        ("openai//nova -> local/*/*", "a rule is provider/model/voice"),
    ],
)
def test_a_rule_that_cannot_be_read_stops_the_start(text, says):
    with pytest.raises(ConfigurationError, match="VOICE_FALLBACKS") as caught:
        Config.from_environ({"VOICE_FALLBACKS": text})
    assert says in caught.value.message


def test_the_setting_is_read():
    config = Config.from_environ({"VOICE_FALLBACKS": "openai/*/* → openai-realtime/gpt-realtime-2.1-mini/*"})
    assert [str(rule.to) for rule in config.voice_fallbacks] == ["openai-realtime/gpt-realtime-2.1-mini/*"]
    assert config.voice_fallback_after_min == 30
    assert Config().voice_fallbacks == ()
