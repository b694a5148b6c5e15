"""Figures as people read them: lengths, frequencies, levels, beats."""

from __future__ import annotations

from collections.abc import Sequence

from dsp.courses import Course
from dsp.glides import GlidingBeat
from worker.inspect.tones import FoundBeat

_MOST_CORNERS = 5


def clock(seconds: float, digits: int = 0) -> str:
    """Minutes and seconds, or hours, as people read them."""
    minutes, seconds = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{seconds:0{2 if not digits else 3 + digits}.{digits}f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def hertz(value: float) -> str:
    """A frequency to a hundredth, without zeros that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def signed(value: float | None, unit: str, digits: int = 1) -> str:
    """A figure with its unit and a true minus sign; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f} {unit}".replace("-", "−")


def beat_in_words(beat: FoundBeat) -> str:
    """A steady beat as its label says it."""
    return steady_beat(beat.mode, beat.low_hz, beat.high_hz)


def steady_beat(mode: str, low_hz: float, high_hz: float) -> str:
    """A steady beat as its label says it; the frequencies are those of `dsp.beats.Beat`."""
    low, high, beat = hertz(low_hz), hertz(high_hz), hertz(abs(high_hz - low_hz))
    if mode == "binaural":
        return f"L {low} Hz / R {high} Hz: {beat} Hz beat"
    if mode == "monaural":
        return f"{low} + {high} Hz: {beat} Hz beat in both ears"
    return f"{low} Hz in {beat} pulses a second"


def glide_in_words(beat: GlidingBeat) -> str:
    """A gliding beat as its label says it, with its course."""
    return moving_beat(beat.mode, beat.beat, beat.low, beat.high)


def moving_beat(mode: str, beat: Course, low: Course, high: Course) -> str:
    """A beat whose frequency or whose carrier moves, with its course."""
    what = {"binaural": "beat", "monaural": "beat in both ears", "isochronic": "pulses"}[mode]
    if len({hertz(abs(hz)) for _, hz in beat}) > 1:
        moving = (
            f"{what} glides {course_in_words(beat)}"
            if mode != "isochronic"
            else f"pulses glide {course_in_words(beat)}"
        )
    else:
        middle = [(at, (one + other) / 2) for (at, one), (_, other) in zip(low, high, strict=True)]
        carrier = low if mode == "isochronic" else middle
        moving = f"{hertz(abs(beat[0][1]))} Hz {what} on a carrier that glides {course_in_words(carrier)}"
    return moving


def course_in_words(course: Sequence[tuple[float, float]], unit: str = "Hz") -> str:
    """A course, such as ``10 → 4 Hz over 0:00–10:00``."""
    values = [hertz(abs(hz)) for _, hz in course]
    corners = [value for number, value in enumerate(values) if not number or value != values[number - 1]]
    if len(corners) > _MOST_CORNERS:
        corners = [*corners[:2], "…", *corners[-2:]]
    return f"{' → '.join(corners)} {unit} over {clock(course[0][0])}–{clock(course[-1][0])}"
