"""The script, spoken: its pieces, pauses and gaps; and a recording in its place."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from cloud_voices import PROVIDERS, speak, speak_parts, voice
from standins.speech import openai_refusal

from dsp.blocks import spans
from worker.config import Config
from worker.errors import ConfigurationError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice
from worker.payload.script import Pause
from worker.tts import open_voice
from worker.tts.recording import recorded_speech
from worker.tts.speech import PARAGRAPH_GAP_S, SENTENCE_GAP_S

RATE = 44_100


@pytest.mark.parametrize(
    "refused",
    [
        openai_refusal(400, "Invalid 'input': string too long.", param="input", code="string_above_max_length"),
        openai_refusal(400, "This model's maximum context length is 2000 tokens.", param="input"),
    ],
)
def test_a_piece_that_is_too_long_for_the_service_is_cut_smaller(service, tmp_path, refused):
    script = ", ".join(f"part number {n} of a sentence" for n in range(40)) + "."
    service.answers = [refused]
    speech = speak(service, tmp_path, script)
    texts = [request["body"]["input"] for request in service.requests]
    assert texts[0] == script
    assert " ".join(texts[1:]) == script
    assert max(map(len, texts[1:])) <= len(script) // 2
    assert len([part for part in speech.parts if not isinstance(part, Pause)]) == len(texts) - 1


def test_a_service_that_finds_everything_too_long_is_for_the_operator(service, tmp_path):
    service.answers = [openai_refusal(400, "no", param="input", code="string_above_max_length")] * 9
    with pytest.raises(ConfigurationError) as refused:
        speak(service, tmp_path, "I am calm.")
    assert refused.value.code == "voice.too_long"
    assert len(service.requests) == 1


@pytest.mark.parametrize("provider", [*PROVIDERS, "local"])
def test_pauses_are_exact_and_gaps_are_the_documented_ones(service, tmp_path, provider):
    if provider == "local":
        there = open_voice(VoiceChoice(provider="local", speed=1.0), Config())
    else:
        there = voice(service, provider, speed=1.0)
    speech = speak_parts("One. Two.\nThree. [pause 2.5s] Four.\n\nFive.", there, tmp_path)
    assert [part.text for part in speech.parts if not isinstance(part, Pause)] == [
        "One.",
        "Two.",
        "Three.",
        "Four.",
        "Five.",
    ]
    pauses = [part.seconds for part in speech.parts if isinstance(part, Pause)]
    assert pauses == [SENTENCE_GAP_S, SENTENCE_GAP_S, 2.5, PARAGRAPH_GAP_S]


@pytest.mark.further
def test_pieces_begin_and_end_in_silence_and_at_one_level(service, tmp_path):
    speech = speak(service, tmp_path, ", ".join(f"part number {n} of many" for n in range(300)) + ".")
    clips = [part.clip for part in speech.parts if not isinstance(part, Pause)]
    assert len(clips) > 1, "4096 characters are OpenAI's limit"
    assert all(len(request["body"]["input"]) <= 4096 for request in service.requests)
    for clip in clips:
        samples = np.concatenate([clip.read(*span) for span in spans(0, clip.frames, 509)])
        assert np.array_equal(samples, clip.read(0, clip.frames))
        assert np.abs(samples[[0, -1]]).max() < 1e-3
        assert np.abs(samples).max() > 0.05


def test_a_recording_is_taken_as_it_is(tmp_path):
    n = np.arange(3 * 24_000)
    soundfile.write(tmp_path / "me.wav", 0.3 * np.sin(2 * np.pi * 300 * n / 24_000), 24_000)
    speech = recorded_speech(tmp_path / "me.wav", ffmpeg=find_ffmpeg(), folder=tmp_path, max_seconds=60)
    assert speech.parts[0].clip.frames == 3 * RATE
    assert speech.loudness_lufs == pytest.approx(-11.2, abs=0.5)  # one channel in, the same in both
