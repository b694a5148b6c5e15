"""What a recording of speech shows without its words: length, level, pitch, holes, noise, cuts, clipping, DC, polarity.

Levels within the recording are relative to its own speech, so that a soft voice is judged as a loud one is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, Clip, spans
from dsp.channels import channel_figures
from dsp.clipping import AmplitudeMeter

WINDOW_S = 0.01
END_S = 0.005  # of the end that is looked at for a cut
SILENCE_DB = -35.0  # below the level of the speech
_OVER_NOISE_DB, _LOUDEST_NOISE_DB = 6.0, -25.0  # a recording's own noise is silence, too
_ACTIVE_DB = -25.0  # below the loud windows: these make the level of the speech
_CHUNK_S = 10.0  # worked on at once
_PITCH_HZ = (60.0, 500.0)
_PITCH_WINDOW_S = 0.04
_PITCH_HOP_S = 0.02
_PITCH_RATE_HZ = 5_512.5  # about: a whole divisor of the sample rate is taken
_VOICED = 0.6  # normalised autocorrelation; noise stays below 0.4
_LAGS = 2  # to a sample
_PER_LAG = 0.002  # a longer period must be so much more alike
_LEAST_ENERGY = 4e-7  # of a window, for a pitch
_LEAST_VOICED = 10  # windows, for a pitch
_PERIOD_PERCENTILE = 60  # a bit below the median pitch, which questions and exclamations raise
_NOISE_HOP_S = 0.05
_NOISE_RUN_S = 1.0  # no sound of speech without pitch lasts so long
_STEADY_DB = 1.5  # standard deviation of the level; syllables and whispers have 6 dB and more
_NOISE_DB = -25.0


@dataclass(frozen=True)
class SpeechFigures:
    """Figures of one recording.

    Attributes
    ----------
    sound_s : float
        The time with sound in it, without pauses; 0 for silence.
    longest_silence_s : float
        Between its first sound and its last.
    level_db : float
        Root mean square of the windows that hold speech, in dBFS; -inf for silence.
    end_db : float
        Root mean square of the last 5 ms, over `level_db`.
    pitch_hz : float
        A bit below the median of the voiced windows; NaN where there are hardly any, as in a whisper.
    noise_s : float
        Longest time of steady sound without pitch.
    plateau : float
        How flat the top of the waveform is: of the samples above half of its loudest level (which 0.5 % exceed), the
        part within 10 % of it. Speech has 0.07 to 0.15, with its peaks cut by 9 dB 0.2 to 0.4, by 12 dB 0.33 to 0.6.
    full_scale_share : float
        Part of the samples at 0.97 of full scale or more. Speech at full scale has 0.0002.
    dc, correlation, balance_db
        As of `dsp.channels.ChannelFigures`.
    """

    sound_s: float
    longest_silence_s: float
    level_db: float
    end_db: float
    pitch_hz: float
    noise_s: float
    plateau: float
    full_scale_share: float
    dc: tuple[float, float]
    correlation: float
    balance_db: float


SILENCE = SpeechFigures(
    sound_s=0.0,
    longest_silence_s=0.0,
    level_db=-math.inf,
    end_db=-math.inf,
    pitch_hz=math.nan,
    noise_s=0.0,
    plateau=0.0,
    full_scale_share=0.0,
    dc=(0.0, 0.0),
    correlation=1.0,
    balance_db=0.0,
)


def speech_figures(clip: Clip, sample_rate: int) -> SpeechFigures:
    """Measure a recording of speech; reads it a few seconds at a time.

    Parameters
    ----------
    clip : Clip
        At least one frame.
    sample_rate : int
        In Hz.
    """
    window = round(WINDOW_S * sample_rate)
    hop = round(_PITCH_HOP_S / WINDOW_S) * window
    chunk = round(_CHUNK_S * sample_rate) // hop * hop
    sums, products, periods, voiced = [], [], [], []
    amplitudes = AmplitudeMeter()
    for first, last in spans(0, clip.frames, chunk):
        block = clip.read(first, min(clip.frames, last + hop))  # a pitch window is two hops long
        own = block[: last - first]
        left, right = _in_windows(own[:, 0], window), _in_windows(own[:, 1], window)
        one = np.ones(window, np.float32)
        sums.append(np.stack([left @ one, right @ one], axis=1).astype(np.float64))
        pairs = ((left, left), (right, right), (left, right))
        products.append(np.stack([np.vecdot(first_, second) for first_, second in pairs], axis=1).astype(np.float64))
        period_s, found = _pitch(_one_channel(block, opposite=products[-1][:, 2].sum() < 0), sample_rate, hop, len(own))
        periods.append(period_s)
        voiced.append(found)
        amplitudes.add(np.maximum(np.abs(left), np.abs(right)).ravel())
    sum_, product = np.concatenate(sums), np.concatenate(products)
    frames = np.full(len(sum_), float(window))
    frames[-1] = clip.frames - (len(sum_) - 1) * window
    channels = channel_figures(sum_.sum(axis=0), product.sum(axis=0), clip.frames)
    dc = np.array(channels.dc)
    energy = _centred_energy(sum_, product, frames, dc)
    level = _speech_energy(energy)
    if level <= 0.0:
        return SILENCE
    is_sound = energy > _sound_from(energy, level)
    (at,) = np.nonzero(is_sound)
    is_voiced = np.repeat(np.concatenate(voiced), hop // window)[: len(energy)]
    pitches = np.concatenate(periods)[np.concatenate(voiced)]
    tail = clip.read(max(0, clip.frames - round(END_S * sample_rate)), clip.frames).astype(np.float64) - dc
    end = float((tail**2).mean())
    plateau, full_scale_share = amplitudes.result()
    return SpeechFigures(
        sound_s=float(len(at)) * WINDOW_S,
        longest_silence_s=_longest_run(~is_sound[at[0] : at[-1] + 1]) * WINDOW_S,
        level_db=10.0 * math.log10(level),
        end_db=10.0 * math.log10(end / level) if end > 0.0 else -math.inf,
        pitch_hz=1.0 / float(np.percentile(pitches, _PERIOD_PERCENTILE)) if len(pitches) >= _LEAST_VOICED else math.nan,
        noise_s=_noise_s(energy / level, is_voiced),
        plateau=plateau,
        full_scale_share=full_scale_share,
        dc=channels.dc,
        correlation=channels.correlation,
        balance_db=channels.balance_db,
    )


def _in_windows(channel: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Whole windows, shape (windows, frames), contiguous; the last one is filled up with silence."""
    return np.pad(channel, (0, -len(channel) % window)).reshape(-1, window)


