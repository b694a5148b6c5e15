"""One line of `mindscript-worker doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Attributes
    ----------
    what : str
    good : bool or None
        None: could be better, but the worker runs.
    says : str
        What was found, and the mend where there is one.
    """

    what: str
    good: bool | None
    says: str
