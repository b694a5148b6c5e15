"""Which tones and beats of a file are named, and how: the same in the terminal, in the picture and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsp.courses import Course, hz_at
from worker.inspect.inspection import Inspection
from worker.inspect.promises import LookedFor, State, pairs
from worker.inspect.tones import FoundTone
from worker.inspect.words import beat_in_words, clock, course_in_words, glide_in_words, hertz, moving_beat, steady_beat
from worker.plan.promised import Promised, PromisedBeat, PromisedTone

_SAME_HZ = 0.35  # a partial so near a promised tone is that tone, or cannot be told from it
_WHOLE_S = 25.0
PERHAPS_MUSIC = "without a report of its job: steady tones may be partials of the music"


@dataclass(frozen=True)
class Named:
    """One tone or beat with its name.

    Attributes
    ----------
    words : str
    places : tuple of (channel, Hz)
        Where it is in the spectrum: channel 0 is the left one, or both.
    state : str or None
        What became of it, where it was promised; of a beat, the worst of its tones.
    """

    words: str
    places: tuple[tuple[int, float], ...]
    state: State | None = None


def named(result: Inspection, promised: Promised | None) -> list[Named]:
    """List what to name: with a report what was promised, else what was found; from low to high."""
    names = _found(result) if promised is None or result.promised is None else _promised(promised, result.promised)
    return sorted(names, key=lambda name: (min(channel for channel, _ in name.places), name.places[0][1]))


def other_tones(result: Inspection, promised: Promised) -> int:
    """How many steady tones were found that nobody promised; one in both channels counts once."""
    others: list[float] = []
    for channel, tones in enumerate((result.tones["left"], result.tones["right"])):
        for tone in tones:
            if not _is_promised(tone, channel, promised.tones) and not any(abs(tone.hz - hz) < 0.05 for hz in others):
                others.append(tone.hz)
    return len(others)


def _is_promised(tone: FoundTone, channel: int, promised: Sequence[PromisedTone]) -> bool:
    at_s = (tone.from_s + tone.to_s) / 2
    channels = ({"left", "both"}, {"right", "both"})[channel]
    return any(each.channel in channels and abs(each.at(at_s) - tone.hz) < _SAME_HZ for each in promised)


def _found(result: Inspection) -> Iterator[Named]:
    for moving in result.gliding:
        right = 1 if moving.mode == "binaural" else 0
        yield Named(glide_in_words(moving), ((0, moving.low[-1][1]), (right, moving.high[-1][1])))
    for beat in result.beats:
        places = ((0, beat.low_hz), (1, beat.high_hz)) if beat.mode == "binaural" else ((0, beat.low_hz),)
        yield Named(beat_in_words(beat), places)
    in_beats = {round(hz, 1) for beat in result.beats for hz in (beat.low_hz, beat.high_hz)}
    seen: set[tuple[float, float]] = set()
    for number, channel in enumerate(("left", "right")):
        others = result.tones["right" if channel == "left" else "left"]
        for tone in result.tones[channel]:
            key = round(tone.hz, 1), tone.from_s
            if key[0] in in_beats or key in seen:
                continue
            seen.add(key)
            twin = any(round(other.hz, 1) == key[0] for other in others)
            sides = "" if twin else f"{channel[0].upper()} "
            whole = tone.from_s < 1.0 and tone.to_s > result.duration_s - _WHOLE_S
            when = "" if whole else f", {clock(tone.from_s)}–{clock(tone.to_s)}"
            yield Named(f"{sides}{hertz(tone.hz)} Hz{when}", ((0 if twin else number, tone.hz),))


def _promised(promised: Promised, looked_for: Sequence[LookedFor]) -> Iterator[Named]:
    for beat in promised.beats:
        tones = [tone for pair in pairs(looked_for, beat.layer) for tone in pair]
        carriers = [tone for tone in looked_for if tone.layer == beat.layer]
        found = tones or carriers
        if found:
            yield Named(promised_beat(beat), tuple(_places(found)), _worst([each.state for each in found]))
    of_beats = {beat.layer for beat in promised.beats}
    by_tone: dict[PromisedTone, list[LookedFor]] = {}
    for each in looked_for:
        if each.layer not in of_beats:
            by_tone.setdefault(each.promised, []).append(each)
    longest_s = max((tone.to_s for tone in by_tone), default=0.0)
    for tone, found in by_tone.items():
        whole = tone.from_s < _WHOLE_S and tone.to_s >= longest_s
        when = "" if whole else f", {clock(tone.from_s)}–{clock(tone.to_s)}"
        side = {"left": "L ", "right": "R ", "both": ""}[tone.channel]
        words = f"{hertz(tone.course[0][1])} Hz{when}" if tone.is_steady else f"glides {course_in_words(tone.course)}"
        yield Named(f"{side}{words}", tuple(_places(found)), _worst([each.state for each in found]))


def promised_beat(beat: PromisedBeat) -> str:
    """A promised beat in words."""
    times = sorted({at for course in (beat.carrier, beat.beat) for at, _ in course})
    carrier, hz = (hz_at(course, times) for course in (beat.carrier, beat.beat))
    shares = (0.0, 1.0) if beat.mode == "isochronic" else (-0.5, 0.5)
    low, high = (carrier + share * hz for share in shares)
    if len(times) == 1:
        return steady_beat(beat.mode, float(low[0]), float(high[0]))
    courses: list[Course] = [tuple(zip(times, values.tolist(), strict=True)) for values in (hz, low, high)]
    return moving_beat(beat.mode, *courses)


def _places(found: Sequence[LookedFor]) -> Iterator[tuple[int, float]]:
    """Where the right end of the spectrum has it; a tone of both channels is shown in the left one."""
    for tone in found:
        if tone.channel == "left" or tone.promised.channel == "right":
            yield (0 if tone.channel == "left" else 1), tone.promised.at(tone.promised.to_s)


def _worst(states: Sequence[State]) -> State:
    order: tuple[State, ...] = ("not found", "masked", "not measured", "found")
    return min(states, key=order.index, default="not measured")
