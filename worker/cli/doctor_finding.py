"""What `mindscript-worker doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check has found, and what to do about it; `good` is None where the worker runs anyway."""

    what: str
    good: bool | None
    says: str
