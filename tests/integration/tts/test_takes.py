"""Pieces are examined before they are kept: a suspicious take is asked for once more, and the better one is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from spoken_pieces import RATE, SENTENCES, said, spoilt_pieces

from worker.errors import TransientError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.script import Sentence
from worker.plan.recordings import Spoken
from worker.tts.cache import SpeechCache
from worker.tts.service_errors import SpoiltError
from worker.tts.speech import SpeechStats, speak_script
from worker.tts.takes import TakeBook
from worker.tts.voice import Utterance

LINES = SENTENCES[12:18]
SPOILT = LINES[2]


class Reader:
    """A voice that reads the sentences above; `spoilt` takes come first, for one of them."""

    provider, limit_characters, fingerprint, uses_context, notes = "local", 0, "reader", False, ()
    speed, tempo, pace_key = 1.0, 1.0, "reader"

    def __init__(self, *spoilt: np.ndarray | Exception) -> None:
        self.spoilt = list(spoilt)
        self.asked: list[Utterance] = []

    def speak(self, utterance: Utterance, into: Path) -> None:
        self.asked.append(utterance)
        samples = said(utterance.text, seed=utterance.take - 1)
        if utterance.text == SPOILT and self.spoilt:
            samples = self.spoilt.pop(0)
            if isinstance(samples, Exception):
                raise samples
        soundfile.write(into, samples, RATE, format="WAV", subtype="FLOAT")

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def spoken(folder: Path, voice: Reader, lines=LINES, **options):
    work = folder / f"work-{len(list(folder.iterdir()))}"
    work.mkdir()
    stats = SpeechStats()
    speech = speak_script(
        tuple(Sentence(line) for line in lines),
        voice,
        cache=SpeechCache(folder / "cache", 100),
        ffmpeg=find_ffmpeg(),
        folder=work,
        said=stats,
        **options,
    )
    return {part.text: part.clip for part in speech.parts if isinstance(part, Spoken)}, stats.notes


def bad(name: str) -> np.ndarray:
    return spoilt_pieces(SPOILT)[name].samples


def seconds(clip) -> float:
    return clip.frames / RATE


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    voice = Reader()
    clips, notes = spoken(tmp_path_factory.mktemp("clean"), voice)
    assert len(voice.asked) == len(LINES)
    assert notes == []
    return clips


@pytest.mark.parametrize(
    "name", ["half missing", "spoken twice", "a hole of 10 s", "3 s of noise behind", "end cut off"]
)
def test_a_spoilt_take_is_asked_for_once_more(tmp_path, clean, name):
    voice = Reader(bad(name))
    clips, notes = spoken(tmp_path, voice)
    assert [each.text for each in voice.asked].count(SPOILT) == 2
    assert len(voice.asked) == len(LINES) + 1
    assert seconds(clips[SPOILT]) == pytest.approx(seconds(clean[SPOILT]), rel=0.03)
    (note,) = notes
    assert note.startswith("voice: piece 3 was spoken twice, since ")
    assert note.endswith("the second take was better.")
    again = Reader()
    clips, _ = spoken(tmp_path, again)
    assert again.asked == [], "the better take was kept"
    assert seconds(clips[SPOILT]) == pytest.approx(seconds(clean[SPOILT]), rel=0.03)


def test_two_bad_takes_are_told(tmp_path):
    voice = Reader(bad("3 s of noise behind"), bad("a hole of 10 s"))
    _, (note,) = spoken(tmp_path, voice)
    assert len(voice.asked) == len(LINES) + 1
    assert "piece 3 was spoken twice" in note
    assert "the second take was no better, but " in note
    again = Reader()
    assert spoken(tmp_path, again)[1] == []
    assert [each.text for each in again.asked] == [SPOILT], "the next customer does not get it from the cache"


def test_two_bad_takes_are_refused_where_another_voice_may_speak(tmp_path):
    voice = Reader(bad("3 s of noise behind"), bad("a hole of 10 s"))
    with pytest.raises(SpoiltError, match="no take of piece 3 can be used: there is noise in it"):
        spoken(tmp_path, voice, accept_unusable=False)
    slightly = Reader(bad("end cut off"), bad("end cut off"))
    spoken(tmp_path, slightly, accept_unusable=False)
    assert [each.text for each in slightly.asked].count(SPOILT) == 2


def test_a_bad_first_take_alone_is_refused_as_well(tmp_path):
    with pytest.raises(SpoiltError):
        spoken(tmp_path, Reader(bad("a hole of 10 s"), TransientError("busy")), accept_unusable=False)


@pytest.mark.parametrize("first", [[], ["3 s of noise behind"]])
def test_what_was_kept_before_the_voice_was_known_is_taken_out_again(tmp_path, first):
    """The first piece: that it is half missing shows only when the others have been spoken."""
    lines = [SPOILT, *(line for line in LINES if line != SPOILT)]
    _, (note,) = spoken(tmp_path, Reader(*map(bad, first), bad("half missing"), bad("half missing")), lines)
    assert "piece 1 was spoken twice" in note
    assert note.endswith("but it is too short for its words.")
    after = Reader()
    spoken(tmp_path, after, lines)
    assert [each.text for each in after.asked] == [SPOILT]


def test_a_second_take_that_fails_leaves_the_first(tmp_path, clean):
    voice = Reader(bad("end cut off"), TransientError("busy"))
    clips, (note,) = spoken(tmp_path, voice)
    assert seconds(clips[SPOILT]) < seconds(clean[SPOILT])
    assert "the second take was no better" in note


def test_what_a_voice_always_does_is_asked_about_once(tmp_path):
    class Abrupt(Reader):
        def speak(self, utterance: Utterance, into: Path) -> None:
            super().speak(utterance, into)
            samples = soundfile.read(into)[0]
            loud = np.nonzero(np.abs(samples) > 0.5 * np.abs(samples).max())[0][-1]
            soundfile.write(into, samples[:loud], RATE, format="WAV", subtype="FLOAT")

    voice = Abrupt()
    spoken(tmp_path, voice)
    assert len(voice.asked) == len(LINES) + 1


def test_the_voice_is_known_from_earlier_scripts(tmp_path):
    """A script of one piece: its half is found by the pieces of another script."""
    book = TakeBook(tmp_path / "takes")
    spoken(tmp_path, Reader(), [line for line in LINES if line != SPOILT], takes=book)
    voice = Reader(bad("half missing"))
    spoken(tmp_path, voice, [SPOILT], takes=book)
    assert len(voice.asked) == 2
    unknown = Reader(bad("half missing"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    spoken(elsewhere, unknown, [SPOILT], takes=TakeBook(elsewhere / "takes"))
    assert len(unknown.asked) == 1


@pytest.mark.parametrize("name", ["DC", "opposite polarity", "one channel silent"])
def test_what_can_be_corrected_is_and_is_not_asked_for_again(tmp_path, clean, name):
    voice = Reader(bad(name))
    clips, (note,) = spoken(tmp_path, voice)
    assert len(voice.asked) == len(LINES)
    assert note.startswith("voice: piece 3 was corrected: it had") or "channels" in note
    for again in (clips, spoken(tmp_path, Reader())[0]):
        block = again[SPOILT].read(0, again[SPOILT].frames)
        assert abs(block.mean()) < 1e-3
        assert np.array_equal(block[:, 0], block[:, 1])
        assert np.abs(block).max() == pytest.approx(
            np.abs(clean[SPOILT].read(0, clean[SPOILT].frames)).max(), rel=0.05
        ), "nothing cancels"


def test_another_take_is_another_recording_and_each_is_paid_once(tmp_path):
    voice = Reader()
    for take in (1, 2, 1, 2):
        spoken(tmp_path, voice, LINES[:2], take=take)
    assert [each.take for each in voice.asked] == [1, 1, 2, 2]


def test_a_new_take_of_one_line_replaces_what_was_kept(tmp_path):
    spoken(tmp_path, Reader())
    voice = Reader()
    spoken(tmp_path, voice, new_takes=[LINES[1]])
    assert [each.text for each in voice.asked] == [LINES[1]]
    assert voice.asked[0].take > 1, "a voice that always speaks alike must vary"
    after = Reader()
    spoken(tmp_path, after)
    assert after.asked == []