def _centred_energy(
    sums: NDArray[np.float64], products: NDArray[np.float64], frames: NDArray[np.float64], dc: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean square of each window without the DC, of the louder channel."""
    squares = products[:, :2] - 2.0 * dc * sums + dc**2 * frames[:, None]
    louder = int(squares.sum(axis=0).argmax())
    energy: NDArray[np.float64] = np.maximum(squares[:, louder], 0.0) / frames
    return energy


def _speech_energy(energy: NDArray[np.float64]) -> float:
    loud = float(np.sort(energy)[int(0.95 * (len(energy) - 1))])
    if loud < 1e-10:  # -100 dBFS: mostly silence, or nothing at all
        loud = float(energy.max())
    active = energy[energy > loud * 10.0 ** (_ACTIVE_DB / 10.0)]
    return float(active.mean()) if len(active) and loud >= 1e-10 else 0.0


def _sound_from(energy: NDArray[np.float64], level: float) -> float:
    """The energy from which a window holds sound: well below the speech, above the recording's noise."""
    noise = float(np.sort(energy)[len(energy) // 20]) * 10.0 ** (_OVER_NOISE_DB / 10.0)
    lowest, highest = (level * 10.0 ** (db / 10.0) for db in (SILENCE_DB, _LOUDEST_NOISE_DB))
    return float(min(max(noise, lowest), highest))


def _one_channel(block: Block, *, opposite: bool) -> NDArray[np.float32]:
    """Both channels together, the right one turned round where it has the opposite polarity."""
    one: NDArray[np.float32] = block[:, 0] - block[:, 1] if opposite else block[:, 0] + block[:, 1]
    return one


def _pitch(
    samples: NDArray[np.float32], sample_rate: int, hop: int, own: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Period in seconds of each hop's window, and whether it has one.

    Autocorrelation of a Hann window over the window's own (Boersma, 1993), of every few samples' mean.
    """
    step = max(1, round(sample_rate / _PITCH_RATE_HZ))
    count = -(-own // hop)
    samples = np.pad(samples, (0, max(0, (count + 1) * hop - len(samples))))[: (count + 1) * hop]
    hop_low = hop // step
    low = samples.reshape(count + 1, hop)[:, : hop_low * step].reshape(-1, step).mean(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(low, 2 * hop_low)[::hop_low]
    windows = windows - windows.mean(axis=1, keepdims=True)
    taper = np.hanning(2 * hop_low).astype(np.float32)
    size = 1 << (4 * hop_low - 1).bit_length()
    lag_s = step / sample_rate / _LAGS
    shortest, longest = (round(1 / hz / lag_s) for hz in reversed(_PITCH_HZ))
    own_correlation = _autocorrelation(taper[None], size, longest)[0]
    correlation = _autocorrelation(windows * taper, size, longest)
    zero = correlation[:, :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = np.nan_to_num(correlation / zero / (own_correlation / own_correlation[0]))
    # of two alike, the shorter period: else the octave below is taken
    rising = np.float32(_PER_LAG) * np.arange(longest - shortest, dtype=np.float32)
    best = (normal[:, shortest:longest] - rising).argmax(axis=1) + shortest
    before, at, after = (normal[np.arange(count), best + side] for side in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.nan_to_num(0.5 * (before - after) / (before - 2 * at + after)).clip(-0.5, 0.5)  # of a parabola
    return (best + between.astype(np.float64)) * lag_s, (at > _VOICED) & (zero[:, 0] > _LEAST_ENERGY)


def _autocorrelation(windows: NDArray[np.float32], size: int, longest: int) -> NDArray[np.float32]:
    """Of each window, at lags of a part of a sample: a short period would fall between whole ones."""
    spectrum = np.fft.rfft(windows, size, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.fft.irfft(power, _LAGS * size, axis=1)[:, : longest + 1].astype(np.float32, copy=False)


def _noise_s(energy: NDArray[np.float64], is_voiced: NDArray[np.bool_]) -> float:
    """Longest time of steady sound without pitch; `energy` is relative to the speech."""
    per_hop = round(_NOISE_HOP_S / WINDOW_S)
    hops = len(energy) // per_hop
    run = round(_NOISE_RUN_S / _NOISE_HOP_S)
    if hops < run:
        return 0.0
    means = energy[: hops * per_hop].reshape(hops, per_hop).mean(axis=1)
    with np.errstate(divide="ignore"):
        levels_db = np.maximum(10.0 * np.log10(means), -200.0)
    unvoiced = ~is_voiced[: hops * per_hop].reshape(hops, per_hop).any(axis=1)
    view = np.lib.stride_tricks.sliding_window_view
    runs = view(levels_db, run)
    found = (runs.min(axis=1) > _NOISE_DB) & (runs.std(axis=1) < _STEADY_DB) & (view(unvoiced, run).mean(axis=1) > 0.9)
    longest = _longest_run(found)
    return (longest + run - 1) * _NOISE_HOP_S if longest else 0.0


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
