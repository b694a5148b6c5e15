"""Rows about tones: frequency, purity, separation of the ears."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from benchmarks.sound.programmes import SHORT_FADES
from benchmarks.sound.room import RATE, Room, decibels, plan_of, rms, tones_in
from benchmarks.sound.row import Row
from dsp.plan import RenderPlan, render
from worker.payload.schema import SOLFEGGIO_HZ

HOURS = 8
_STRETCH_S, _CHUNK_S = 10, 1
_AT_S = (0, 4 * 3600, 8 * 3600 - 60 - _STRETCH_S)  # 0:00, 4:00 and 7:59 less the stretch
BEATS = ((0.1, 313.7), (2.0, 180.0), (6.0, 200.0), (10.0, 200.0), (20.0, 440.0), (40.0, 1000.0))

Phase = Callable[[int], Fraction]
"""Exact phase in turns at a frame."""


def _long(**tone: object) -> RenderPlan:
    """Eight hours of one tone, nothing else and no fades."""
    job = {"durationMin": 60 * HOURS, "fade": {"inMs": 0, "outMs": 0}, "gains": {"solfeggioDb": 0, "binauralDb": 0}}
    return plan_of({**job, **tone}).plan


def _steady(frequency_hz: float) -> Phase:
    return lambda frame: Fraction(frequency_hz) * frame / RATE


def _falling(first_hz: float, last_hz: float) -> Phase:
    """A straight line of frequency over the whole track: the integral of ``a + (b - a) t / T``."""
    whole = Fraction(HOURS * 3600)

    def turns(frame: int) -> Fraction:
        t = Fraction(frame, RATE)
        return Fraction(first_hz) * t + (Fraction(last_hz) - Fraction(first_hz)) * t * t / (2 * whole)

    return turns


def _all_tones() -> list[tuple[str, RenderPlan, int, Phase]]:
    """Name, plan, ear and exact phase of everything that is measured."""
    tones = [(f"{hz:g} Hz", _long(solfeggio={"hz": hz}), ear, _steady(hz)) for hz in SOLFEGGIO_HZ for ear in (0, 1)]
    for beat_hz, carrier_hz in BEATS:
        plan = _long(binaural={"beatHz": beat_hz, "carrierHz": carrier_hz})
        for ear, sign in ((0, -0.5), (1, 0.5)):
            hz = carrier_hz + sign * beat_hz
            tones.append((f"beat {beat_hz:g} Hz on {carrier_hz:g} Hz", plan, ear, _steady(hz)))
    line = [{"atMin": 0, "beatHz": 10, "carrierHz": 250}, {"atMin": 60 * HOURS, "beatHz": 2, "carrierHz": 150}]
    moving = _long(binaural={"timeline": line})
    for ear, sign in ((0, -0.5), (1, 0.5)):
        tones.append(("beat 10 to 2 Hz over 8 h", moving, ear, _falling(250 + sign * 10, 150 + sign * 2)))
    return tones


def _turned(phase: Phase, start: int, frames: int) -> NDArray[np.float64]:
    """Exact phase of a stretch, less whole turns: a parabola through three exact values, which it is."""
    first, middle, last = (phase(start + offset) - phase(start) for offset in (0, frames // 2, frames))
    bend = (last - 2 * middle) / (Fraction(frames, 2) ** 2) if frames % 2 == 0 else Fraction(0)
    slope = last / frames - bend * frames / 2
    n = np.arange(frames, dtype=np.float64)
    assert first == 0
    return float(phase(start) % 1) + n * (float(slope) + n * float(bend) / 2)


def frequency() -> Row:
    """Phase of each tone against the exact one: its slope within a stretch, and its drift from stretch to stretch."""
    worst, details = 0.0, {}
    frames, chunk = _STRETCH_S * RATE, _CHUNK_S * RATE
    for name, plan, ear, phase in _all_tones():
        means = []
        off_hz = 0.0
        for at_s in _AT_S:
            start = at_s * RATE
            samples = render(plan, start, start + frames)[:, ear].astype(np.float64)
            turns = _turned(phase, start, frames)
            angles = []
            for first in range(0, frames, chunk):
                angle = 2 * np.pi * turns[first : first + chunk]
                basis = np.stack([np.sin(angle), np.cos(angle)])
                a, b = np.linalg.solve(basis @ basis.T, basis @ samples[first : first + chunk])
                angles.append(math.atan2(b, a) / (2 * np.pi))
            unwrapped = np.unwrap(angles, period=1.0)
            off_hz = max(off_hz, abs(float(np.polyfit(np.arange(len(angles)) * _CHUNK_S, unwrapped, 1)[0])))
            means.append(float(unwrapped.mean()))
        drift_hz = max(abs(later - means[0]) / (at_s or 1) for later, at_s in zip(means, _AT_S, strict=True))
        details[f"{name}, {'left' if ear == 0 else 'right'}"] = {"off_hz": off_hz, "drift_hz": drift_hz}
        worst = max(worst, off_hz, drift_hz)
    return Row(
        "frequency of every tone, each ear, at any point of an 8-hour track",
        "within 1e-6 Hz",
        f"{worst:.1e} Hz at worst: {len(details)} tones at 0:00, 4:00 and 7:59 h",
        worst <= 1e-6,
        details,
    )


def purity() -> Row:
    """SINAD of the float32 mix against the exact tone."""
    worst, details = math.inf, {}
    frames = 3 * RATE
    for name, plan, ear, phase in _all_tones():
        for at_s in _AT_S:
            start = at_s * RATE
            samples = render(plan, start, start + frames)[:, ear].astype(np.float64)
            angle = 2 * np.pi * _turned(phase, start, frames)
            basis = np.stack([np.sin(angle), np.cos(angle)])
            tone = np.linalg.solve(basis @ basis.T, basis @ samples) @ basis
            sinad_db = decibels(rms(tone) / rms(samples - tone))
            details[f"{name}, {'left' if ear == 0 else 'right'}, {at_s} s"] = round(sinad_db, 1)
            worst = min(worst, sinad_db)
    return Row(
        "tone purity before quantisation (SINAD)",
        "≥ 140 dB",
        f"{worst:.1f} dB at worst",
        worst >= 140,
        details,
    )


def separation(room: Room) -> Row:
    """The other ear's tone in each ear of delivered files, tones alone."""
    details: dict[str, object] = {}
    worst = {"flac": -math.inf, "mp3": -math.inf}
    for beat_hz, carrier_hz in ((2.0, 180.0), (6.0, 200.0), (10.0, 200.0), (20.0, 440.0), (40.0, 1000.0)):
        for extra in ({}, {"solfeggio": {"hz": 528}}):
            job = {
                "durationMin": 0.4,
                "binaural": {"beatHz": beat_hz, "carrierHz": carrier_hz},
                "fade": SHORT_FADES,
                **extra,
            }
            for format in ("flac", "mp3"):
                decoded = room.decoded(room.render(job, format=format)[0])[2 * RATE : 22 * RATE]
                ears_hz = [carrier_hz - beat_hz / 2, carrier_hz + beat_hz / 2, *([528.0] if extra else [])]
                for ear in (0, 1):
                    own, other, *_ = np.abs(tones_in(decoded[:, ear], ears_hz))[[ear, 1 - ear]]
                    leak_db = decibels(other / own)
                    details[
                        f"{format}, {beat_hz:g} Hz on {carrier_hz:g} Hz{', 528 Hz' if extra else ''}, ear {ear}"
                    ] = round(leak_db, 1)
                    worst[format] = max(worst[format], leak_db)
    return Row(
        "binaural separation: the other ear's tone",
        "≥ 80 dB down in lossless output, ≥ 60 dB in MP3 192k on tones alone",
        f"{-worst['flac']:.0f} dB down in FLAC, {-worst['mp3']:.0f} dB in MP3 192k, at worst of 5 beats",
        worst["flac"] <= -80 and worst["mp3"] <= -60,
        details,
    )
