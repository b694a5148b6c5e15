"""A report is believed of the file that it is of, and of no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from track_reports import measured, report_of

from dsp.blocks import gain_to_db
from dsp.loudness import integrated_lufs, measure
from dsp.tones import Tone
from worker.errors import JobError
from worker.inspect.inspection import Inspector
from worker.inspect.reports import TrackReport, doubt, find_report, report_beside


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "track.mp3"
    path.write_bytes(b"sound")
    return path


def write(file: Path, report: object) -> Path:
    path = file.with_name("track.report.json")
    path.write_text(json.dumps(report))
    return path


def test_it_lies_beside_the_file_under_a_name_that_no_job_has(file):
    assert find_report(file, None).report is None
    file.with_suffix(".json").write_text('{"script": "I am calm."}')
    assert find_report(file, None).report is None
    assert find_report(file, None).note is None
    path = write(file, report_of(measured()))
    assert report_beside(file) == path
    found = find_report(file, None).report
    assert found is not None
    assert found.name == "track.report.json"


def test_the_same_sound_is_believed(file):
    result = measured()
    write(file, report_of(result))
    report = find_report(file, None).report
    assert report is not None
    assert doubt(report, result) is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"frames": 7}, "7 frames, and this one has 40000"),
        ({"integrated_lufs": -20.0}, "LUFS"),
        ({"true_peak_dbtp": -3.0}, "dBTP"),
    ],
)
def test_a_report_of_other_sound_is_doubted(file, changed, words):
    result = measured()
    write(file, report_of(result, **changed))
    report = find_report(file, None).report
    assert report is not None
    assert words in (doubt(report, result) or "")


def test_of_two_tracks_the_one_of_this_size_counts(file):
    twin = report_of(measured(), size_bytes=file.stat().st_size, target_lufs=-20.0)
    write(file, {**report_of(measured(), size_bytes=1), "twin": twin})
    report = find_report(file, None).report
    assert report is not None
    assert report.target_lufs == -20.0


def test_it_says_when_each_layer_sounds(file):
    layers = {"bell": {"gain_db": -3.0, "sounds": [[1, 2.5, 0.1, 0.2], [4, 5, 0, 0]]}, "older": {"gain_db": 0.0}}
    write(file, report_of(measured(), layers=layers))
    report = find_report(file, None).report
    assert report is not None
    assert report.sounding == {"bell": ((1.0, 2.5, 0.1, 0.2), (4.0, 5.0, 0.0, 0.0))}


@pytest.mark.parametrize(
    "document",
    [
        "[1]",
        "{",
        "7",
        '{"script": "I am calm."}',
        '{"frames": 1, "target_lufs": 1, "promised": [1]}',
        '{"frames": 1, "target_lufs": 1, "layers": {"a": {"sounds": [[1, 2, 3]]}}}',
        '{"frames": 1, "target_lufs": 1, "layers": {"a": {"sounds": [[1, 2, 3, NaN]]}}}',
        '{"frames": 1, "target_lufs": 1, "layers": {"a": {"sounds": [[1, 2, 3, "4"]]}}}',
        '{"frames": 1, "target_lufs": 1, "layers": [1]}',
    ],
)
def test_what_is_no_report_is_said(file, document):
    path = file.with_name("track.report.json")
    path.write_text(document)
    found = find_report(file, None)
    assert found.report is None
    assert "left aside" in (found.note or "")
    with pytest.raises(JobError, match="--report: "):
        find_report(file, path)


def test_a_named_report_that_is_not_there_is_one_clear_line(file):
    with pytest.raises(JobError, match="there is no such file"):
        find_report(file, file.with_name("none.json"))


@pytest.mark.parametrize("gain", np.linspace(0.1, 0.2, 11))
def test_a_report_is_of_its_file_whatever_its_last_digits_are(gain):
    """A report gives three digits; to hold two against them doubted every third report."""
    sound = (gain * Tone(997.0, 44_100).render(0, 44_100)).astype(np.float32)
    inspector = Inspector(44_100)
    inspector.add(sound)
    measured = measure([sound], 44_100, true_peak=True)
    told = {"integrated_lufs": integrated_lufs(measured.energies), "true_peak_dbtp": gain_to_db(measured.true_peak)}
    figures = {"frames": 44_100, **{name: round(float(value), 3) for name, value in told.items()}}
    assert doubt(TrackReport("a.report.json", figures, None), inspector.result()) is None
