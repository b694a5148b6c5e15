"""Times as people write them: 90, 2.5, 1:30, 1:02:03."""

from __future__ import annotations

import re

from worker.errors import JobError

_TIME = re.compile(r"(?:(?:(?P<hours>\d{1,3}):)?(?P<minutes>\d{1,4}):)?(?P<seconds>\d{1,6}(?:\.\d{1,6})?)", re.ASCII)


def seconds_of(option: str, text: str, *, least_s: float = 0.0) -> float:
    """Read a time.

    Raises
    ------
    JobError
        Names the option, what was found and what is allowed.
    """
    found = _TIME.fullmatch(text.strip())
    if found is not None:
        hours, minutes, seconds = (found[name] for name in ("hours", "minutes", "seconds"))
        below_60 = (minutes is None or float(seconds) < 60) and (hours is None or int(minutes) < 60)
        total_s = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)
        if below_60 and total_s >= least_s:
            return total_s
    least = f", at least {least_s:g} s" if least_s else ""
    raise JobError(f"{option}: found {text!r}, allowed is a time such as 90, 2.5, 1:30 or 1:02:03{least}")
