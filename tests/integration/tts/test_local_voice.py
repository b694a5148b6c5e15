"""The local voice: the same words, the same samples."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from worker.config import Config
from worker.errors import ConfigurationError, JobError
from worker.payload.schema import VoiceChoice
from worker.tts import local_voice, open_voice
from worker.tts.voice import Utterance


def test_the_local_voice_says_the_same_the_same_way(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = open_voice(VoiceChoice(provider="local"), Config())
    for name in ("a", "b"):
        there.speak(Utterance("I am calm."), tmp_path / name)
    there.close()
    first, second = (soundfile.read(tmp_path / name)[0] for name in ("a", "b"))
    assert np.array_equal(first, second)
    assert np.abs(first).max() > 0.05
    assert not (tmp_path / "cache").exists(), "the ONNX runtime keeps a number for its maker"
    with pytest.raises(JobError, match=r"voice\.id"):
        open_voice(VoiceChoice(provider="local", id="nobody"), Config())


def test_a_default_local_voice_that_is_missing_is_for_the_operator(monkeypatch):
    monkeypatch.setattr(local_voice, "hibari_voices", lambda: ("another",))
    with pytest.raises(ConfigurationError) as refused:
        open_voice(VoiceChoice(provider="local"), Config())
    assert refused.value.code == "voice.unknown"
    with pytest.raises(JobError):
        open_voice(VoiceChoice(provider="local", id="heart"), Config())
