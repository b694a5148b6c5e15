"""How a command says what is wrong: a line for each thing, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from worker.masks import for_terminal


def print_errors(lines: Iterable[str], *, of: str = "") -> None:
    """Print lines that begin with ``error:`` and, where there are several, with whose they are."""
    for line in lines:
        print(f"error: {for_terminal(f'{of}: {line}' if of else line)}", file=sys.stderr)
