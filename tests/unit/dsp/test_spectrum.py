"""Measured tones against tones of known frequency and level."""

from __future__ import annotations

import numpy as np
import pytest
from signals import Samples

from dsp.blocks import spans
from dsp.noise import Noise
from dsp.spectrum import Decimator, Spectrum, leakage_db, steady_lines, without_overtones
from dsp.tones import Binaural, Isochronic, Monaural, Tone

RATE = 44_100


def thinned(sound: Samples, *, size: int = 66_150, rate: int = RATE) -> tuple[Samples, float]:
    decimator = Decimator(rate)
    kept = [decimator.add(sound[first:last].astype(np.float32)) for first, last in spans(0, len(sound), size)]
    return np.concatenate(kept), decimator.sample_rate


def spectra(sound: Samples) -> tuple[Spectrum, Spectrum]:
    kept, rate = thinned(sound)
    return Spectrum(kept[:, 0], rate), Spectrum(kept[:, 1], rate)


@pytest.mark.parametrize(("carrier", "beat"), [(200.0, 6.0), (187.65, 2.345), (963.0, 40.0), (60.0, 1.0)])
def test_a_tone_in_each_ear_is_measured_to_a_ten_thousandth_of_a_hertz(carrier, beat):
    sound = 0.05 * Binaural(carrier, beat, RATE).render(0, 20 * RATE)
    for spectrum, due in zip(spectra(sound), (carrier - beat / 2, carrier + beat / 2), strict=True):
        line = spectrum.line(due, 0.5)
        assert line is not None
        assert line.hz == pytest.approx(due, abs=1e-4)
        assert line.level_dbfs == pytest.approx(20 * np.log10(0.05), abs=0.01)


def test_noise_that_is_louder_than_the_tone_costs_little():
    noise = 0.1 * Noise("pink", 3, RATE).render(0, 20 * RATE)
    left, _ = spectra(noise + 0.02 * Binaural(200.0, 6.0, RATE).render(0, 20 * RATE))
    line = left.line(197.0, 0.5)
    assert line is not None
    assert line.hz == pytest.approx(197.0, abs=0.003)
    assert line.level_dbfs == pytest.approx(20 * np.log10(0.02), abs=0.5)


def test_where_there_is_no_tone_there_is_none():
    left, _ = spectra(0.1 * Noise("pink", 4, RATE).render(0, 20 * RATE))
    assert left.line(528.0, 0.5) is None


def test_a_tone_that_is_off_is_told_as_it_is():
    left, _ = spectra(0.1 * Tone(528.31, RATE).render(0, 20 * RATE))
    line = left.line(528.0, 0.5)
    assert line is not None
    assert line.hz == pytest.approx(528.31, abs=1e-4)


@pytest.mark.parametrize("leaked_db", [-20.0, -60.0, -80.0, -100.0])
def test_leakage_is_what_was_mixed_in(leaked_db):
    ears = 0.1 * Binaural(200.0, 6.0, RATE).render(0, 20 * RATE)
    left, _ = spectra(ears + 10 ** (leaked_db / 20) * ears[:, ::-1])
    assert leakage_db(left, 197.0, 203.0) == pytest.approx(leaked_db, abs=0.3)


def test_leakage_that_is_masked_or_too_close_is_not_told():
    ears = 0.01 * Binaural(200.0, 6.0, RATE).render(0, 20 * RATE)
    left, _ = spectra(ears + 0.1 * Noise("pink", 5, RATE).render(0, 20 * RATE))
    assert leakage_db(left, 197.0, 203.0) is None
    close, _ = spectra(0.1 * Binaural(200.0, 0.2, RATE).render(0, 20 * RATE))
    assert leakage_db(close, 199.9, 200.1) is None


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_thinning_out_is_flat_and_the_same_for_any_cutting(rate):
    sound = 0.5 * (Tone(100.0, rate).render(0, 5 * rate) + Tone(1950.0, rate).render(0, 5 * rate))
    sound += 0.5 * Tone(rate / 2 * 0.9, rate).render(0, 5 * rate)  # must not come back as an alias
    kept, kept_rate = thinned(sound, rate=rate)
    np.testing.assert_allclose(thinned(sound, size=1001, rate=rate)[0], kept, atol=1e-6)
    spectrum = Spectrum(kept[:, 0], kept_rate)
    lines = spectrum.lines()
    assert sorted(round(line.hz, 2) for line in lines) == [100.0, 1950.0]
    for line in lines:
        assert line.level_dbfs == pytest.approx(20 * np.log10(0.5), abs=0.02)


def test_only_what_sounds_on_is_a_steady_tone():
    n = np.arange(20 * RATE)
    notes = np.zeros(len(n))
    for number, hz in enumerate((220.0, 261.6, 329.6, 392.0) * 3):  # chords that come round every 7 s
        begin = round(number * 1.75 * RATE)
        notes[begin : begin + round(1.75 * RATE)] += 0.3 * np.sin(
            2 * np.pi * hz * n[: len(notes[begin:])][: round(1.75 * RATE)] / RATE
        )
    sound = np.stack([notes, notes], axis=1) + 0.02 * Tone(528.0, RATE).render(0, len(n))
    kept, rate = thinned(sound)
    assert [round(line.hz, 2) for line in steady_lines(kept[:, 0], rate)] == [528.0]


def test_overtones_belong_to_their_tone():
    kept, rate = thinned(0.2 * Tone(396.0, RATE, "square").render(0, 20 * RATE))
    lines = steady_lines(kept[:, 0], rate)
    assert [round(line.hz, 2) for line in lines] == [396.0, 1188.0, 1980.0]
    assert [round(line.hz, 2) for line in without_overtones(lines)] == [396.0]


def test_beats_in_one_ear_are_lines_a_beat_apart():
    kept, rate = thinned(0.2 * Monaural(200.0, 6.0, RATE).render(0, 20 * RATE))
    assert sorted(round(line.hz, 2) for line in steady_lines(kept[:, 0], rate)) == [197.0, 203.0]
    kept, rate = thinned(0.2 * Isochronic(200.0, 10.0, RATE).render(0, 20 * RATE))
    found = sorted(round(line.hz, 2) for line in steady_lines(kept[:, 1], rate))
    assert {190.0, 200.0, 210.0} <= set(found)
