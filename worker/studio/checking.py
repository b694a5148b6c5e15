"""A job of the browser, checked: each mistake at its field, and what the job means with all defaults filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.config import Config
from worker.errors import JobError
from worker.payload.known_keys import unknown_key_line, unknown_keys
from worker.payload.parse import parse_job
from worker.payload.schema import RenderJob

_FIELD: Final = re.compile(r"([A-Za-z_][\w.\[\]]*)(?=:| is )")
_NOT_SHOWN: Final = frozenset({"script", "pronounce", "seed"})


@dataclass(frozen=True)
class Checked:
    """A job, or what is wrong with it; `warnings` names keys that mean nothing."""

    job: RenderJob | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For the page; `effective` has every field's value as it counts, by the payload's keys."""
        return {
            "errors": [{"field": field_of(line), "message": line} for line in self.errors],
            "warnings": list(self.warnings),
            "effective": None if self.job is None else _effective(self.job),
        }


def _effective(job: RenderJob) -> dict[str, Any]:
    shown = job.model_dump(mode="json", by_alias=True, exclude={**dict.fromkeys(_NOT_SHOWN, True), "layer_list": True})
    if job.voice.provider == "uploaded":
        shown["voice"]["speed"] = job.voice.recording_speed
    return shown


def check(payload: Mapping[str, Any], config: Config) -> Checked:
    """Check a payload: all mistakes at once."""
    warnings = tuple(f"{unknown_key_line(name)} (it is ignored)" for name in unknown_keys(payload))
    try:
        job = parse_job(
            payload,
            max_script_characters=config.max_script_characters,
            max_duration_min=config.max_duration_min,
        )
    except JobError as error:
        return Checked(None, error.lines, warnings)
    return Checked(job, (), warnings)


def field_of(line: str) -> str:
    """The field that a mistake names; empty where it names none."""
    found = _FIELD.match(line)
    return found[1] if found else ""
