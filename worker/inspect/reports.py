"""The report of a file (`render --report`): found beside it, read, and held against the file before it is believed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.errors import JobError
from worker.inspect.inspection import Inspection
from worker.os_errors import in_words
from worker.plan.promised import Promised, read_promised
from worker.plan.sounding import SoundingSpan, read_sounding_spans

_LARGEST_BYTES = 16 << 20
_SAME_LU, _SAME_DB = 0.003, 0.01  # the same sound, decoded by another FFmpeg


@dataclass(frozen=True)
class TrackReport:
    """The figures of one track, out of a report that may have those of its twin, too.

    Attributes
    ----------
    name : str
        Of the report's file.
    figures : mapping
        As of `worker.render.report.Report.as_json`.
    promised : Promised or None
        None in reports from before there were any.
    sounding : mapping
        By layer, when it sounds; empty in such reports.
    """

    name: str
    figures: Mapping[str, Any]
    promised: Promised | None
    sounding: Mapping[str, tuple[SoundingSpan, ...]] = field(default_factory=dict)

    @property
    def target_lufs(self) -> float | None:
        """What loudness was asked for."""
        return self.number("target_lufs")

    def number(self, name: str) -> float | None:
        """One of its figures; None where there is none."""
        value = self.figures.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class FoundReport:
    """A report for a file, or why the one that lies beside it is not believed."""

    report: TrackReport | None = None
    note: str | None = None


def report_beside(file: Path) -> Path | None:
    """The report that lies beside a file: its name with ``.report.json``; ``.json`` may be the job."""
    if not file.name:
        return None
    path = file.with_name(f"{file.stem}.report.json")
    return path if path.is_file() else None


def find_report(file: Path, named: Path | None) -> FoundReport:
    """Read the report that is named, or the one beside the file; whether it is of this file its sound tells: `doubt`.

    Of a track and its twin in one report, the one with the size of this file counts.

    Raises
    ------
    JobError
        If the named one cannot be read, or is none.
    """
    path = named or report_beside(file)
    if path is None or not file.is_file():
        return FoundReport()
    try:
        tracks = _read(path)
        size = file.stat().st_size
        alike = [track for track in tracks if track.number("size_bytes") == size]
        return FoundReport((alike or tracks)[0])
    except JobError as error:
        if named is not None:
            raise
        return FoundReport(note=f"{error.message.removeprefix('--report: ')}, and was left aside")


def doubt(report: TrackReport, result: Inspection) -> str | None:
    """Why a report is not one of a measured file; None where its length, loudness and peak are the same."""
    frames = report.number("frames")
    if frames is not None and frames != result.frames:
        return f"it is of a track of {frames:.0f} frames, and this one has {result.frames}"
    for name, measured, unit, allowed in (
        ("integrated_lufs", result.integrated_lufs, "LUFS", _SAME_LU),
        ("true_peak_dbtp", result.true_peak_dbtp, "dBTP", _SAME_DB),
    ):
        told = report.number(name)
        if told is not None and (measured is None or abs(told - round(measured, 3)) > allowed):
            here = "nothing" if measured is None else f"{measured:.3f}"
            return f"it is of a track of {told:.3f} {unit}, and this one has {here}".replace("-", "−")
    return None


def _read(path: Path) -> list[TrackReport]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise JobError(f"--report: {path} is too large for a report")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise JobError(f"--report: {path}: {in_words(error)}") from None
    except (ValueError, RecursionError):
        raise JobError(f"--report: {path} is no report of `render --report`") from None
    return list(_tracks(path, document))


def _tracks(path: Path, document: Any) -> Iterator[TrackReport]:
    if not isinstance(document, Mapping) or not {"target_lufs", "frames"} <= document.keys():
        raise JobError(f"--report: {path} is no report of `render --report`")
    for figures in (document, document.get("twin")):
        if isinstance(figures, Mapping):
            try:
                promised = read_promised(figures.get("promised"))
                sounding = read_sounding_spans(figures.get("layers"))
            except (ValueError, AttributeError) as error:
                raise JobError(f"--report: {path}: its layers and tones cannot be read: {error}") from None
            yield TrackReport(path.name, figures, promised, sounding)
