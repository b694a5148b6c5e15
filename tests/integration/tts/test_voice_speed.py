"""`voice.speed` of every provider."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soundfile
from fit_stage import RATE, voice
from standins.queued_jobs import sound
from tiers import further


class TestSpeed:
    """`voice.speed` of every provider: the length within 2 % of what speed 1 gives, over the speed."""

    SCRIPT = "I am calm. I let this day go. [pause 2s] With every breath I let go a little more."

    def spoken_s(self, stage, provider: str, speed: float) -> float:
        """From the first word to the last, less the pause that the script asks for."""
        payload: dict[str, Any] = {"voice": {"provider": provider, "speed": speed}, "durationMin": 0.5,
                                   "loopMode": False, "startDelaySec": 0, "lyrics": True}  # fmt: skip
        if provider == "uploaded":
            (stage.folder / "me.wav").write_bytes(sound(7, "WAV"))
            payload["voice"]["url"] = "me.wav"
        else:
            payload["script"] = self.SCRIPT
        payload |= {"fade": {"inMs": 0}, "gains": {"reference": "source", "voiceDb": 0}, "output": {"normalize": False}}
        stage.render(payload)
        track = soundfile.read(stage.folder / "track.flac")[0][:, 0]
        loud = np.flatnonzero(np.abs(track) > 1e-3)
        return float(loud[-1] - loud[0]) / RATE - (0.0 if provider == "uploaded" else 2.0)

    @pytest.mark.parametrize(
        "provider",
        ["openai", *further(["uploaded", "elevenlabs", "local"])],
    )
    def test_the_length_follows_it(self, stage, provider):
        at_one = self.spoken_s(stage, provider, 1.0)
        for speed in (0.5, 0.9, 1.5):
            length = self.spoken_s(stage, provider, speed)
            assert length * speed / at_one == pytest.approx(1, abs=0.02), speed

    @pytest.mark.further
    def test_a_model_that_takes_no_speed_is_stretched(self, stage):
        job = {"script": "I am calm. I let this day go.", "durationMin": 0.5, "loopMode": False}
        for speed in (1.0, 0.5):
            stage.render({**job, "voice": {"model": "gpt-4o-mini-tts", "speed": speed}})
        assert len(stage.service.requests) == 2, "the same words at the same pace are asked for once"
        assert "speed" not in stage.service.requests[0]["body"]

    def test_a_recording_is_as_it_is_where_no_speed_is_stated(self, stage):
        (stage.folder / "me.wav").write_bytes(sound(2, "WAV"))
        plain = {"fade": {"inMs": 0, "outMs": 0}, "gains": {"reference": "source", "voiceDb": 0},
                 "output": {"normalize": False}, "durationMin": 0.1, "startDelaySec": 0, "loopMode": False}  # fmt: skip
        stage.render({**plain, "voice": {"provider": "uploaded", "url": "me.wav"}})
        track = soundfile.read(stage.folder / "track.flac")[0]
        given = soundfile.read(stage.folder / "me.wav")[0][:, 0]
        assert np.abs(track[: len(given), 0] - given).max() < 2**-22
        assert not track[len(given) :].any()

    @pytest.mark.parametrize("provider", ["openai", *further(["elevenlabs", "local"])])
    def test_the_same_order_gives_the_same_samples(self, stage, provider):
        job = {"script": self.SCRIPT, "voice": voice(provider, speed=0.55), "durationMin": 0.6}
        tracks = []
        for _ in range(2):
            stage.render(job)
            tracks.append(soundfile.read(stage.folder / "track.flac", dtype="int32")[0])
        assert np.array_equal(*tracks)
