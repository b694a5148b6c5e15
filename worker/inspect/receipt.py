"""The receipt of a finished track: what was promised and what was measured, side by side.

The bounds are those of docs/reference/quality.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal

from worker.inspect.inspection import Inspection
from worker.inspect.promises import LookedFor, pairs
from worker.inspect.reports import TrackReport
from worker.inspect.words import clock, course_in_words, hertz, signed

Verdict = Literal["kept", "look", "measured"]
"""``kept``: as promised. ``look``: not quite, or not to be measured. ``measured``: nothing was promised."""

LOUDNESS_LU: Final = 0.1
MOST_DBTP: Final = -1.0
TONE_HZ: Final = 0.05
TONE_DB: Final = 1.0
BEAT_HZ: Final = 0.02
LEAKAGE_DB: Final = -60.0
HOLE_S: Final = 1.0
_UNTIMED = "aac"  # bare ADTS frames have no place for a length


@dataclass(frozen=True)
class Figure:
    """One line of a receipt."""

    name: str
    promised: str
    measured: str
    verdict: Verdict
    remark: str = ""


@dataclass(frozen=True)
class Receipt:
    """All lines, what was adapted in sentences, and what the speech took; empty where the report has none."""

    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    speech: tuple[tuple[str, str], ...] = ()

    @property
    def kept(self) -> int:
        """How many promises were kept."""
        return sum(figure.verdict == "kept" for figure in self.figures)

    @property
    def to_look_at(self) -> int:
        """How many were not quite, or could not be measured."""
        return sum(figure.verdict == "look" for figure in self.figures)


def receipt(result: Inspection, report: TrackReport | None) -> Receipt:
    """Set what was measured on a file beside what its job promised."""
    figures = [
        *_sound(result, report),
        *_tones(result.promised or ()),
        *_beats(result.promised or ()),
        *_leakage(result),
        *_faults(result),
    ]
    return Receipt(tuple(figures), _notes(report), _speech(report))


def _sound(result: Inspection, report: TrackReport | None) -> Iterator[Figure]:
    frames, seconds, lufs = result.frames, result.duration_s, result.integrated_lufs
    range_lu, peak_dbtp = result.loudness_range_lu, result.true_peak_dbtp
    due_frames = None if report is None else report.number("frames")
    due_s = None if report is None else report.number("duration_s")
    measured = f"{clock(seconds, 3)}, {frames} frames"
    if due_frames is None:
        yield Figure("Length", "", measured, "measured")
    else:
        exact = due_frames == frames or (report is not None and report.figures.get("format") == _UNTIMED)
        yield Figure("Length", f"{clock(due_s or seconds, 3)}, {due_frames:.0f} frames", measured, _kept(exact))
    target = None if report is None else report.target_lufs
    by_speech = None if report is None else report.number("speech_lufs")
    if target is not None and by_speech is not None:
        near = abs(by_speech - target) <= LOUDNESS_LU
        yield Figure("Loudness of the speech", signed(target, "LUFS"), signed(by_speech, "LUFS", 2), _kept(near))
        target = None
    if target is None:
        yield Figure("Loudness", "", signed(lufs, "LUFS", 2), "measured", "integrated, ITU-R BS.1770-5")
    else:
        near = lufs is not None and round(abs(lufs - target), 3) <= LOUDNESS_LU
        why = "" if near else next((note for note in _notes(report) if note.startswith("loudness: ")), "")
        yield Figure(
            "Loudness", f"{signed(target, 'LUFS')} ± {LOUDNESS_LU:g}", signed(lufs, "LUFS", 2), _kept(near), why
        )
    if range_lu is not None:
        yield Figure("Loudness range", "", f"{range_lu:.1f} LU", "measured", "EBU Tech 3342")
    if report is None:
        yield Figure("True peak", "", signed(peak_dbtp, "dBTP", 2), "measured")
    else:
        low = peak_dbtp is None or round(peak_dbtp, 2) <= MOST_DBTP
        yield Figure("True peak", f"at most {signed(MOST_DBTP, 'dBTP')}", signed(peak_dbtp, "dBTP", 2), _kept(low))


def _tones(looked_for: Sequence[LookedFor]) -> Iterator[Figure]:
    for tone in looked_for:
        side = {"left": "left", "right": "right"}[tone.channel]
        promised, level = tone.promised, tone.promised.level_dbfs
        moving = not promised.is_steady
        due = course_in_words(promised.course) if moving else f"{hertz(tone.promised_hz)} Hz"
        due += "" if level is None else f", {signed(level, 'dBFS')}"
        name = f"{_LAYERS.get(tone.layer, tone.layer)}, {side}"
        if tone.state != "found" or tone.deviation_hz is None or tone.level_dbfs is None:
            yield Figure(name, due, _STATES[tone.state], "look", _WHY[tone.state])
            continue
        near = abs(tone.deviation_hz) <= TONE_HZ
        level_near = level is None or abs(tone.level_dbfs - level) <= TONE_DB
        hz = f"follows within {max(abs(tone.deviation_hz), 0.01):.2f} Hz" if moving else f"{tone.measured_hz:.3f} Hz"
        remark = "" if level_near or level is None else f"{signed(tone.level_dbfs - level, 'dB')} from its level"
        yield Figure(name, due, f"{hz}, {signed(tone.level_dbfs, 'dBFS')}", _kept(near and level_near), remark)


def _beats(looked_for: Sequence[LookedFor]) -> Iterator[Figure]:
    layers = dict.fromkeys(tone.layer for tone in looked_for)
    for one, other in chain(*(pairs(looked_for, layer) for layer in layers)):
        if one.promised.course == other.promised.course:
            continue  # one tone in both channels, each at its own level
        if not (one.promised.is_steady and other.promised.is_steady):
            continue
        due_hz = other.promised_hz - one.promised_hz
        if one.measured_hz is None or other.measured_hz is None:
            yield Figure(
                "Beat", f"{hertz(abs(due_hz))} Hz", "cannot be told", "look", "not both of its tones were found"
            )
            continue
        beat_hz = other.measured_hz - one.measured_hz
        near = abs(beat_hz - due_hz) <= BEAT_HZ
        yield Figure("Beat", f"{hertz(abs(due_hz))} Hz", f"{abs(beat_hz):.3f} Hz", _kept(near))


_LAYERS = {"solfeggio": "Solfeggio tone", "binaural": "Beat's tone"}
_STATES = {"not found": "not found", "masked": "masked", "not measured": "not measured"}
_WHY = {
    "found": "",
    "not found": "it does not stand out there, and nothing louder covers it",
    "masked": "music, voice or noise are louder there, so it cannot be told from them",
    "not measured": "it sounds for less than four seconds, above 2 kHz, or too near another tone",
}


def _leakage(result: Inspection) -> Iterator[Figure]:
    for beat in result.beats:
        if beat.mode == "binaural":
            for channel, db in beat.leakage_db.items():
                if db is not None and result.promised:
                    promised = f"at most {signed(LEAKAGE_DB, 'dB', 0)}"
                    yield Figure(f"Leakage, {channel}", promised, signed(db, "dB"), _kept(db <= LEAKAGE_DB))
            return


def _faults(result: Inspection) -> Iterator[Figure]:
    told = result.promised is not None
    silence = result.longest_silence
    hole = silence is not None and silence.seconds >= HOLE_S
    words = "none" if silence is None else f"{silence.seconds:.1f} s from {clock(silence.from_s, 1)}"
    yield Figure("Silence", "", words, "look" if hole else "measured", "below −80 dBFS" if hole else "")
    clicks = ", ".join(clock(click.at_s, 2) for click in result.clicks)
    verdict: Verdict = "look" if clicks else ("kept" if told else "measured")
    yield Figure("Clicks", "none" if told else "", f"at {clicks}" if clicks else "none", verdict)


def _kept(kept: bool) -> Verdict:
    return "kept" if kept else "look"


def _notes(report: TrackReport | None) -> tuple[str, ...]:
    notes = () if report is None else report.figures.get("notes")
    return tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list | tuple) else ()


def _speech(report: TrackReport | None) -> tuple[tuple[str, str], ...]:
    if report is None:
        return ()
    lines = []
    speech, stages = report.figures.get("speech"), report.figures.get("stage_seconds")
    if isinstance(speech, Mapping):
        voice = ", ".join(
            str(speech[key]) for key in ("provider", "model", "voice") if speech.get(key) not in (None, "", "-")
        )
        lines.append(("Voice", voice))
        asked, cached = _count(speech, "characters_asked"), _count(speech, "characters_cached")
        lines.append(("Characters", f"{asked} spoken for this track, {cached} from the cache"))
        cents = speech.get("cents")
        if isinstance(cents, int | float):
            lines.append(("Speech cost", f"{cents:.2f} cents, by prices of {speech.get('prices_of', 'no known day')}"))
    repetitions = report.number("repetitions")
    if repetitions:
        lines.append(("Repetitions", f"{repetitions:.0f}"))
    if isinstance(stages, Mapping):
        seconds = sum(value for value in stages.values() if isinstance(value, int | float))
        lines.append(("Made in", f"{seconds:.1f} s"))
    return tuple(lines)


def _count(speech: Mapping[str, Any], field: str) -> int:
    value = speech.get(field)
    return int(value) if isinstance(value, int | float) else 0
