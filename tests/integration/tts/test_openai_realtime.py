"""OpenAI's Realtime API through the real SDK, against a stand-in that answers as it does; and the words it says."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import wave
from dataclasses import replace

import pytest
import soundfile
from pydantic import SecretStr
from short_limits import IMPATIENT, QUICK
from standins.realtime import EXPIRED, NO_CREDIT, Handshake, Turn, api_error, realtime_service

from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice
from worker.payload.script import parse_script
from worker.tts import available_voices, open_voice
from worker.tts.cache import SpeechCache
from worker.tts.openai_realtime_voice import READ_ALOUD, OpenAIRealtimeVoice
from worker.tts.service_errors import PieceTooLongError, RewordedError
from worker.tts.speech import SpeechStats, speak_script
from worker.tts.voice import Utterance

OUT_OF_CREDIT = "insufficient_quota.credit_balance_exhausted"
TEXT = "I am calm. I am safe."


@pytest.fixture
def service():
    with realtime_service() as service:
        yield service


def config(service, **settings):
    given = {"openai_api_key": SecretStr("sk-test"), "service_limits": QUICK, **settings}
    return Config(openai_base_url=service.url, **given)


def voice(service, *, key="sk-test", settings=None, **choice):
    given = config(service, **(settings or {})).model_copy(update={"openai_api_key": SecretStr(key)})
    return OpenAIRealtimeVoice(VoiceChoice(provider="openai-realtime", **choice), given)


def refused(service, tmp_path, error, **choice):
    """What a voice raises."""
    there = voice(service, **choice)
    with pytest.raises(error) as raised:
        there.speak(Utterance(TEXT), tmp_path / "a")
    there.close()
    assert "calm" not in raised.value.message
    assert "sk-test" not in raised.value.message
    return raised.value


def speak(service, tmp_path, script):
    """Speak a script through the cache."""
    said = SpeechStats()
    folder = tmp_path / f"job-{time.monotonic_ns()}"
    folder.mkdir()
    speak_script(
        parse_script(script).parts,
        voice(service),
        cache=SpeechCache(tmp_path / "cache", 100),
        ffmpeg=find_ffmpeg(),
        folder=folder,
        said=said,
    )
    return said


class TestReading:
    def test_a_piece_is_asked_for_and_written_as_it_comes(self, service, tmp_path):
        there = voice(service, id="coral", speed=0.9, instructions="Softly.")
        there.speak(Utterance(TEXT), tmp_path / "a")
        there.close()
        with wave.open(str(tmp_path / "a")) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24_000, 1, 2)
            assert sound.getnframes() > 24_000
        (connection,), (request,) = service.connections, service.requests
        assert connection["model"] == "gpt-realtime-2.1-mini"
        session = connection["session"]
        assert session["audio"]["output"] == {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "voice": "coral",
            "speed": 0.9,
        }
        assert session["instructions"] == f"{READ_ALOUD}\nHow to speak: Softly."
        assert request["conversation"] == "none"
        assert request["input"][0]["content"] == [{"type": "input_text", "text": TEXT}]

    def test_the_pieces_of_a_script_share_a_session(self, service, tmp_path):
        there = voice(service)
        for name in "abc":
            there.speak(Utterance(f"Piece {name}."), tmp_path / name)
        there.close()
        assert (len(service.connections), len(service.requests)) == (1, 3)

    def test_pieces_at_the_same_time_have_sessions_of_their_own(self, service, tmp_path):
        there = voice(service)
        threads = [
            threading.Thread(target=there.speak, args=(Utterance(f"Sentence {n}. " * n), tmp_path / str(n)))
            for n in range(1, 6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        there.close()
        lengths = [soundfile.info(tmp_path / str(n)).frames for n in range(1, 6)]
        assert lengths == sorted(lengths)
        assert len(set(lengths)) == 5
        assert sum(service.whole.values()) == 5

    @pytest.mark.parametrize(("speed", "sent", "tempo"), [(1.2, 1.2, 1.0), (2.0, 1.5, 2.0 / 1.5), (0.25, 0.25, 1.0)])
    def test_it_speaks_as_fast_as_it_can_and_the_rest_is_stretched(self, service, tmp_path, speed, sent, tempo):
        there = voice(service, speed=speed)
        there.speak(Utterance(TEXT), tmp_path / "a")
        there.close()
        assert service.connections[0]["session"]["audio"]["output"]["speed"] == sent
        assert there.tempo == pytest.approx(tempo)
        assert any("1.5" in note for note in there.notes) == (tempo != 1.0)

    def test_a_service_that_speaks_the_words_of_the_beta_is_understood(self, service, tmp_path):
        service.turns = [Turn(kind="beta")]
        voice(service).speak(Utterance(TEXT), tmp_path / "a")
        assert soundfile.info(tmp_path / "a").frames > 24_000

    def test_a_script_is_spoken_and_nothing_is_paid_twice(self, service, tmp_path):
        script = " ".join(f"This is sentence number {number} of all." for number in range(40))
        first, again = speak(service, tmp_path, script), speak(service, tmp_path, script)
        assert (first.misses, again.hits, again.misses) == (40, 40, 0)
        assert len(service.requests) == 40

    def test_a_piece_that_is_too_long_for_one_response_is_cut_smaller(self, service, tmp_path):
        service.turns = [Turn(kind="max_output_tokens")]
        speak(service, tmp_path, "I breathe in, and I breathe out, " * 8 + "and I rest.")
        assert [len(text) <= 138 for text in service.whole] == [True] * len(service.whole)
        assert len(service.whole) > 1


class TestOtherWords:
    @pytest.mark.parametrize("says", ["Sure! {}", "{} Anything else?", "I'm sorry, I can't read that.", ""])
    def test_a_piece_that_was_reworded_is_asked_for_again(self, service, tmp_path, says):
        service.turns = [Turn(says=says)]
        voice(service).speak(Utterance(TEXT), tmp_path / "a")
        assert len(service.requests) == 2

    def test_a_piece_that_is_reworded_again_is_given_up(self, service, tmp_path):
        service.turns = [Turn(says="Sure! {}"), Turn(says="I will: {}"), Turn()]
        raised = refused(service, tmp_path, RewordedError)
        assert raised.code == "voice.reworded"
        assert isinstance(raised, TransientError)
        assert len(service.requests) == 2, "each reading is paid for"

    def test_a_reading_that_is_broken_off_between_two_does_not_count(self, service, tmp_path):
        service.turns = [Turn(says="Sure! {}"), Turn(kind="close"), Turn()]
        voice(service).speak(Utterance(TEXT), tmp_path / "a")
        assert len(service.requests) == 3

    def test_what_was_reworded_is_not_kept(self, service, tmp_path):
        service.turns = [Turn(says="Sure! {}")] * 2
        with pytest.raises(RewordedError):
            speak(service, tmp_path, TEXT)
        assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


class TestRefusals:
    def test_a_wrong_key_is_for_the_operator(self, service, tmp_path):
        assert refused(service, tmp_path, ConfigurationError, key="sk-other").code == "voice.key"
        assert len(service.connections) == 1

    @pytest.mark.parametrize(
        ("handshake", "code"),
        [
            (Handshake(401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}), "voice.key"),
            (Handshake(403, {"error": {"message": "no", "code": "unsupported_country"}}), "voice.key"),
            (Handshake(404, {"error": {"message": "gone", "code": "model_not_found"}}), "voice.model"),
            (Handshake(404, b"<html>404</html>"), "voice.address"),
            (Handshake(200, b"<html>Welcome</html>"), "voice.address"),
            (Handshake(301, b""), "voice.address"),
            (Handshake(error=NO_CREDIT, code=1013, reason=OUT_OF_CREDIT), "voice.quota"),
            (Handshake(code=1013, reason=OUT_OF_CREDIT), "voice.quota"),
            (Handshake(code=3000, reason="invalid_request_error.invalid_api_key"), "voice.key"),
            (Handshake(code=4004, reason="invalid_request_error.model_not_found"), "voice.model"),
        ],
    )  # fmt: skip
    def test_a_handshake_that_is_refused_is_for_the_operator(self, service, tmp_path, handshake, code):
        service.handshakes = [handshake] * 3
        assert refused(service, tmp_path, ConfigurationError).code == code
        assert len(service.handshakes) == 2, "a refusal must not be tried again"

    def test_an_unknown_model_fails_the_job_that_names_it_and_no_other(self, service, tmp_path):
        assert refused(service, tmp_path, JobError, model="gpt-realtime-9").code == "voice.model"
        settings = {"openai_tts_model": "gpt-realtime-9"}
        raised = refused(service, tmp_path, ConfigurationError, settings=settings)
        assert (raised.code, "OPENAI_TTS_MODEL" in raised.message) == ("voice.model", True)

    def test_an_unknown_voice_fails_the_job_that_names_it_and_no_other(self, service, tmp_path):
        assert refused(service, tmp_path, JobError, id="nobody").code == "voice.unknown"
        settings = {"openai_voice_map": {"nova": "af_heart"}}
        raised = refused(service, tmp_path, ConfigurationError, id="nova", settings=settings)
        assert (raised.code, "OPENAI_VOICE_MAP" in raised.message) == ("voice.unknown", True)
        retired = {"openai_tts_voice": "retired"}
        assert refused(service, tmp_path, ConfigurationError, settings=retired).code == "voice.unknown"
        assert not service.requests, "nothing is read in another voice"

    @pytest.mark.parametrize(
        ("turn", "error", "code"),
        [
            (Turn(kind="content_filter"), JobError, "voice.refused"),
            (Turn(kind="failed", error=NO_CREDIT), ConfigurationError, "voice.quota"),
            (
                Turn(kind="error", error=api_error("invalid_request_error", "unknown_parameter", "no", "response.x")),
                ConfigurationError,
                "voice.request",
            ),
        ],
    )
    def test_a_response_that_is_refused_is_sorted_at_once(self, service, tmp_path, turn, error, code):
        service.turns = [turn] * 3
        assert refused(service, tmp_path, error).code == code
        assert len(service.turns) == 2

    def test_a_response_that_is_too_long_is_cut_smaller(self, service, tmp_path):
        service.turns = [Turn(kind="max_output_tokens")]
        assert isinstance(refused(service, tmp_path, ConfigurationError), PieceTooLongError)


class TestWhatPasses:
    BUSY = api_error("invalid_request_error", "rate_limit_exceeded", "Rate limit reached.")

    @pytest.mark.parametrize(
        "turn",
        [
            Turn(kind="failed", error=BUSY),
            Turn(kind="failed", error=api_error("server_error", None, "The server had an error.")),
            Turn(kind="error", error=BUSY),
            Turn(kind="error", error=EXPIRED),
            Turn(kind="cancelled"),
            Turn(kind="close"),
            Turn(kind="close", code=1001, reason="Your session hit the maximum duration of 60 minutes."),
            pytest.param(Turn(kind="stall"), marks=pytest.mark.further),
            Turn(kind="damaged"),
        ],
        ids=lambda turn: f"{turn.kind} {turn.error.get('code') or turn.code}",
    )
    def test_it_is_tried_again_in_a_new_session_and_then_speaks(self, service, tmp_path, turn):
        service.turns = [turn]
        limits = IMPATIENT if turn.kind == "stall" else QUICK
        there = voice(service, settings={"service_limits": limits})
        there.speak(Utterance(TEXT), tmp_path / "a")
        there.close()
        assert (len(service.connections), len(service.requests)) == (2, 2)
        assert sum(service.whole.values()) == 1

    @pytest.mark.parametrize("handshake", [Handshake(503, b"busy"), Handshake(429, {"error": {"code": "slow_down"}})])
    def test_so_is_a_handshake(self, service, tmp_path, handshake):
        service.handshakes = [handshake]
        voice(service).speak(Utterance(TEXT), tmp_path / "a")
        assert len(service.requests) == 1

    def test_the_wait_that_the_service_asks_for_goes_with_it(self, service, tmp_path):
        service.turns = [Turn(kind="failed", error=self.BUSY, reset_s=400.5)]
        raised = refused(service, tmp_path, TransientError)
        assert (raised.code, raised.retry_after_s) == ("voice.unavailable", 401.0)

    def test_a_piece_that_never_ends_is_given_up(self, service, tmp_path):
        service.turns = [Turn(kind="drip")] * 3
        limits = {"service_limits": replace(QUICK, voice_piece_s=1.0)}
        assert refused(service, tmp_path, TransientError, settings=limits).code == "voice.slow"

    def test_a_session_that_was_closed_between_two_pieces_is_opened_anew(self, service, tmp_path):
        there = voice(service)
        there.speak(Utterance(TEXT), tmp_path / "a")
        there._idle[0]._connection.close()
        there.speak(Utterance(TEXT), tmp_path / "b")
        there.close()
        assert len(service.connections) == 2

    def test_a_service_that_is_not_there_is_transient(self, service, tmp_path):
        there = voice(service)
        there._base_url = "http://127.0.0.1:9/v1"
        with pytest.raises(TransientError, match="cannot be reached"):
            there.speak(Utterance(TEXT), tmp_path / "a")

    def test_a_response_without_sound_is_asked_for_once_more(self, service, tmp_path):
        service.turns = [Turn(kind="silent")] * 2
        with pytest.raises(TransientError) as raised:
            speak(service, tmp_path, "I am calm.")
        assert (raised.value.code, len(service.requests)) == ("voice.spoilt", 2)
        service.turns = [Turn(kind="silent")]
        speak(service, tmp_path, "I am calm.")
        assert len(service.requests) == 4


class TestChoice:
    @pytest.mark.parametrize(("named", "sent"), [("nova", "marin"), ("Onyx", "cedar"), ("fable", "ballad")])
    def test_a_voice_that_it_does_not_have_becomes_the_nearest_with_a_note(self, service, tmp_path, named, sent):
        there = voice(service, id=named)
        there.speak(Utterance(TEXT), tmp_path / "a")
        assert service.connections[0]["session"]["audio"]["output"]["voice"] == sent
        assert [note for note in there.notes if named in note and sent in note]

    def test_the_operators_map_wins(self, service, tmp_path):
        there = voice(service, id="nova", settings={"openai_voice_map": {"nova": "coral"}})
        there.speak(Utterance(TEXT), tmp_path / "a")
        assert service.connections[0]["session"]["audio"]["output"]["voice"] == "coral"
        assert not there.notes

    def test_a_voice_of_the_accounts_own_is_asked_for_as_such(self, service, tmp_path):
        voice(service, id="voice_1234").speak(Utterance(TEXT), tmp_path / "a")
        assert service.connections[0]["session"]["audio"]["output"]["voice"] == {"id": "voice_1234"}

    @pytest.mark.parametrize(
        ("setting", "model", "asked"),
        [
            (None, "tts-1", "gpt-realtime-2.1-mini"),
            ("tts-1-hd", None, "gpt-realtime-2.1-mini"),
            ("gpt-realtime-2.1", "gpt-realtime", "gpt-realtime-2.1"),
            (None, "gpt-realtime", "gpt-realtime"),
        ],
    )
    def test_only_realtime_models_are_asked_for(self, service, tmp_path, setting, model, asked):
        voice(service, model=model, settings={"openai_tts_model": setting}).speak(Utterance(TEXT), tmp_path / "a")
        assert service.connections[0]["model"] == asked

    def test_a_setting_moves_the_jobs_that_the_app_writes(self, service, tmp_path):
        """They name OpenAI, `tts-1` and nova, and are not changed."""
        moved = config(service, openai_tts_model="gpt-realtime-2.1-mini")
        there = open_voice(VoiceChoice(provider="openai", model="tts-1", id="nova"), moved)
        there.speak(Utterance(TEXT), tmp_path / "a")
        there.close()
        assert service.connections[0]["model"] == "gpt-realtime-2.1-mini"
        assert any("marin" in note for note in there.notes)

    def test_what_decides_the_sound_is_in_the_fingerprint(self, service):
        choices = [
            {},
            {"id": "coral"},
            {"model": "gpt-realtime"},
            {"speed": 1.1},
            {"instructions": "Softly."},
        ]
        prints = [voice(service, **choice).fingerprint for choice in choices]
        elsewhere = voice(service)
        elsewhere = OpenAIRealtimeVoice(
            VoiceChoice(provider="openai-realtime"),
            Config(openai_api_key=SecretStr("k"), openai_base_url="https://other.example/v1"),
        )
        assert len({*prints, elsewhere.fingerprint}) == len(choices) + 1
        assert voice(service, id="nova").fingerprint == voice(service).fingerprint, "the same voice is not paid twice"

    def test_it_is_listed_with_what_it_needs(self):
        (info,) = (info for info in available_voices(Config()) if info.provider == "openai-realtime")
        assert (info.usable, info.detail) == (False, "needs OPENAI_API_KEY")
        with pytest.raises(ConfigurationError) as raised:
            open_voice(VoiceChoice(provider="openai-realtime"), Config())
        assert raised.value.code == "configuration.key"


def test_nobody_else_loads_the_sdk():
    """An idle worker, or a job of another voice, does not pay for it."""
    loads = (
        "import sys; import worker.cli.main, worker.tts, worker.tts.openai_realtime_voice; "
        "sys.exit(' '.join({'openai', 'websockets'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
