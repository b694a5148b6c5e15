"""What is kept of an attempt beside its outcome: the operator's error, stage times, versions, figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from worker.errors import WorkerError
from worker.masks import masked_value
from worker.printable import printable
from worker.queue.claims import AttemptReport

_LONGEST_ERROR = 1000
_FIGURES = ("lufs", "dbtp", "duration_s", "speech_cache", "speech", "without_music")
_QUALITY = ("format", "bitrate_kbps", "size_bytes", "target_lufs", "encodes", "repetitions")


def attempt_report(summary: Mapping[str, Any], error: Exception | None, stages: Mapping[str, float]) -> AttemptReport:
    """Gather the report of an attempt.

    Parameters
    ----------
    summary : mapping
        Of the job process (`JobOutput.summary`), empty where it has not finished.
    error : Exception or None
        What ended the attempt.
    stages : mapping
        Seconds by stage, as the worker saw them; the summary's own are finer.
    """
    quality = summary.get("quality") or {}
    figures = {name: summary[name] for name in _FIGURES if summary.get(name) is not None}
    figures |= {name: quality[name] for name in _QUALITY if quality.get(name) is not None}
    versions = {name: str(quality[name]) for name in ("ffmpeg", "encoder") if quality.get(name)}
    found = summary.get("stages") or {stage: round(seconds, 3) for stage, seconds in stages.items()}
    kept = {"stages": found, "versions": {"worker": _version(), **versions}, "figures": figures}
    if error is not None:
        told = "; ".join(error.lines) if isinstance(error, WorkerError) else str(error)
        kept["error"] = printable(told or type(error).__name__, longest=_LONGEST_ERROR)
    return AttemptReport(**masked_value(kept))


@cache
def _version() -> str:
    return version("mindscript-audio-worker")
