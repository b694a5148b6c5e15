"""A job's receipt by its row, and the command lines that are the same as a button."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from worker.cli.arguments import build_parser
from worker.operate.changes import Choice, command
from worker.operate.job_page import receipt

QUALITY = {
    "duration_s": 600.0,
    "target_lufs": -16.0,
    "integrated_lufs": -16.02,
    "loudness_range_lu": 5.04,
    "true_peak_dbtp": -1.23,
    "repetitions": 3,
    "heard": {
        "tones": {"left": [{"expected_hz": 200.0, "measured_hz": 200.0004}], "right": [{"expected_hz": 206.0}]},
        "beat_expected_hz": 6.0,
        "beat_hz": 5.9996,
    },
}


def test_the_receipt_sets_promised_beside_measured() -> None:
    assert [(line.name, line.promised, line.measured) for line in receipt(QUALITY)] == [
        ("Length", "", "600.000 s"),
        ("Loudness", "−16.0 LUFS ± 0.1", "−16.02 LUFS"),
        ("Loudness range", "", "5.0 LU"),
        ("True peak", "at most −1.0 dBTP", "−1.23 dBTP"),
        ("Tone, left", "200.000 Hz", "200.000 Hz"),
        ("Tone, right", "206.000 Hz", "not to be told from what is louder there"),
        ("Beat", "6.000 Hz", "6.000 Hz"),
        ("Repetitions of the voice", "", "3"),
    ]


def test_a_target_of_the_speech_is_set_beside_the_speech() -> None:
    lines = {line.name: line.promised for line in receipt({**QUALITY, "speech_lufs": -16.01})}
    assert (lines["Loudness of the speech"], lines["Loudness"]) == ("−16.0 LUFS ± 0.1", "")


@pytest.mark.parametrize(
    "nonsense",
    [None, "x", True, [], {}, float("nan"), float("inf"), 10**400, -(10**400)],
    ids=["null", "text", "true", "list", "object", "nan", "inf", "huge", "-huge"],
)
def test_a_row_that_a_customer_wrote_makes_no_receipt(nonsense: Any) -> None:
    assert receipt(dict.fromkeys(QUALITY, nonsense)) == []
    assert receipt({"heard": dict.fromkeys(QUALITY["heard"], nonsense)}) == []  # type: ignore[call-overload]
    assert len(receipt({"heard": {"tones": {"left": [{"expected_hz": 1.0}] * 10_000}}})) == 40


@pytest.mark.parametrize(
    "choice", [Choice(("7c1d6a52",)), Choice(failed=True), Choice(code="voice.model"), Choice(code="a 'b; rm -rf /")]
)
def test_the_equal_command_line_means_the_same(choice: Choice) -> None:
    options = vars(build_parser().parse_args(shlex.split(command("retry", choice))))
    assert (options["command"], options["action"]) == ("jobs", "retry")
    assert Choice(tuple(options["ids"]), failed=options["failed"], code=options["code"]) == choice
