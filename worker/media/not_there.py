"""The error of music, a recording or a cover that is not there: where it was looked for, and what is there instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worker.errors import MediaError
from worker.media.reference import MISSING, Place, StoredObject
from worker.printable import printable

MOST_NAMES = 1000  # of a folder, that are compared with a name that is not there
_MOST_SHOWN = 5


def not_there(what: str, place: Place, looked: str = "") -> MediaError:
    """The error of what is not there, with where it was looked for."""
    return MediaError(
        f"{what}: {printable(place.label)} does not exist{looked}",
        code=MISSING,
        customer_message=f"The {what} of this order could not be found. Please choose another one, or contact support.",
    )


def is_unclear(keys: Sequence[str], names: Sequence[str]) -> bool:
    """Whether nobody can tell which of the similar keys is meant: there are some, or not all names were listed."""
    return len(keys) != 1 or len(names) >= MOST_NAMES


def looked_for(place: StoredObject, keys: Sequence[str], names: Sequence[str]) -> str:
    """For operators: the forms of a name that were looked for, and what its folder has, all as ASCII."""
    if len(names) >= MOST_NAMES:
        beside = f"its folder has {MOST_NAMES} objects or more, too many to compare with"
    elif len(keys) > 1:
        beside = f"which of these is meant is not clear: {_listed(keys[:_MOST_SHOWN])}"
    elif keys:
        beside = f"{_listed(keys)} is listed, but not there: it may be in a folder whose name differs in case"
    elif names:
        beside = f"none of the {len(names)} objects in its folder differs in case or spaces alone"
    else:
        beside = "its folder has no objects"
    return f" (looked for {_listed(place.keys)}; {beside})"


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(map(ascii, keys))
