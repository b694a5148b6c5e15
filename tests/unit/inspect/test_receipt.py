"""Promised and measured side by side, by the figures of docs/reference/quality.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from track_reports import measured, report_of

from worker.inspect.inspection import Inspection
from worker.inspect.promises import LookedFor
from worker.inspect.receipt import Figure, receipt
from worker.inspect.reports import TrackReport
from worker.plan.promised import PromisedTone


def track_report(result: Inspection, **changed: Any) -> TrackReport:
    return TrackReport("track.report.json", report_of(result, **changed), None)


def figure(name: str, result: Inspection, **changed: Any) -> Figure:
    lines = receipt(result, track_report(result, **changed)).figures
    return next(line for line in lines if line.name == name)


def test_a_track_that_keeps_its_promise():
    result = measured()
    lines = receipt(result, track_report(result))
    assert lines.to_look_at == 0
    assert {line.name for line in lines.figures if line.verdict == "kept"} == {"Length", "Loudness", "True peak"}
    assert lines.notes == ("music: loops from 0:30 to 1:30",)
    assert ("Speech cost", "0.18 cents, by prices of no known day") in lines.speech
    assert ("Made in", "3.5 s") in lines.speech


@pytest.mark.parametrize(("over", "verdict"), [(0.1, "kept"), (-0.1, "kept"), (0.11, "look"), (-1.0, "look")])
def test_loudness_is_kept_within_a_tenth(over, verdict):
    result = replace(measured(), integrated_lufs=-16.0 + over)
    assert figure("Loudness", result, target_lufs=-16.0).verdict == verdict


@pytest.mark.parametrize(("peak", "verdict"), [(-1.0, "kept"), (-0.99, "look"), (-9.0, "kept")])
def test_a_peak_is_never_above_minus_one(peak, verdict):
    assert figure("True peak", replace(measured(), true_peak_dbtp=peak)).verdict == verdict


def test_a_frame_too_many_is_seen():
    result = measured()
    assert figure("Length", result, frames=result.frames - 1).verdict == "look"
    assert figure("Length", result, frames=result.frames - 1, format="aac").verdict == "kept"  # has no place for it


def test_why_it_is_not_as_loud_as_asked_is_told():
    note = "loudness: reached −18.0 of −16 LUFS: the voice would have had to be limited by 6 dB"
    assert figure("Loudness", measured(), target_lufs=-6.0, notes=[note]).remark == note


def looked_for(channel: str, hz: float, **measured_as: Any) -> LookedFor:
    tone = PromisedTone("binaural", channel, ((0.0, hz),), -20.0, 0.0, 60.0)  # type: ignore[arg-type]
    state = measured_as.pop("state", "found")
    return LookedFor("binaural", channel, tone, state, **measured_as)


def test_tones_and_their_beat_are_compared():
    result = replace(
        measured(),
        promised=(
            looked_for("left", 197.0, measured_hz=197.001, deviation_hz=0.001, level_dbfs=-20.1),
            looked_for("right", 203.0, measured_hz=203.2, deviation_hz=0.2, level_dbfs=-26.0),
        ),
    )
    lines = {line.name: line for line in receipt(result, track_report(result)).figures}
    assert lines["Beat's tone, left"].verdict == "kept"
    assert lines["Beat's tone, right"].verdict == "look"
    assert lines["Beat's tone, right"].remark == "−6.0 dB from its level"
    assert (lines["Beat"].promised, lines["Beat"].measured, lines["Beat"].verdict) == ("6 Hz", "6.199 Hz", "look")


def test_a_masked_tone_is_explained_in_plain_words():
    hidden = looked_for("left", 197.0, state="masked", measured_hz=None, deviation_hz=None, level_dbfs=None)
    result = replace(measured(), promised=(hidden,))
    line = next(line for line in receipt(result, track_report(result)).figures if line.name == "Beat's tone, left")
    assert (line.measured, line.verdict) == ("masked", "look")
    assert "louder there" in line.remark


def test_without_a_report_everything_is_only_measured():
    assert {line.verdict for line in receipt(measured(), None).figures} == {"measured"}


def test_a_report_of_strange_types_gives_what_it_has():
    strange = {"notes": "no list", "stage_seconds": [1], "speech": "loud", "target_lufs": "-16", "frames": True}
    lines = receipt(measured(), TrackReport("x", strange, None))
    assert lines.notes == ()
    assert lines.speech == ()
