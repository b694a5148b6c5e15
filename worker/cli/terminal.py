"""What commands print: strangers' words as harmless text, lengths, ages, JSON."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from worker.json_times import as_json
from worker.masks import masked
from worker.printable import printable

_WIDE = 240  # columns, where nobody looks: nothing is cut off that a program might search for


def console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error (there COLUMNS counts): as wide as the terminal. No text on it is markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or (stderr and "COLUMNS" in os.environ) else _WIDE
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def words(value: object, *, longest: int | None = None, style: str = "") -> Text:
    """What others wrote (a title, a stage, an error, a file's name), for a table or a line of Rich's; empty for None.

    Never markup, on one line, only printable characters, no key; cut off after `longest` characters.
    """
    return Text("" if value is None else printable(masked(str(value)), longest=longest), style=style)


def print_json(document: Any, *, one_line: bool = False, file: TextIO | None = None) -> None:
    """Print a JSON document in ASCII; by default on standard output."""
    print(json.dumps(document, indent=None if one_line else 2, default=as_json), file=file, flush=True)


def length(seconds: float | None) -> str:
    """A track's length, such as 10:00."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def since(moment: datetime | None, now: datetime) -> str:
    """How long ago something was, such as 3 min."""
    return "" if moment is None else duration((now - moment).total_seconds())


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def at(moment: datetime | None) -> str:
    """A time for people, in UTC."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
