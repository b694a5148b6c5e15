"""The tones and beats that a plan promises: the report carries them, and `inspect` looks for each in the file.

`as_json` and `read_promised` belong together. Fields are only ever added; `VERSION` says since when they are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal, get_args

import numpy as np

from dsp.blocks import gain_to_db
from dsp.courses import Course, hz_at
from dsp.envelope import Breakpoints, Constant, Curve, Fade
from dsp.plan import Layer, RenderPlan
from dsp.stereo import channel_gains
from dsp.tones import Binaural, Frequency, Isochronic, Monaural, Tone, ToneSequence

VERSION: Final = 1
Channel = Literal["left", "right", "both"]
Mode = Literal["binaural", "monaural", "isochronic"]

_WAVES = {"sine": 1.0, "triangle": 8.0 / math.pi**2, "square": 4.0 / math.pi}  # amplitude of the fundamental
_HALF_DB = 20.0 * math.log10(0.5)
_HEARD_DB = -40.0  # below its level in the middle: less is in the other channel alone
SIDES: Final[tuple[Channel, Channel]] = ("left", "right")
_PLACES = 41
_STEADY_DB = 0.1
_MOST = 1000  # of anything in a document that is read
_LONGEST_S = 1e6


@dataclass(frozen=True)
class PromisedTone:
    """A tone of the plan.

    Attributes
    ----------
    layer : str
    channel : "left", "right" or "both"
    course : Course
    level_dbfs : float or None
        Of its fundamental, a sine of full scale has 0; with the master gain, before the limiter. None where it moves.
    from_s, to_s : float
        Where it sounds at that level: fades and crossfades are left out.
    """

    layer: str
    channel: Channel
    course: Course
    level_dbfs: float | None
    from_s: float
    to_s: float

    @property
    def is_steady(self) -> bool:
        """Whether its frequency stays."""
        return len(self.course) == 1

    def at(self, seconds: float) -> float:
        """Its frequency at a time."""
        return float(hz_at(self.course, seconds))


@dataclass(frozen=True)
class PromisedBeat:
    """A beat of the plan: for a binaural one, right channel less left."""

    mode: Mode
    carrier: Course
    beat: Course
    layer: str = "binaural"


@dataclass(frozen=True)
class Promised:
    """All tones and beats of a plan."""

    tones: tuple[PromisedTone, ...] = ()
    beats: tuple[PromisedBeat, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain types, with the version."""
        return {"version": VERSION, **asdict(self)}


def promised_of(plan: RenderPlan, gain_db: float) -> Promised:
    """List what a plan promises; `gain_db` is the master gain."""
    tones: list[PromisedTone] = []
    beats: list[PromisedBeat] = []
    for layer in plan.layers:
        tones += _tones(plan, layer, gain_db)
        if isinstance(layer.source, Binaural | Monaural | Isochronic):
            mode: Mode = "binaural"
            if not isinstance(layer.source, Binaural):
                mode = "monaural" if isinstance(layer.source, Monaural) else "isochronic"
            courses = _course(plan, layer.source.carrier), _course(plan, layer.source.beat)
            beats.append(PromisedBeat(mode, *courses, layer.name))
    return Promised(tuple(tones), tuple(beats))


