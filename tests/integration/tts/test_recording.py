"""People's own recordings: what is corrected, what is noted, each with its switch; music and good recordings stay."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from recorded import RATE, SPEECH_DB, reading

from dsp.loudness import integrated_lufs
from dsp.noise import Noise
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import TIDY
from worker.tts.processing import VoiceProcessing, measure_clip
from worker.tts.recording import recorded_speech

Samples = NDArray[np.floating]
LSB = 2**-23


@pytest.fixture
def taken(tmp_path):
    """Take samples as a recording: those of the speech, its notes, its loudness in LUFS."""

    def take(samples: Samples, *, tidy=TIDY, **settings) -> tuple[Samples, list[str], float]:
        path = tmp_path / "me.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        notes: list[str] = []
        speech = recorded_speech(
            path, ffmpeg=find_ffmpeg(), folder=tmp_path, max_seconds=600, tidy=tidy, notes=notes, **settings
        )
        (part,) = speech.parts
        assert speech.loudness_lufs == pytest.approx(integrated_lufs(measure_clip(part.clip).energies), abs=0.02)
        return part.clip.read(0, part.clip.frames), notes, speech.loudness_lufs

    return take


def room(*shape: int, level_db: float = -75.0) -> Samples:
    return 10 ** (level_db / 20) * np.random.default_rng(1).standard_normal(shape)


def stereo() -> Samples:
    """A voice a bit to the left, in a room that each channel hears in its own way."""
    return reading()[:, None] * [1.0, 0.8] + room(len(reading()), 2)


def test_a_good_recording_stays_as_it_is_without_a_note(taken):
    sound, notes, _ = taken(stereo())
    assert notes == []
    assert np.abs(sound - stereo()).max() <= LSB


SPOILT = {
    "dc": (stereo() + np.array([0.0, 0.46]), stereo(), r"offset .DC. of 46\.0 % of full scale"),
    "channel": (stereo() * [0.0, 1.0], stereo()[:, [1, 1]], "right channel only .the other one was silent"),
    "polarity": (
        reading()[:, None] * [1.0, -0.9] + room(len(reading()), 2),
        reading()[:, None] * [1.0, 0.9] + room(len(reading()), 2) * [1, -1],
        r"opposite polarity .correlation -1\.00",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_fault_of_the_channels_is_corrected_and_noted(taken, fault):
    spoilt, right, says = SPOILT[fault]
    sound, notes, _ = taken(spoilt)
    assert np.abs(sound - right).max() < 1e-3
    assert [bool(re.search(says, note)) for note in notes] == [True]


@pytest.mark.parametrize("fault", SPOILT)
def test_each_correction_has_a_switch(taken, fault):
    spoilt, _, _ = SPOILT[fault]
    others = tuple(word for word in TIDY if word not in (fault, "measure"))
    for tidy in (others, ()):
        sound, notes, _ = taken(spoilt, tidy=tidy)
        assert np.abs(sound - spoilt).max() <= LSB
        assert notes == []


def test_a_channel_with_the_noise_of_an_open_input_counts_as_silent(taken):
    sound, notes, _ = taken(reading()[:, None] * [1.0, 0.0] + room(len(reading()), 2, level_db=-70))
    assert (sound[:, 0] == sound[:, 1]).all()
    assert "in the left channel only (the other one was 4" in notes[0]


@pytest.mark.parametrize("balance", [[1.0, 0.03], [1.0, -0.03]])
def test_a_voice_far_to_one_side_stays_there(taken, balance):
    sound, _, _ = taken(reading()[:, None] * balance + room(len(reading()), 2, level_db=-60))
    assert np.abs(sound[:, 1]).max() == pytest.approx(0.03 * np.abs(reading()).max(), rel=0.2)


def test_channels_that_are_partly_opposite_stay(taken):
    alike = Noise("pink", 3, RATE).render(0, len(reading()))[:, 0]
    alike *= 0.42 * reading().std() / alike.std()  # a correlation of -0.7
    mixed = np.stack([alike + reading(), alike - reading()], axis=1)
    sound, _, _ = taken(mixed)
    assert np.abs(sound - mixed).max() <= LSB


def test_digital_silence_around_a_sound_with_dc_stays_silent(taken):
    silence = np.zeros((RATE // 2, 2))
    sound, _, _ = taken(np.concatenate([silence, stereo() + 0.3, silence]))
    assert not sound[: RATE // 2].any()
    assert not sound[-RATE // 2 :].any()
    assert np.abs(sound[RATE // 2 : -RATE // 2] - stereo()).max() < 2e-3


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("noise_db", [-120, -70, -55])
def test_long_silence_at_the_ends_is_cut_to_a_short_one(taken, noise_db, channels):
    (loud,) = np.nonzero(np.abs(reading()) > 10 ** (-45 / 20) * np.abs(reading()).max())
    speech = reading()[loud[0] : loud[-1]]
    longer = np.concatenate([np.zeros(4 * RATE), speech, np.zeros(7 * RATE)])
    longer += room(len(longer), level_db=noise_db)
    sound, notes, _ = taken(longer if channels == 1 else np.stack([longer, longer], axis=1))
    assert len(speech) + 0.5 * RATE < len(sound) < len(speech) + 1.3 * RATE
    (cut_s,) = [re.findall(r"[\d.]+(?= s)", note) for note in notes if "cut off" in note]
    assert list(map(float, cut_s)) == pytest.approx([3.7, 6.6], abs=0.3)
    assert np.abs(sound[[0, -1]]).max() < 1e-5, "and ends softly, in the noise as well"


def test_pauses_inside_and_short_ends_stay(taken):
    silence = np.zeros(round(0.5 * RATE))
    paused = np.concatenate([silence, reading(1), np.zeros(15 * RATE), reading(1), silence])
    sound, notes, _ = taken(paused)
    assert len(sound) == len(paused)
    assert not any("cut off" in note for note in notes)


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_the_ends_are_cut_at_any_speed(taken, speed):
    longer = np.concatenate([np.zeros(5 * RATE), reading(2), np.zeros(5 * RATE)])
    sound, _, _ = taken(longer, speed=speed)
    assert len(sound) * speed / RATE == pytest.approx(len(reading(2)) / RATE, abs=1.2)


def test_what_is_silent_throughout_stays(taken):
    sound, notes, _ = taken(np.zeros(3 * RATE))
    assert (len(sound), notes) == (3 * RATE, [])


def test_noise_hum_and_clipping_are_noted_with_figures(taken):
    n = np.arange(len(reading()))
    hum = sum(np.sin(2 * np.pi * 50 * k * n / RATE) / k for k in range(1, 6)) * 10 ** ((SPEECH_DB - 39) / 20)
    clipped = np.clip(reading() * 10 ** (9 / 20) / np.abs(reading()).max(), -1, 1)
    for spoilt, says in (
        (reading() + room(len(n), level_db=SPEECH_DB - 30), r"noise in the pauses .* only 2\d dB softer"),
        (reading() + room(len(n)) + hum, r"mains hum \(50 Hz and its multiples\), 4\d dB softer"),
        (clipped + room(len(n)), r"peaks of the recording are cut off in \d of its \d loudest passages"),
    ):
        sound, notes, _ = taken(spoilt)
        assert [bool(re.search(says, note)) for note in notes] == [True], notes
        assert np.abs(sound[:, 0] - spoilt).max() <= LSB, "nothing is changed"
        assert taken(spoilt, tidy=("dc", "channel", "polarity", "ends"))[1] == []


@pytest.mark.parametrize("processing", [VoiceProcessing(), VoiceProcessing(80.0, declick=True)])
def test_care_is_noted_with_what_it_did(taken, processing):
    loud_and_soft = np.concatenate([reading() * 0.5, reading() * 1.5])
    spoilt = loud_and_soft + room(len(loud_and_soft), level_db=-62)
    sound, notes, _ = taken(spoilt, care="gentle", processing=processing)
    assert len(sound) == len(spoilt)
    (note,) = [note for note in notes if "care" in note and "softer than" not in note]
    assert re.search(r"levelled it by -\d\.\d to \+\d\.\d dB and lowered the noise for \d+ s of pauses", note)


def test_nothing_is_left_of_the_files_in_between(tmp_path, taken):
    taken(np.concatenate([np.zeros(2 * RATE), reading(1) + 0.1]), care="gentle", processing=VoiceProcessing(80.0))
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["me.wav", "voice.care"]
