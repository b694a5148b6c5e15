"""JSON that customers, services or damaged files wrote: read within bounds, and never a reason to crash."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes | None, *, longest: int | None = None) -> Any:
    """Parse JSON; None where there is none, where it is longer than `longest`, and where nothing can parse it.

    Values nested too deeply and numbers with too many digits count as unreadable, too.
    """
    if not text or (longest is not None and len(text) > longest):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def text_or_empty(value: object) -> str:
    """A value if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def read_object(text: str | bytes | None, *, longest: int | None = None) -> dict[str, Any]:
    """Parse a JSON object; an empty one where `read_json` finds anything else."""
    loaded = read_json(text, longest=longest)
    return loaded if isinstance(loaded, dict) else {}
