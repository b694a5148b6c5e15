"""Judge a piece of speech before it is kept: is it all there, is it sound as the voice makes it, can it be corrected?

The limits come from 200 clean pieces and sixteen ways of spoiling them (`python -m benchmarks.pieces`). No clean piece
is suspicious. Other words that are as long as the right ones are not found: only speech recognition does that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dsp.blocks import Clip
from dsp.speech_figures import SpeechFigures, speech_figures
from worker.tts.pace import spoken_characters

PACES: Final = (0.65, 1.45)  # of the voice's median; clean pieces have 0.7 to 1.25, half of one has 0.35 to 0.63
LONGEST_SILENCE_S: Final = 1.5  # at speed 1; an ellipsis lasts up to 0.8 s
LONGEST_NOISE_S: Final = 1.0
END_DB: Final = -25.0  # of the last 5 ms, over the speech; clean pieces end below -40 dB
PLATEAU: Final = 0.25
FULL_SCALE_SHARE: Final = 0.005
LEVEL_DB: Final = 7.0  # off the voice's median: the levels are matched by 4 dB, and a step of 3 dB stays unnoticed
PITCHES: Final = (0.85, 1.24)  # of the voice's median; clean pieces have 0.93 to 1.21, another speaker is outside
PITCHES_OF_FEW: Final = (0.8, 1.26)  # the same for a median of few pieces, which may all be high or low ones
_PITCH_KNOWN_WELL_FROM: Final = 15  # pieces
LARGEST_DC: Final = 0.005
_OPPOSITE: Final = -0.5
_ONE_SIDED_DB: Final = 20.0
_SHORTEST_JUDGED_CHARACTERS: Final = 20  # a shorter text has no pace or pitch to speak of
_DIGIT_CHARACTERS: Final = 4  # "7" is read as "seven"
_KNOWN_FROM: Final = 3  # pieces, for a median
_UNUSABLE: Final = frozenset({"silent", "too short", "too long", "hole", "noise"})
_UNUSABLE_SCORE: Final = 10.0

IN_WORDS: Final = {
    "silent": "there is no sound in it",
    "too short": "it is too short for its words",
    "too long": "it is too long for its words",
    "hole": "it is silent in the middle",
    "noise": "there is noise in it",
    "cut": "it ends in the middle of a sound",
    "clipped": "its peaks are cut off",
    "louder": "it is much louder than the rest",
    "softer": "it is much softer than the rest",
    "pitch": "its pitch is not the voice's",
}
CORRECTIONS: Final = {
    "dc": "it had a constant offset, which was taken out",
    "polarity": "its channels had opposite polarity, so one of them was taken",
    "one channel": "it had sound in one channel only, which was taken for both",
}


@dataclass(frozen=True)
class VoiceMedians:
    """What is usual for a voice; None where too little is known.

    Attributes
    ----------
    pace_s : float or None
        Seconds of sound per character at speed 1.
    level_db : float or None
        Of `SpeechFigures.level_db`.
    pitch_hz : float or None
    pitches : tuple of float
        Between which shares of `pitch_hz` a piece's pitch is usual.
    """

    pace_s: float | None = None
    level_db: float | None = None
    pitch_hz: float | None = None
    pitches: tuple[float, float] = PITCHES_OF_FEW


UNKNOWN: Final = VoiceMedians()


@dataclass(frozen=True)
class PieceCheck:
    """What was found in one take of a piece.

    Attributes
    ----------
    faults : tuple of str
        Keys of `IN_WORDS`: reasons to ask for another take.
    corrections : tuple of str
        Keys of `CORRECTIONS`: what is put right without another take.
    score : float
        0 without faults; the higher, the worse.
    pace_s : float or None
        Seconds of sound per character at speed 1; None for a text too short to tell.
    figures : SpeechFigures
    """

    faults: tuple[str, ...]
    corrections: tuple[str, ...]
    score: float
    pace_s: float | None
    figures: SpeechFigures

    @property
    def is_unusable(self) -> bool:
        """Whether words are missing or are others: better another voice than this."""
        return not _UNUSABLE.isdisjoint(self.faults)


def examine_piece(
    samples: Clip, sample_rate: int, text: str, medians: VoiceMedians = UNKNOWN, *, speed: float = 1.0
) -> PieceCheck:
    """Examine one take, as it came from the voice: before it is stretched or trimmed.

    Parameters
    ----------
    samples : Clip
        At least one frame; read a few seconds at a time.
    sample_rate : int
        In Hz.
    text : str
        What should be heard.
    medians : VoiceMedians
        Of the voice; what is None is not judged.
    speed : float
        How fast the voice was asked to speak.
    """
    return judge(speech_figures(samples, sample_rate), text, medians, speed=speed)


def judge(figures: SpeechFigures, text: str, medians: VoiceMedians = UNKNOWN, *, speed: float = 1.0) -> PieceCheck:
    """Judge a take by its figures; see `examine_piece`."""
    if figures.sound_s == 0.0:
        return PieceCheck(("silent",), (), 2 * _UNUSABLE_SCORE, None, figures)
    excess: dict[str, float] = {}  # by fault: how far beyond its limit, 1 at the limit

    def compare(fault: str, found: float, limit: float) -> None:
        if found > limit:
            excess[fault] = found / limit

    is_long = spoken_characters(text) >= _SHORTEST_JUDGED_CHARACTERS
    pace_s = figures.sound_s * speed / _characters(text) if is_long else None
    if pace_s is not None and medians.pace_s is not None:
        compare("too short", medians.pace_s / pace_s, 1 / PACES[0])
        compare("too long", pace_s / medians.pace_s, PACES[1])
    compare("hole", figures.longest_silence_s * min(speed, 1.0), LONGEST_SILENCE_S)
    compare("noise", figures.noise_s, LONGEST_NOISE_S - 0.001)
    if figures.end_db > END_DB:
        excess["cut"] = 1.0
    compare("clipped", clipping(figures.plateau, figures.full_scale_share), 1.0)
    if medians.level_db is not None:
        compare("louder", figures.level_db - medians.level_db, LEVEL_DB)
        compare("softer", medians.level_db - figures.level_db, LEVEL_DB)
    if is_long and medians.pitch_hz is not None and math.isfinite(figures.pitch_hz):
        compare("pitch", figures.pitch_hz / medians.pitch_hz, medians.pitches[1])
        compare("pitch", medians.pitch_hz / figures.pitch_hz, 1 / medians.pitches[0])
    score = sum(min(value, _UNUSABLE_SCORE) for value in excess.values())
    score += _UNUSABLE_SCORE * len(_UNUSABLE.intersection(excess))
    return PieceCheck(tuple(excess), _corrections(figures), score, pace_s, figures)


def clipping(plateau: float, full_scale_share: float) -> float:
    """How far speech is clipped: above 1 it is."""
    return max(plateau / PLATEAU, full_scale_share / FULL_SCALE_SHARE)


def better_of(first: PieceCheck, second: PieceCheck) -> PieceCheck:
    """The better of two takes; the first where both are as good."""
    return second if second.score < first.score else first


def voice_medians(checks: Sequence[PieceCheck]) -> VoiceMedians:
    """Learn what is usual from takes of a voice; from fewer than three nothing follows."""

    def median(values: list[float]) -> float | None:
        return statistics.median(values) if len(values) >= _KNOWN_FROM else None

    sounding = [check for check in checks if "silent" not in check.faults]
    pitches_hz = [
        check.figures.pitch_hz for check in sounding if check.pace_s and math.isfinite(check.figures.pitch_hz)
    ]
    return VoiceMedians(
        pace_s=median([check.pace_s for check in sounding if check.pace_s is not None]),
        level_db=median([check.figures.level_db for check in sounding]),
        pitch_hz=median(pitches_hz),
        pitches=PITCHES if len(pitches_hz) >= _PITCH_KNOWN_WELL_FROM else PITCHES_OF_FEW,
    )


def _characters(text: str) -> int:
    return spoken_characters(text) + (_DIGIT_CHARACTERS - 1) * sum(character.isdigit() for character in text)


def _corrections(figures: SpeechFigures) -> tuple[str, ...]:
    needed = {
        "dc": max(map(abs, figures.dc)) > LARGEST_DC,
        "polarity": figures.correlation < _OPPOSITE,
        "one channel": abs(figures.balance_db) > _ONE_SIDED_DB,
    }
    return tuple(correction for correction, is_needed in needed.items() if is_needed)