def _tones(plan: RenderPlan, layer: Layer, gain_db: float) -> Iterator[PromisedTone]:
    def tone(channel: Channel, frequency: Frequency, level_db: float, first: int, last: int) -> PromisedTone:
        first, last = steady_frames(plan, layer, first, last)
        level = _level_db(layer.gain, first, last)
        return PromisedTone(
            layer.name,
            channel,
            _course(plan, frequency),
            None if level is None else round(level + level_db + gain_db, 2),
            round(first / plan.sample_rate, 3),
            round(max(first, last) / plan.sample_rate, 3),
        )

    def panned(frequency: Frequency, level_db: float, first: int, last: int) -> Iterator[PromisedTone]:
        """In both channels alike, else in those in which its pan lets it be heard; None where the pan moves."""
        if layer.pan is None:
            yield tone("both", frequency, level_db, first, last)
        elif isinstance(layer.pan, Constant):
            for channel, gain in zip(SIDES, channel_gains(layer.pan.value), strict=True):
                if (shift_db := gain_to_db(float(gain))) > _HEARD_DB:
                    yield tone(channel, frequency, level_db + shift_db, first, last)
        else:
            moving = tone("both", frequency, level_db, first, last)
            yield replace(moving, level_dbfs=None)

    source = layer.source
    if isinstance(source, Tone):
        yield from panned(source.frequency, gain_to_db(_WAVES[source.wave]), 0, plan.frames)
    elif isinstance(source, ToneSequence):
        half = -(-source.crossfade_frames // 2)
        edges = [0, *source.starts[1:], plan.frames - layer.origin]
        for number, hz in enumerate(source.tones_hz):
            first = edges[number] + (half if number else 0)
            last = edges[number + 1] - (half if number + 1 < len(source.tones_hz) else 0)
            origin = layer.origin
            yield from panned(hz, gain_to_db(_WAVES[source.wave]), first + origin, last + origin)
    elif isinstance(source, Binaural):
        yield tone("left", source.left, 0.0, 0, plan.frames)
        yield tone("right", source.right, 0.0, 0, plan.frames)
    elif isinstance(source, Monaural):
        pair = Binaural(source.carrier, source.beat, source.sample_rate)
        yield tone("both", pair.left, _HALF_DB, 0, plan.frames)
        yield tone("both", pair.right, _HALF_DB, 0, plan.frames)
    elif isinstance(source, Isochronic):
        yield tone("both", source.carrier, _HALF_DB, 0, plan.frames)  # the mean of its pulses


def steady_frames(plan: RenderPlan, layer: Layer, first: int, last: int) -> tuple[int, int]:
    """The frames of `[first, last)` in which a layer sounds and nothing fades; of several spans the longest one.

    Empty or reversed where there are none.
    """
    fade_in, fade_out = (plan.fade.in_frames, plan.fade.out_frames) if isinstance(plan.fade, Fade) else (0, 0)
    first, last = max(first, fade_in), min(last, plan.frames - fade_out)
    steady = (
        (max(first, start + fade.in_frames), min(last, stop - fade.out_frames))
        for start, stop, fade in layer.spans(plan.frames)
    )
    return max(steady, key=lambda span: span[1] - span[0], default=(first, first))


def _course(plan: RenderPlan, frequency: Frequency) -> Course:
    if not isinstance(frequency, Breakpoints) or len(set(frequency.values)) == 1:
        return ((0.0, round(frequency if isinstance(frequency, float | int) else frequency.values[0], 6)),)
    inside = {frame for frame in frequency.frames if 0 < frame < plan.frames}
    frames = sorted({0, plan.frames, *inside})
    values = np.interp(frames, frequency.frames, frequency.values)
    return tuple(
        (round(frame / plan.sample_rate, 3), round(float(hz), 6)) for frame, hz in zip(frames, values, strict=True)
    )


def _level_db(gain: Curve, first: int, last: int) -> float | None:
    """The gain in dB where it stays; None where it moves, or is 0."""
    if last <= first:
        return None
    places = np.linspace(first, last - 1, _PLACES).astype(int).tolist()
    levels = [gain_to_db(float(np.max(gain.at(place, place + 1)))) for place in places]
    return levels[0] if math.isfinite(levels[0]) and max(levels) - min(levels) < _STEADY_DB else None


def read_promised(document: object) -> Promised | None:
    """Read what `as_json` gave; None where there is none, as in older reports.

    Raises `ValueError` for anything else.
    """
    if document is None:
        return None
    if not isinstance(document, Mapping):
        raise ValueError("`promised` is no object")
    tones = [
        PromisedTone(
            str(each.get("layer", "")),
            _one_of(each.get("channel"), get_args(Channel)),
            _read_course(each.get("course")),
            None if each.get("level_dbfs") is None else _number(each["level_dbfs"], 1e3),
            _number(each.get("from_s"), _LONGEST_S),
            _number(each.get("to_s"), _LONGEST_S),
        )
        for each in _objects(document.get("tones"))
    ]
    beats = [
        PromisedBeat(
            _one_of(each.get("mode"), get_args(Mode)),
            _read_course(each.get("carrier")),
            _read_course(each.get("beat")),
            str(each.get("layer", "binaural")),
        )
        for each in _objects(document.get("beats"))
    ]
    return Promised(tuple(tones), tuple(beats))


def _objects(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or len(value) > _MOST or not all(isinstance(each, Mapping) for each in value):
        raise ValueError("a list of objects is needed")
    return value


def _read_course(value: object) -> Course:
    if not isinstance(value, list) or not 0 < len(value) <= 3 * _MOST:
        raise ValueError("a course has points")
    points = []
    for point in value:
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError("a point is a pair of seconds and Hz")
        points.append((_number(point[0], _LONGEST_S), _number(point[1], 1e5)))
    if any(later[0] <= earlier[0] for earlier, later in pairwise(points)):
        raise ValueError("the points of a course are in order")
    return tuple(points)


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        raise ValueError("a number is needed")
    return float(value)


def _one_of(value: object, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        raise ValueError(f"found {value!r}, allowed are {', '.join(allowed)}")
    return value
