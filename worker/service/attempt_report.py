"""What is kept of an attempt beside its outcome: the operator's error, stage times, versions, figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from worker.config import Config
from worker.logs import masked, secret_values
from worker.queue.claims import AttemptReport

_LONGEST_ERROR = 1000
_FIGURES = ("lufs", "dbtp", "duration_s", "speech_cache", "speech", "without_music")
_QUALITY = ("format", "bitrate_kbps", "size_bytes", "target_lufs", "encodes", "repetitions")


def attempt_report(
    config: Config, summary: Mapping[str, Any], error: Exception | None, stages: Mapping[str, float]
) -> AttemptReport:
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
        kept["error"] = _printable(str(error) or type(error).__name__)
    return AttemptReport(**masked(kept, secret_values(config)))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:_LONGEST_ERROR]


@cache
def _version() -> str:
    return version("mindscript-audio-worker")
