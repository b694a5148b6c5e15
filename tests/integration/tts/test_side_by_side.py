"""Pieces spoken side by side: as many as are allowed, in the script's order, and nothing paid twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr
from short_limits import QUICK
from standins.speech import ELEVENLABS_VOICES, Answer, openai_refusal

from worker.config import Config
from worker.errors import ConfigurationError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice
from worker.payload.script import Pause, parse_script
from worker.tts.cache import SpeechCache
from worker.tts.elevenlabs_voice import ElevenLabsVoice
from worker.tts.openai_voice import OpenAIVoice
from worker.tts.speech import SpeechStats, speak_script

LINES = [f"This is line number {number} of a calm script." for number in range(12)]
NO_KEY = Answer(401, {"error": {"message": "Incorrect API key provided"}})


def voice(service, provider="openai", **choice):
    config = Config(
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=f"{service.url}/v1",
        elevenlabs_api_key=SecretStr("el-test"),
        elevenlabs_tts_voice=ELEVENLABS_VOICES[0],
        elevenlabs_base_url=service.url,
        service_limits=QUICK,
    )
    kind = OpenAIVoice if provider == "openai" else ElevenLabsVoice
    return kind(VoiceChoice(provider=provider, **choice), config)


def speak(folder: Path, there, lines=LINES, *, at_once=4, cache="cache", **options):
    said = SpeechStats()
    work = folder / f"job-{time.monotonic_ns()}"
    work.mkdir()
    speech = speak_script(
        parse_script("\n".join(lines)).parts,
        there,
        cache=SpeechCache(folder / cache, 100),
        ffmpeg=find_ffmpeg(),
        folder=work,
        said=said,
        at_once=at_once,
        **options,
    )
    return [part for part in speech.parts if not isinstance(part, Pause)], said


def samples(spoken) -> list[np.ndarray]:
    return [part.clip.read(0, part.clip.frames) for part in spoken]


@pytest.mark.parametrize("provider", ["openai", "elevenlabs"])
@pytest.mark.parametrize("at_once", [1, 4])
def test_so_many_are_asked_for_at_once_and_come_in_order(service, tmp_path, provider, at_once):
    service.takes_s = 0.2
    reached: list[float] = []
    spoken, said = speak(tmp_path, voice(service, provider), at_once=at_once, on_progress=reached.append)
    assert [part.text for part in spoken] == LINES
    assert service.at_once == at_once
    assert (said.hits, said.misses, len(service.requests)) == (0, 12, 12)
    assert reached == sorted(reached)
    assert reached[-1] == 1.0


def test_the_same_job_gives_the_same_samples_whichever_answer_comes_first(tmp_path):
    class Uneven:
        """A voice whose last pieces come first; the third of them is twice as long as it should be."""

        provider, limit_characters, fingerprint, uses_context, notes = "local", 0, "uneven", False, ()
        speed, tempo, pace_key = 1.0, 1.0, "uneven"

        def __init__(self, waits_s: list[float]) -> None:
            self.waits_s, self.asked = waits_s, Counter()

        def speak(self, utterance, into: Path) -> None:
            number = LINES.index(utterance.text)
            time.sleep(self.waits_s[number])
            self.asked[number] += 1
            t = np.arange(44_100 * (6 if number == 9 and utterance.take == 1 else 3)) / 44_100
            sound = 0.2 * np.sin(2 * np.pi * 150 * t) * np.sin(2 * np.pi * (3 + number) * t) ** 2
            sound[-900:] = 0
            soundfile.write(into, sound, 44_100, format="WAV", subtype="FLOAT")

        def stop(self) -> None:
            pass

        def close(self) -> None:
            pass

    made = []
    for number, waits_s in enumerate(([0.0] * 12, [0.3 - 0.025 * n for n in range(12)])):
        there = Uneven(waits_s)
        spoken, said = speak(tmp_path, there, at_once=1 + 3 * number, cache=f"cache-{number}")
        made.append((samples(spoken), said.notes, there.asked))
    assert made[0][1:] == made[1][1:]
    assert made[0][2][9] == 2, "the suspicious piece was asked for once more"
    assert all(np.array_equal(*pair) for pair in zip(made[0][0], made[1][0], strict=True))


def test_equal_lines_are_asked_for_once(service, tmp_path):
    service.takes_s = 0.1
    spoken, said = speak(tmp_path, voice(service), ["I am calm."] * 6)
    assert len(spoken) == 6
    assert (said.hits, said.misses, len(service.requests)) == (5, 1, 1)


def test_a_failure_ends_the_others_and_what_has_arrived_is_kept(service, tmp_path):
    service.takes_s = 0.3
    service.answers_for = {"number 2 ": [NO_KEY]}
    with pytest.raises(ConfigurationError) as caught:
        speak(tmp_path, voice(service))
    assert caught.value.code == "voice.key"
    assert len(service.requests) <= 8, "no new ones were begun"
    paid = len(service.whole)
    assert paid >= 3
    _, said = speak(tmp_path, voice(service))
    assert (said.hits, said.misses) == (paid, 12 - paid)
    assert set(service.whole.values()) == {1}


def test_a_failed_request_is_not_repeated_when_the_job_has_failed(service, tmp_path):
    busy = Answer(503, {"error": {"message": "overloaded"}}, {"Retry-After": "60"})
    service.answers_for = {"number 0 ": [busy], "number 3 ": [NO_KEY]}
    started = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        speak(tmp_path, voice(service))
    assert caught.value.code == "voice.key"
    assert time.monotonic() - started < 30


def test_a_plan_with_fewer_requests_at_once_is_waited_out(service, tmp_path):
    service.takes_s, service.most_at_once = 0.2, 2
    spoken, said = speak(tmp_path, voice(service, "elevenlabs"), at_once=6)
    assert [part.text for part in spoken] == LINES
    assert said.misses == 12
    assert set(service.whole.values()) == {1}
    assert 1 <= service.refused_at_once <= 10, "once it is known, no more are sent than the plan allows"


def test_a_piece_that_is_too_long_is_cut_while_others_are_spoken(service, tmp_path):
    long = ", ".join(f"part number {number} of a sentence" for number in range(20)) + "."
    service.answers_for = {
        "part number 19": [openai_refusal(400, "too long", param="input", code="string_above_max_length")]
    }
    lines = [*LINES[:3], f"Here is {long}", *LINES[3:]]
    spoken, _ = speak(tmp_path, voice(service), lines)
    assert " ".join(part.text for part in spoken) == " ".join(lines)
    assert len(spoken) > len(lines)


@pytest.mark.further
def test_what_several_requests_are_refused_for_is_left_out_from_then_on(service, tmp_path):
    gate = threading.Barrier(4, timeout=20)
    refused = Answer(403, {"detail": {"status": "output_format_not_allowed"}}, before=gate.wait)
    service.answers = [refused] * 4
    spoken, _ = speak(tmp_path, voice(service, "elevenlabs"))
    assert len(spoken) == 12
    formats = [request["query"]["output_format"] for request in service.requests]
    assert formats == ["pcm_44100"] * 4 + ["mp3_44100_192"] * 12
    context = Answer(
        400, {"detail": {"status": "unsupported_model", "message": "previous_text is not supported."}}, before=gate.wait
    )
    service.answers = [context] * 4
    spoken, _ = speak(tmp_path, voice(service, "elevenlabs", model="eleven_flash_v2_5"))
    assert len(spoken) == 12


@pytest.mark.further
def test_the_local_voice_speaks_one_after_another_and_all_the_same(tmp_path):
    from worker.tts import open_voice

    made = []
    for number, at_once in enumerate((1, 4)):
        there = open_voice(VoiceChoice(provider="local", speed=1.0), Config())
        made.append(samples(speak(tmp_path, there, LINES[:4], at_once=at_once, cache=f"cache-{number}")[0]))
    assert all(np.array_equal(*pair) for pair in zip(*made, strict=True))
