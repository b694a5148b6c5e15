"""Named sessions: a course of beat, noise and fades under one name, scaled to the track's length.

They are starting points for listening, without any medical claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

SessionName = Literal["fall-asleep", "deep-rest", "meditate", "unwind", "focus", "power-nap"]


@dataclass(frozen=True)
class Session:
    """What a name stands for: a summary in plain words, and a length in minutes where the job states none.

    The course is (fraction of the track, beat_hz, carrier_hz) with straight lines between; the noise is the colour of
    the bed, or ``none``, and its gain in dB; the fades are fade-in and fade-out of the track.
    """

    summary: str
    minutes: float
    course: tuple[tuple[float, float, float], ...]
    noise: tuple[str, float]
    fades_ms: tuple[int, int]


SESSIONS: Final[Mapping[str, Session]] = MappingProxyType(
    {
        "fall-asleep": Session(
            "from a relaxed alpha beat down through theta into delta, and it stays there",
            minutes=45,
            course=((0, 10, 180), (0.25, 6, 160), (0.6, 2.5, 140), (1, 2, 140)),
            noise=("brown", -30),
            fades_ms=(8000, 30_000),
        ),
        "deep-rest": Session(
            "from alpha to the border of theta and delta within the first third, then level",
            minutes=30,
            course=((0, 9, 170), (0.33, 4, 150), (1, 4, 150)),
            noise=("pink", -32),
            fades_ms=(5000, 20_000),
        ),
        "meditate": Session(
            "settles from alpha into theta, rests there, and comes back up a little at the end",
            minutes=20,
            course=((0, 10, 200), (0.2, 6, 200), (0.85, 6, 200), (1, 8, 200)),
            noise=("none", -32),
            fades_ms=(4000, 10_000),
        ),
        "unwind": Session(
            "from a busy beta beat down to a relaxed alpha beat",
            minutes=15,
            course=((0, 18, 220), (0.5, 10, 200), (1, 9, 200)),
            noise=("pink", -30),
            fades_ms=(3000, 8000),
        ),
        "focus": Session(
            "from alpha up to a low beta beat within the first tenth, then level",
            minutes=50,
            course=((0, 10, 210), (0.1, 14, 220), (1, 14, 220)),
            noise=("pink", -28),
            fades_ms=(3000, 5000),
        ),
        "power-nap": Session(
            "down into theta, a rest there, and up to beta in the last fifth",
            minutes=20,
            course=((0, 10, 190), (0.3, 5, 170), (0.8, 5, 170), (1, 16, 210)),
            noise=("brown", -32),
            fades_ms=(5000, 3000),
        ),
    }
)


def session_values(name: str, minutes: float | None) -> dict[str, Any]:
    """Write a session out as a job's fields, by the web app's keys; without `minutes` at the session's own length."""
    session = SESSIONS[name]
    length_min = session.minutes if minutes is None else minutes
    return {
        "durationMin": length_min,
        "binaural": {
            "enabled": True,
            "beatHz": session.course[0][1],
            "carrierHz": session.course[0][2],
            "timeline": tuple(
                {"atMin": fraction * length_min, "beatHz": beat_hz, "carrierHz": carrier_hz}
                for fraction, beat_hz, carrier_hz in session.course
            ),
        },
        "carrierType": session.noise[0],
        "carrierGainDb": session.noise[1],
        "fade": {"inMs": session.fades_ms[0], "outMs": session.fades_ms[1]},
    }
