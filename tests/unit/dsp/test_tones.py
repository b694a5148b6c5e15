"""Tones: frequency, purity, phase, spectrum; near the start and eight hours out."""

from __future__ import annotations

import numpy as np
import pytest
from signals import SPLITS, fitted, in_blocks, largest_difference

from dsp.envelope import Breakpoints
from dsp.noise import Noise
from dsp.tones import _SINE_COEFFICIENTS, Binaural, Isochronic, Monaural, Tone, ToneSequence

RATE = 44_100
TEN_MINUTES, EIGHT_HOURS = 600 * RATE, 8 * 3600 * RATE
FAR = (0, TEN_MINUTES, EIGHT_HOURS - 3 * RATE)

SOURCES = {
    "sine": Tone(528.0, RATE),
    "triangle": Tone(174.0, RATE, "triangle"),
    "square": Tone(396.0, RATE, "square"),
    "binaural": Binaural(200.0, 6.3, RATE),
    "monaural": Monaural(200.0, 6.3, RATE),
    "isochronic": Isochronic(200.0, 6.3, RATE),
    "moving": Binaural(Breakpoints((0, 10**9), (250.0, 180.0)), Breakpoints((5000, 90_000), (10.0, 4.0)), RATE),
    "sequence": ToneSequence((396.0, 528.0, 852.0), (0, 40_000, 90_001), 4410, RATE),
    "white": Noise("white", 1, RATE),
    "pink": Noise("pink", 2, RATE),
    "brown": Noise("brown", 2**63 + 5, RATE),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("start", [0, 65_400, EIGHT_HOURS - 40_000])
def test_any_cutting_gives_the_same_samples(name, start):
    """Small blocks on few frames, which is where they take long; those from 65,400 pass the end of a chunk of noise."""
    source = SOURCES[name]
    for length in (0, 1, 100, 1500, 31_999):
        whole = source.render(start, start + length)
        assert whole.shape == (length, 2)
        assert whole.dtype == np.float32
        for size in SPLITS:
            if length <= 100 * size:
                # 1 LSB of 24 bits
                assert largest_difference(in_blocks(source, start, start + length, size), whole) <= 2**-23


@pytest.mark.parametrize("name", ["sine", "triangle", "binaural", "moving"])
def test_a_tone_at_a_gain_is_the_tone_times_it(name):
    source = SOURCES[name]
    louder = source.at_gain(1000, 9000, 0.3)
    assert np.array_equal(louder, source.render(1000, 9000) * np.float32(0.3))
    assert np.array_equal(source.at_gain(1000, 9000, 0.7), source.render(1000, 9000) * np.float32(0.7))
    assert louder.flags.writeable is (name == "moving"), "steady ones are shared"


@pytest.mark.parametrize("start", FAR)
@pytest.mark.parametrize("frequency_hz", [174.0, 528.0, 963.0, 7.83])
def test_a_tone_is_pure_wherever_it_is_heard(start, frequency_hz):
    samples = Tone(frequency_hz, RATE).render(start, start + 3 * RATE)
    amplitude, _, sinad_db = fitted(samples[:, 0], frequency_hz, start, RATE)
    assert sinad_db >= 140
    assert amplitude == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(samples[:, 0], samples[:, 1])


@pytest.mark.parametrize(("carrier_hz", "beat_hz"), [(200.0, 6.0), (180.0, 2.5), (1000.0, 40.0), (313.7, 0.1)])
def test_each_ear_has_its_own_frequency_to_a_millionth_of_a_hertz(carrier_hz, beat_hz):
    """The phase against the exact tone must not drift over eight hours: 1e-6 Hz would turn it by 0.03."""
    source = Binaural(carrier_hz, beat_hz, RATE)
    for ear, frequency_hz in ((0, carrier_hz - beat_hz / 2), (1, carrier_hz + beat_hz / 2)):
        fits = [fitted(source.render(start, start + RATE)[:, ear], frequency_hz, start, RATE) for start in FAR]
        turns = [turn for _, turn, _ in fits]
        assert max(turns) - min(turns) < 1e-6 * 8 * 3600 / 100
        assert all(sinad_db >= 140 for _, _, sinad_db in fits)


def test_nothing_of_one_ear_is_in_the_other():
    source = Binaural(200.0, 10.0, RATE)
    block = source.render(0, 10 * RATE)
    for ear, other_hz in ((0, 205.0), (1, 195.0)):
        amplitude, _, _ = fitted(
            block[:, ear] - Tone(400.0 - other_hz, RATE).render(0, 10 * RATE)[:, 0], other_hz, 0, RATE
        )
        assert 20 * np.log10(max(amplitude, 1e-12)) < -120


@pytest.mark.parametrize("start_min", [0.0, 2.0, 4.9, 470.0])
def test_a_moving_frequency_is_what_the_line_says(start_min):
    """Instantaneous frequency from the phase; sin(2 pi f(t) t) would be off by hertz."""
    beat = Breakpoints((0, round(5 * 60 * RATE)), (10.0, 6.0))
    carrier = Breakpoints((0, EIGHT_HOURS), (200.0, 100.0))
    start = round(start_min * 60 * RATE)
    block = Binaural(carrier, beat, RATE).render(start, start + RATE).astype(np.float64)
    middle = start + RATE // 2
    for ear, sign in ((0, -0.5), (1, 0.5)):
        spectrum = np.fft.fft(block[:, ear])
        spectrum[RATE // 2 :] = 0
        phase = np.unwrap(np.angle(np.fft.ifft(spectrum)))[RATE // 4 : -RATE // 4]
        measured_hz = np.polyfit(np.arange(len(phase)), phase, 1)[0] * RATE / (2 * np.pi)
        expected_hz = np.interp(middle, carrier.frames, carrier.values) + sign * np.interp(
            middle, beat.frames, beat.values
        )
        assert measured_hz == pytest.approx(expected_hz, abs=0.003)


def test_a_moving_tone_is_pure_where_it_stands_still():
    beat = Breakpoints((0, RATE), (10.0, 6.0))
    samples = Binaural(200.0, beat, RATE).render(EIGHT_HOURS, EIGHT_HOURS + 3 * RATE)
    _, _, sinad_db = fitted(samples[:, 0], 197.0, EIGHT_HOURS, RATE)
    assert sinad_db >= 140


def test_the_phase_of_a_moving_tone_has_no_step():
    beat = Breakpoints((1000, 2000, 3000), (2.0, 90.0, 1.0))
    samples = Binaural(100.0, beat, RATE).render(0, 6000)[:, 1]
    assert np.abs(np.diff(samples)).max() <= 2 * np.pi * 145 / RATE * 1.001


@pytest.mark.parametrize("wave", ["triangle", "square"])
@pytest.mark.parametrize("frequency_hz", [174.0, 963.0])
def test_other_waves_have_their_partials_and_no_alias(wave, frequency_hz):
    samples = Tone(frequency_hz, RATE, wave).render(0, RATE)[:, 0].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples)) / (RATE / 2)
    partials = np.arange(frequency_hz, 0.45 * RATE, 2 * frequency_hz).astype(int)
    order = partials / frequency_hz
    expected = 4 / np.pi / order if wave == "square" else 8 / np.pi**2 / order**2
    assert spectrum[partials] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    spectrum[partials] = 0
    assert 20 * np.log10(spectrum.max()) < -120
    assert np.abs(samples).max() <= (1.19 if wave == "square" else 1.0)


def test_monaural_beats_in_the_air():
    block = Monaural(200.0, 4.0, RATE).render(0, RATE)
    assert np.array_equal(block[:, 0], block[:, 1])
    envelope = np.abs(block[:, 0]).reshape(-1, 441).max(axis=1)
    assert envelope.max() > 0.98
    assert envelope[12] < 0.1  # an eighth of a second in, the two tones cancel
    assert np.abs(block).max() <= 1.0


def test_isochronic_pulses_come_at_the_beat_without_a_click():
    block = Isochronic(200.0, 5.0, RATE).render(0, 4 * RATE)
    loud = np.abs(block[:, 0]).reshape(-1, 441).max(axis=1) > 0.5
    assert np.count_nonzero(np.diff(loud.astype(int)) == 1) == 20
    spectrum = 20 * np.log10(np.abs(np.fft.rfft(block[:, 0] * np.hanning(4 * RATE))) / RATE + 1e-12)
    assert spectrum[4 * 2000 :].max() < -100  # a click would reach far above the carrier


def test_a_sequence_keeps_its_power_through_a_crossfade():
    source = ToneSequence((396.0, 639.0), (0, 2 * RATE), RATE, RATE)
    power = (source.render(0, 4 * RATE)[:, 0].astype(np.float64) ** 2).reshape(-1, 4410).mean(axis=1)
    assert power == pytest.approx(0.5, rel=0.08)
    assert fitted(source.render(0, RATE)[:, 0], 396.0, 0, RATE)[2] > 140
    assert fitted(source.render(3 * RATE, 4 * RATE)[:, 0], 639.0, 3 * RATE, RATE)[2] > 140


def test_a_sequence_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="frame 0"):
        ToneSequence((396.0,), (5,), 0, RATE)
    with pytest.raises(ValueError, match="at least the crossfade"):
        ToneSequence((396.0, 528.0), (0, 100), 101, RATE)


def test_the_sine_is_the_interpolation_that_it_names():
    wanted = np.polynomial.Chebyshev.interpolate(
        lambda square: 2.0 * np.pi * np.sinc(2.0 * np.sqrt(square)), 6, domain=[0.0, 0.0625]
    ).convert(kind=np.polynomial.Polynomial)
    assert list(_SINE_COEFFICIENTS) == pytest.approx(wanted.coef.tolist(), rel=1e-9)
