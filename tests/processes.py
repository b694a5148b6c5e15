"""Which processes a test has started."""

from __future__ import annotations

import contextlib

import psutil


def children() -> list[psutil.Process]:
    """Living processes of this one and theirs, but for the database server that the whole test run shares."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            shared = "postgres" in child.name() or any(part.endswith("keeper.py") for part in child.cmdline())
            if child.status() != psutil.STATUS_ZOMBIE and not shared:
                found.append(child)
    return found
