"""Whole tracks of a script that is longer than they are: what is spoken, paid, and noted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import soundfile
from fit_stage import LINES, LONG, RATE, voice
from standins.speech import seconds_of
from tiers import further

from worker.errors import JobError
from worker.tts.pace import PaceBook


class TestJobs:
    @pytest.mark.parametrize("provider", ["openai", *further(["elevenlabs"])])
    def test_only_the_sentences_that_fit_are_spoken_and_paid(self, stage, provider):
        produced = stage.render({"script": LONG, "voice": voice(provider), "durationMin": 0.5})
        count = sum(stage.service.whole.values())
        assert sorted(stage.service.whole) == sorted(LINES[:count]), "whole sentences from the beginning"
        assert 6 <= count <= 10
        assert any(f"its first {count} of 40 sentences" in note for note in produced.report.notes)
        assert produced.report.repetitions == 1

    def test_where_it_must_fit_it_fails_before_anything_is_spoken(self, stage):
        with pytest.raises(JobError) as caught:
            stage.render({"script": LONG, "voice": voice(), "durationMin": 0.5}, fit="fail")
        assert caught.value.code == "job.voice_too_long"
        assert caught.value.message.startswith("durationMin: found 0.5, allowed is at least ")
        assert "would take about" in caught.value.message
        assert "longer track" in caught.value.customer_message
        assert not stage.service.requests

    @pytest.mark.parametrize("fit", ["adapt", "fail"])
    def test_a_script_without_room_for_a_sentence_fails_unpaid(self, stage, fit):
        endless = "and so on, " * 40 + "to the end."
        with pytest.raises(JobError) as caught:
            stage.render({"script": endless, "voice": voice(), "durationMin": 0.2}, fit=fit)
        assert caught.value.code == "job.voice_too_long"
        assert not stage.service.requests

    @pytest.mark.further
    def test_a_wrong_projection_is_corrected_and_nothing_is_asked_again(self, stage):
        """The voice is measured as a fast one, and then it is not: what was spoken ends at a whole sentence."""
        job = {"script": LONG, "voice": voice(id="nova"), "durationMin": 0.5}
        book = PaceBook(stage.folder / "cache" / "paces")
        book.learn(f"openai tts-1 nova at={stage.service.url}/v1 instructions=", 10_000, 350.0)
        produced = stage.render(job)
        assert set(stage.service.whole.values()) == {1}
        assert any("ends after a whole sentence" in note for note in produced.report.notes), produced.report.notes
        paid = Counter(stage.service.whole)
        again = stage.render(job)
        assert stage.service.whole == paid, "the pace is known better now, and the words stay those that were paid"
        assert again.report.notes[1:] == produced.report.notes[1:], "all but the projected length"

    def test_the_pace_of_a_voice_is_learnt(self, stage):
        book = PaceBook(stage.folder / "cache" / "paces")
        key = f"openai tts-1 nova at={stage.service.url}/v1 instructions="
        before = book.pace_s("openai", key)
        stage.render({"script": LONG, "voice": voice(id="nova", speed=0.5), "durationMin": 1})
        after = book.pace_s("openai", key)
        true = sum(map(seconds_of, LINES)) / sum(map(len, LINES))
        assert abs(after - true) < abs(before - true)
        assert after == pytest.approx(true, rel=0.03)

    def test_what_fits_is_as_it_was_ordered(self, stage):
        job = {"script": "I am calm.", "voice": voice(), "durationMin": 0.3, "startDelaySec": 7.25, "loopMode": False,
               "gains": {"reference": "source", "voiceDb": 0}, "output": {"normalize": False}}  # fmt: skip
        produced = stage.render(job)
        assert produced.report.notes == ()
        track = soundfile.read(stage.folder / "track.flac")[0][:, 0]
        first = int(np.flatnonzero(np.abs(track) > 1e-4)[0])
        assert 0 <= first - round(7.25 * RATE) <= 0.02 * RATE, "the edge of the first word"

    @pytest.mark.parametrize("name", ["checkout-premium-voice", *further(["edit-without-music-url"])])
    def test_jobs_as_the_shop_writes_them_are_delivered_with_a_note(self, stage, name):
        produced = stage.render(SHOP_ORDERS[name])
        assert produced.report.duration_s == 300
        notes = " ".join(produced.report.notes)
        if name == "checkout-premium-voice":
            assert "voice.model: tts-1 is no model of ElevenLabs, so eleven_multilingual_v2 was taken." in notes
            assert stage.service.requests[0]["body"]["model_id"] == "eleven_multilingual_v2"
            assert produced.report.repetitions > 20
        else:
            assert "instead of 300.0 s" in notes
            assert produced.report.repetitions == 1


SHOP_ORDERS: dict[str, dict[str, Any]] = {
    "checkout-premium-voice": {
        "script": "I am calm. I let this day go.",
        "voice": {"provider": "elevenlabs", "id": "21m00Tcm4TlvDq8ikWAM", "model": "tts-1", "speed": 0.9},
        **{"durationMin": 5, "pauseSec": 5, "loopMode": True, "startDelaySec": 3},
        "backgroundMusic": {"id": "0b7c1d52-6c1e-4c39-9a3b-3a9a6f5c0d11", "name": "Rain", "url": "rain.flac"},
        "solfeggio": None,
        "binaural": None,
        "gains": {"voiceDb": -1, "musicDb": -10, "solfeggioDb": -18, "binauralDb": -20},
    },
    "edit-without-music-url": {
        "script": "I am calm. I let this day go.",
        "voice": {"provider": "openai", "id": "nova", "model": "tts-1", "speed": 1.4},
        **{"durationMin": 5, "pauseSec": 5, "loopMode": True, "startDelaySec": 300},
        "backgroundMusic": {"id": "rain", "name": "Rain"},
        "solfeggio": {"enabled": True, "hz": 528},
        "binaural": {"enabled": True, "band": "theta"},
        "gains": {"voiceDb": -1, "musicDb": -10, "solfeggioDb": -18, "binauralDb": -20},
    },
}
