"""A voice longer than its track: foretold before it is spoken, then earlier, faster, and to a whole sentence."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clips import ArrayClip
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from standins.queued_jobs import sound
from standins.speech import ELEVENLABS_VOICES, seconds_of, speech_service
from tiers import further

from dsp.noise import Noise
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.payload.script import Pause, Sentence
from worker.plan.compile import compile_plan
from worker.plan.fit import (
    MOST_TEMPO,
    Ending,
    Room,
    begins_at,
    count_sentences,
    first_sentences,
    last_ending_that_fits,
    project,
    room_for_voice,
    sentences_that_fit,
    tempo_to_fit,
)
from worker.plan.recordings import Media, Speech, Spoken
from worker.render.materials import Materials
from worker.render.produce import Produced, produce
from worker.tts import cloud_voice
from worker.tts.pace import PaceBook
from worker.tts.shorten import fitted, quiet_spans

RATE = 44_100
frames = st.integers(0, 60 * RATE)
sentences = st.lists(
    st.one_of(
        st.builds(Sentence, st.text("abc ", min_size=1, max_size=80).map(lambda text: f"x{text}.")),
        st.builds(Pause, st.floats(0, 20)),
    ),
    max_size=12,
).map(tuple)


class TestRoom:
    def test_it_reaches_from_the_fade_in_to_the_fade_out(self):
        job = parse_job(
            {"script": "Hi", "durationMin": 0.5, "startDelaySec": 10, "fade": {"inMs": 2000, "outMs": 4000}}
        )
        assert room_for_voice(job) == Room(10 * RATE, 2 * RATE, 26 * RATE)

    def test_a_voice_ordered_within_the_fade_in_stays_there(self):
        job = parse_job({"script": "Hi", "startDelaySec": 0})
        assert room_for_voice(job).earliest == 0

    def test_a_track_as_long_as_its_speech_has_none(self):
        assert room_for_voice(parse_job({"script": "Hi", "output": {"normalize": True}})) is None

    @given(first=frames, earliest=frames, until=frames, length=frames)
    def test_a_voice_begins_as_late_as_it_may(self, first, earliest, until, length):
        room = Room(first, min(first, earliest), until)
        begins = begins_at(room, length)
        if begins is None:
            assert length > room.frames or until < room.earliest
            return
        assert room.earliest <= begins <= first
        assert begins + length <= until
        assert begins == first or begins + length == until

    @given(words=frames, silences=frames, room=frames)
    def test_words_are_no_faster_than_needed_and_than_allowed(self, words, silences, room):
        tempo = tempo_to_fit(words, silences, room)
        if tempo is None:
            assert silences + words / MOST_TEMPO > room - 1
            return
        assert 1.0 <= tempo <= MOST_TEMPO
        assert silences + int(words / tempo) <= room
        if tempo > 1.0:
            assert silences + words > room


class TestProjection:
    @given(parts=sentences, pace=st.floats(0.01, 0.3), room=frames)
    def test_the_sentences_that_fit_do_and_one_more_does_not(self, parts, pace, room):
        def projected(some):
            return project(some, pace_s=pace)

        count = sentences_that_fit(parts, room, projected)
        kept = first_sentences(parts, count)
        assert kept == parts[: len(kept)], "whole sentences from the beginning, none cut"
        assert count_sentences(kept) == count
        assert not kept or isinstance(kept[-1], Sentence)
        assert not count or projected(kept).frames(MOST_TEMPO) <= room
        if count < count_sentences(parts):
            assert projected(first_sentences(parts, count + 1)).frames(MOST_TEMPO) > room

    @given(parts=sentences, pace=st.floats(0.01, 0.3), room=frames, more=frames)
    def test_more_room_never_means_fewer_sentences(self, parts, pace, room, more):
        def fit(room_frames, pace_s):
            return sentences_that_fit(parts, room_frames, lambda some: project(some, pace_s=pace_s))

        assert fit(room, pace) <= fit(room + more, pace)
        assert fit(room, 2 * pace) <= fit(room, pace)

    def test_a_pause_at_the_end_takes_no_room(self):
        parts = (Sentence("Ten chars."), Pause(2.0), Sentence("Ten chars."), Pause(300.0))
        assert project(parts, pace_s=0.1).seconds() == pytest.approx(4.0)

    @given(
        lengths=st.lists(st.tuples(frames, frames), min_size=1, max_size=8),
        room=frames,
    )
    def test_the_last_ending_that_fits_is_taken(self, lengths, room):
        endings, words, silences = [], 0, 0
        for number, (word, silence) in enumerate(lengths):
            words, silences = words + word + 1, silences + silence
            endings.append(Ending(number, words, silences))
        chosen = last_ending_that_fits(endings, room)
        fitting = [e for e in endings if tempo_to_fit(e.words_frames, e.silences_frames, room) is not None]
        assert chosen == (fitting[-1] if fitting else None)


def buzz(seconds: float, level: float = 0.3) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return level * np.sin(2 * np.pi * 150 * t)


def talk(*lengths_s: float, pause_s: float = 0.3) -> ArrayClip:
    """Sound of so many seconds each, with pauses between."""
    stretches = [piece for length_s in lengths_s for piece in (buzz(length_s), np.zeros(round(pause_s * RATE)))][:-1]
    samples = np.concatenate(stretches)
    return ArrayClip(np.ascontiguousarray(np.stack([samples, samples], axis=1), np.float32))


class TestKnownLength:
    def job(self, **fields: Any):
        times = {"durationMin": 0.5, "fade": {"inMs": 1000, "outMs": 2000}}
        return parse_job({**times, **fields}, recordings=("voice",))

    def fit(self, tmp_path: Path, speech: Speech, fit="adapt", **fields: Any):
        notes: list[str] = []
        script = fields.pop("script", " ".join(part.text for part in speech.parts if isinstance(part, Spoken)))
        made = fitted(self.job(script=script, **fields), speech, fit=fit, folder=tmp_path, notes=notes)
        compiled = compile_plan(made.job, Media(made.speech))
        assert max(span.stop for span in compiled.spoken) <= 28 * RATE
        return made, compiled.spoken, notes

    def words(self, *lengths_s: float) -> Speech:
        return Speech(tuple(Spoken(f"Line {n}.", talk(length_s)) for n, length_s in enumerate(lengths_s)), -16)

    def test_speech_that_fits_stays_as_it_is(self, tmp_path):
        speech = self.words(24.9)
        made, spoken, notes = self.fit(tmp_path, speech)
        assert made.speech is speech
        assert (spoken[0].start, notes) == (3 * RATE, [])

    def test_first_it_begins_earlier_and_no_earlier_than_needed(self, tmp_path):
        made, spoken, notes = self.fit(tmp_path, self.words(26.0))
        assert (spoken[0].start, spoken[0].stop) == (2 * RATE, 28 * RATE)
        assert made.speech.parts[0].clip.frames == 26 * RATE
        assert notes == ["The voice begins at 2.0 s instead of 3.0 s, so that it ends before the track fades out."]

    @pytest.mark.parametrize("loop", [{"loopMode": False}, {"loopMode": "interval"}, {}])
    def test_a_delay_longer_than_the_track_begins_earlier(self, tmp_path, loop):
        _, spoken, notes = self.fit(tmp_path, self.words(5.0), startDelaySec=300, **loop)
        assert [(span.start, span.stop) for span in spoken] == [(23 * RATE, 28 * RATE)]
        assert "instead of 300.0 s" in notes[0]

    def test_then_it_is_faster_by_up_to_a_tenth(self, tmp_path):
        _, spoken, notes = self.fit(tmp_path, self.words(28.0))
        assert spoken[0].start == RATE
        assert 28 * RATE - spoken[0].stop <= 1
        assert any("3.7 % faster" in note for note in notes)

    def test_then_it_ends_at_the_last_whole_sentence(self, tmp_path):
        texts = [f"{number} sentence here." for number in ("First", "Second", "Third", "Fourth")]
        pieces = [part for text in texts for part in (Pause(0.3), Spoken(text, talk(9)))][1:]
        made, spoken, notes = self.fit(tmp_path, Speech(tuple(pieces), -16))
        assert [part.text for part in made.speech.parts if isinstance(part, Spoken)] == texts[:3]
        assert spoken[0].start >= RATE
        assert any("whole sentence" in note and "36.9 s" in note for note in notes)

    def test_a_piece_that_ends_within_a_sentence_is_no_place_to_end(self, tmp_path):
        """A sentence that is too long for the voice is spoken in pieces."""
        parts = (Spoken("One.", talk(8)), Spoken("Two begins,", talk(15)), Spoken("and ends.", talk(15)))
        made, _, _ = self.fit(tmp_path, Speech(parts, -16))
        assert [part.text for part in made.speech.parts] == ["One."]

    def test_pauses_of_the_script_stay_exact(self, tmp_path):
        parts = (Spoken("One.", talk(10)), Pause(6.25), Spoken("Two.", talk(12)))
        _, spoken, _ = self.fit(tmp_path, Speech(parts, -16))
        assert spoken[1].start - spoken[0].stop == round(6.25 * RATE)

    def test_a_recording_ends_in_its_last_pause_that_fits(self, tmp_path):
        _, spoken, notes = self.fit(tmp_path, Speech((Spoken("", talk(10, 10, 8, 10)),), -16))
        assert any("in a pause" in note for note in notes)
        assert (spoken[0].stop - spoken[0].start) / RATE == pytest.approx(27, abs=0.01)
        assert any("faster" in note for note in notes)

    def test_a_recording_without_pauses_fades_out(self, tmp_path):
        made, spoken, notes = self.fit(tmp_path, Speech((Spoken("", talk(60)),), -16))
        assert any("fading out" in note for note in notes)
        assert 28 * RATE - spoken[0].stop <= 2
        clip = made.speech.parts[0].clip
        end = clip.read(clip.frames - RATE // 5, clip.frames)
        assert np.abs(end[-5:]).max() < 0.01 < 0.05 < np.abs(end[: RATE // 20]).max()

    def test_a_recording_is_refused_where_that_is_wanted(self, tmp_path):
        with pytest.raises(JobError) as caught:
            self.fit(tmp_path, Speech((Spoken("", talk(26.0)),), -16), fit="fail")
        assert caught.value.code == "job.voice_too_long"
        assert "longer track" in caught.value.customer_message

    def test_words_that_were_paid_are_never_refused(self, tmp_path):
        _, spoken, _ = self.fit(tmp_path, self.words(26.0), fit="fail")
        assert spoken[0].start == 2 * RATE

    def test_fades_that_take_the_whole_track_leave_room_from_its_beginning(self, tmp_path):
        notes: list[str] = []
        job = parse_job({"script": "Hi.", "durationMin": 0.1, "fade": {"inMs": 4000, "outMs": 4000}})
        made = fitted(job, Speech((Spoken("", talk(60)),), -16), fit="adapt", folder=tmp_path, notes=notes)
        assert compile_plan(made.job, Media(made.speech)).spoken[0].start == 0

    @settings(deadline=None, max_examples=12)
    @given(
        lengths_s=st.lists(st.floats(0.3, 12.0), min_size=1, max_size=6),
        delay_s=st.integers(0, 300),
        is_recording=st.booleans(),
    )
    def test_it_never_ends_later_than_the_fade_out_begins(self, tmp_path_factory, lengths_s, delay_s, is_recording):
        folder = tmp_path_factory.mktemp("fit")
        speech = Speech((Spoken("", talk(*lengths_s)),), -16) if is_recording else self.words(*lengths_s)
        made, spoken, notes = self.fit(folder, speech, startDelaySec=delay_s)
        if not is_recording:
            kept = [part.text for part in made.speech.parts]
            assert kept == [f"Line {number}." for number in range(len(kept))]
        assert bool(notes) == (made.speech is not speech or made.job.start_delay_s != delay_s)
        assert spoken[0].start <= delay_s * RATE


class TestPauses:
    def test_quiet_spans_are_found_and_nothing_else(self):
        clip = talk(1.0, 2.0, 0.5, pause_s=0.2)
        found = [(round(a / RATE, 1), round(b / RATE, 1)) for a, b in quiet_spans(clip)]
        assert found == [(1.0, 1.2), (3.2, 3.4)]
        assert quiet_spans(talk(3.0)) == []


LINES = [f"This is sentence number {number} of a long script." for number in range(1, 41)]
LONG = " ".join(LINES)


class Stage:
    """Jobs rendered against the stand-ins of the services."""

    def __init__(self, service, folder: Path) -> None:
        self.service, self.folder = service, folder
        soundfile.write(folder / "rain.flac", 0.1 * Noise("pink", 1, RATE).render(0, 8 * RATE), RATE)

    def render(self, payload: dict[str, Any], *, fit: str = "adapt", **settings: Any) -> Produced:
        config = Config(
            openai_api_key=SecretStr("sk-test"),
            openai_base_url=f"{self.service.url}/v1",
            elevenlabs_api_key=SecretStr("el-test"),
            elevenlabs_base_url=self.service.url,
            elevenlabs_tts_voice=ELEVENLABS_VOICES[0],
            cache_dir=self.folder / "cache",
            render_threads=1,
            fit=fit,
            **settings,
        )

        def fetch(reference: str, *, into: Path, what: str) -> Path:
            return self.folder / ("rain.flac" if what == "music" else "me.wav")

        encoding = Encoding("flac")
        return produce(
            parse_job(payload),
            self.folder / "track.flac",
            materials=Materials(config, fetch),
            encoding=encoding,
        )


@pytest.fixture
def stage(tmp_path):
    cloud_voice.allowed_formats.clear()
    with speech_service() as service:
        yield Stage(service, tmp_path)


def voice(provider: str = "openai", **fields: Any) -> dict[str, Any]:
    return {"provider": provider, "speed": 1.0, **fields}


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
    def test_a_wrong_projection_is_mended_and_nothing_is_asked_again(self, stage):
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


class TestPaceBook:
    def test_it_begins_with_the_providers_own_and_follows_what_it_learns(self, tmp_path):
        book = PaceBook(tmp_path / "paces")
        start = book.pace_s("openai", "nova")
        book.learn("nova", 100_000, 5000.0)
        assert book.pace_s("openai", "nova") == pytest.approx(0.05, rel=0.01)
        assert book.pace_s("openai", "another") == start
        for _ in range(8):
            book.learn("nova", 10_000, 1000.0)
        assert book.pace_s("openai", "nova") == pytest.approx(0.1, rel=0.1), "a voice that has changed is followed"

    @pytest.mark.parametrize(
        "damage", [b"", b"5", b"1 2 3", b"a b", b"\xff\xfe", b"1e999 1", b"nan 1", b"0 0", b"1 -1"]
    )
    def test_damage_is_forgotten(self, tmp_path, damage):
        book = PaceBook(tmp_path / "paces")
        book.learn("nova", 1000, 70.0)
        (file,) = (tmp_path / "paces").iterdir()
        file.write_bytes(damage)
        assert book.pace_s("openai", "nova") == pytest.approx(0.066)
        book.learn("nova", 1000, 50.0)
        assert file.read_text().split() == ["1000.000", "50.000"]

    @pytest.mark.parametrize(("characters", "seconds"), [(0, 5.0), (10, 0.0), (10, 1e6), (5, float("nan"))])
    def test_what_cannot_be_is_not_learnt(self, tmp_path, characters, seconds):
        book = PaceBook(tmp_path / "paces")
        book.learn("nova", characters, seconds)
        assert not (tmp_path / "paces").exists()

    def test_it_stays_small(self, tmp_path):
        book = PaceBook(tmp_path / "paces")
        for number in range(400):
            book.learn(f"voice {number}", 100, 7.0)
        assert sum(file.stat().st_size for file in (tmp_path / "paces").iterdir()) <= 4000
        assert book.pace_s("openai", "voice 399") != book.pace_s("openai", "voice 0")

    def test_a_folder_that_cannot_be_written_costs_nothing(self, tmp_path):
        (tmp_path / "cache").write_text("a file")
        PaceBook(tmp_path / "cache" / "paces").learn("nova", 100, 7.0)

    def test_no_process_loses_what_another_has_learnt(self, tmp_path):
        program = (
            "import sys; from pathlib import Path; from worker.tts.pace import PaceBook\n"
            "for n in range(10): PaceBook(Path(sys.argv[1])).learn(f'{sys.argv[2]}/{n}', 100, 7.0)"
        )
        processes = [
            subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "paces"), str(number)])
            for number in range(3)
        ]
        assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
        assert len(list((tmp_path / "paces").iterdir())) == 30
