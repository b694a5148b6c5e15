"""What plain mode notes of a job in its row's `result` while the job is not done: leased mode has columns for it.

Customers can write that column, so whatever else stands there counts as nothing noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from worker.queue.transport import AsText, Row, moment, text_of
from worker.untrusted_json import read_object

NOTES = AsText("result", "worker")
_LONGEST_NOTES = 2000  # the worker writes nothing as long
_DIED_TOGETHER = timedelta(seconds=60)  # the rows of one process are touched every 15 s


def notes_of(row: Row) -> dict[str, Any]:
    """The worker's notes in a row; empty where a customer wrote something else there."""
    return read_object(text_of(row.get(NOTES.name)), longest=_LONGEST_NOTES)


def noted(attempt: int, crashes: int, code: str, parked_since: datetime | None) -> dict[str, Any]:
    """The row's `result` while the job is not done: what leased mode has columns for."""
    notes: dict[str, Any] = {"attempt": attempt, "crashes": crashes, "code": code}
    if parked_since is not None:
        notes["parked_since"] = parked_since.isoformat()
    return {"worker": notes}


def died_beside(row: Row, held: Sequence[Row]) -> list[datetime]:
    """When the neighbours of a row were touched last: rows of the same process that have rested for as long."""
    process, updated = notes_of(row).get("process"), moment(row["updated_at"])
    if not isinstance(process, str) or updated is None:
        return []
    others = [
        moment(other["updated_at"]) for other in held if other is not row and notes_of(other).get("process") == process
    ]
    return [other for other in others if other is not None and abs(other - updated) < _DIED_TOGETHER]


def parked_since_of(notes: Mapping[str, Any]) -> datetime | None:
    """When the job was parked first; None where it was not, or a customer wrote something else there."""
    try:
        found = datetime.fromisoformat(str(notes.get("parked_since")))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def count_of(notes: Mapping[str, Any], name: str) -> int:
    value = notes.get(name)
    return value if isinstance(value, int) and 0 <= value < 1000 else 0
