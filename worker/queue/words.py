"""Words and ranges that the command line needs to describe itself; nothing is loaded for them."""

from __future__ import annotations

from typing import Final, Literal

Group = Literal["running", "failed", "waiting", "parked", "done", "cancelled"]
GROUPS: Final[tuple[Group, ...]] = ("running", "failed", "waiting", "parked", "done", "cancelled")
PRIORITIES: Final = range(-100, 101)
