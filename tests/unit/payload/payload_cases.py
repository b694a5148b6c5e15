"""Payloads to begin with, and how tests read what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.errors import JobError
from worker.payload.parse import RenderJob, parse_job

TONE = {"solfeggio": {"enabled": True, "hz": 528}}


BASE: dict[str, Any] = {"script": "I am calm.", "binaural": {"enabled": True}, **TONE}


def with_value(name: str, value: object) -> dict[str, Any]:
    """BASE with one dotted key set."""
    payload: dict[str, Any] = json.loads(json.dumps(BASE))
    *sections, key = name.split(".")
    inner = payload
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = value
    return payload


def at(job: RenderJob, path: str) -> Any:
    found: Any = job
    for name in path.split("."):
        found = getattr(found, name)
    return found


def refused(payload: Any, **limits: Any) -> str:
    with pytest.raises(JobError) as caught:
        parse_job(payload, **limits)
    message = str(caught.value)
    assert "\n" not in message
    return message
