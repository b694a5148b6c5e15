"""Times in JSON: ISO 8601, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def as_json(value: object) -> str:
    """What `json.dumps` calls for what JSON does not have; only a time has a form there."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")
