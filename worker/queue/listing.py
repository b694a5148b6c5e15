"""What operators see of jobs: by group, each with its track's title, length, cost and file. Only reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from worker.queue.activity import Activity
from worker.queue.canary_rows import CanaryRows
from worker.queue.claims import Cause, JobRow
from worker.queue.operations import ENDED, NeedsMigrationError
from worker.queue.transport import TABLE, AnswerTooLargeError, AsText, Differs, Row, moment
from worker.queue.words import GROUPS, Group
from worker.untrusted_json import read_object, text_or_empty

T = TypeVar("T")

# Columns of `tracks` with what a job's sound is made of, where its payload does not say.
TRACK_TEXT: Final = ("title", "cover_image_url", "script", "start_delay_seconds")
TRACK_JSON: Final = ("voice_config", "music_config", "frequency_config", "output_config")
_STATUS: Final[Mapping[Group, str]] = {
    "running": "processing",
    "failed": "failed",
    "waiting": "pending",
    "parked": "pending",
    "done": "completed",
    "cancelled": "cancelled",
}
_LONGEST_OBJECT = 10_000  # characters of `result.speech` and `metadata`; ours are a tenth of it
_ID_DIGITS = 32
_AT_ONCE = 100
_MOST_COUNTED = 1000  # PostgREST answers with no more rows


@dataclass(frozen=True)
class ListedJob:
    """A job as it is listed. All but numbers may be a customer's words: they can write any column of their own rows.

    `length_s` is the delivered track's, else what the payload asks for. `characters` were sent to a voice, for about
    `cents`; `path` is the delivered file, ``bucket/key``.
    """

    row: JobRow
    group: Group
    title: str | None
    length_s: float | None
    characters: int | None
    cents: float | None
    path: str | None


class Listing(Activity):
    """The part of `Queue` that operators read."""

    def causes(self) -> list[Cause]:
        """See `Queue.causes`."""
        raise NotImplementedError

    def enqueue(self, payload: Mapping[str, Any], *, track_id: str | None = None, user_id: str | None = None) -> str:
        """See `Queue.enqueue`."""
        raise NotImplementedError

    def listed(self, group: Group, *, limit: int) -> list[ListedJob]:
        """Jobs of a group, newest first; of those that wait, oldest first."""
        where: dict[str, Any] = {"status": _STATUS[group]}
        if self.mode == "leased" and group == "waiting":
            where["parked_cause"] = None
        elif group == "parked":
            causes = tuple(cause.name for cause in self.causes()) if self.mode == "leased" else ()
            if not causes:
                return []  # or known to the workers alone
            where["parked_cause"] = causes
        return self._with_details(self._sure_rows(where, limit, oldest_first=group in ("waiting", "parked")), group)

    def failures(self, *, limit: int) -> list[JobRow]:
        """Failed jobs that have not been purged (plain mode: all), newest first."""
        where = {"status": _STATUS["failed"], **({"purged_at": None} if self.mode == "leased" else {})}
        return self._sure_rows(where, limit)

    def one_listed(self, job_id: str) -> ListedJob | None:
        """One job by its whole id."""
        rows = self._sure_rows({"id": job_id}, 1)
        return self._with_details(rows, group_of(rows[0]))[0] if rows else None

    def listed_by_id(self, ids: Sequence[str]) -> dict[str, ListedJob]:
        """Those of these jobs that there are, by their whole ids."""
        groups: dict[Group, list[JobRow]] = {}
        for row in _halved(ids, lambda some: self._job_rows({"id": some}, len(some))):
            groups.setdefault(group_of(row), []).append(row)
        listed = [job for group, rows in groups.items() for job in self._with_details(rows, group)]
        return {job.row.job_id: job for job in listed}

    def ids_like(self, beginning: str, *, most: int = 10) -> list[str]:
        """Ids that begin so; none where it is no beginning of a UUID."""
        digits = beginning.replace("-", "").lower()
        if not digits or len(digits) > _ID_DIGITS or set(digits) - set("0123456789abcdef"):
            return []
        first, after = digits.ljust(_ID_DIGITS, "0"), f"{int(digits.ljust(_ID_DIGITS, 'f'), 16) + 1:032x}"
        before = ("id", _uuid(after)) if len(after) == _ID_DIGITS else None
        rows = self._transport.select(TABLE, ["id"], where={}, since=("id", _uuid(first)), before=before, limit=most)
        return sorted(str(row["id"]) for row in rows)

    def failed_ids(self, *, code: str | None, limit: int) -> list[str]:
        """Ids of failed jobs, newest first; with `code` those whose error code is that, or begins with it and a dot.

        Raises
        ------
        NeedsMigrationError
            If `code` is given in plain mode, which keeps none.
        """
        if self.mode == "leased":
            return list(self._transport.scalar("worker_failed", {"p_code": code, "p_limit": limit}))
        if code is not None:
            raise NeedsMigrationError("to choose jobs by their error code")
        return [row.job_id for row in self._job_rows({"status": "failed"}, limit)]

    def waiting_ids(self, *, code: str, limit: int) -> list[str]:
        """Ids of jobs that wait or are parked after an attempt that ended in an error code, oldest first.

        Raises
        ------
        NeedsMigrationError
            In plain mode, which keeps no codes.
        """
        if self.mode != "leased":
            raise NeedsMigrationError("to choose jobs by their error code")
        where = {"status": "pending", "error_code": code}
        rows = self._transport.select(TABLE, ["id"], where=where, oldest_first=True, limit=limit)
        return [str(row["id"]) for row in rows]

    def count_older(self, than: timedelta) -> tuple[int, bool]:
        """How many jobs `purge_older` would purge; False: there may be more."""
        moment_before = self._transport.now() - than
        unpurged: dict[str, Any]
        if self.mode == "leased":
            ended, unpurged = "created_at", {"purged_at": None}
        else:
            ended, unpurged = "updated_at", {name: Differs({}) for name in self.payload_columns[:1]}
        columns = ["completed_at", "updated_at", "created_at"]
        found = self._transport.select(
            TABLE,
            columns,
            where={"status": ENDED, **unpurged},
            before=(ended, moment_before.isoformat()),
            limit=_MOST_COUNTED,
        )
        times = [moment(row["completed_at"] or row["updated_at"] or row["created_at"]) for row in found]
        count = sum(time is not None and time < moment_before for time in times)
        return count, len(found) < _MOST_COUNTED

    def tracks_of(self, user_id: str) -> list[Row]:
        """A customer's tracks: `id`, and `audio_url` and `preview_url` where the table has them."""
        names = ["id", *(name for name in ("audio_url", "preview_url") if self.has_column("tracks", name))]
        return self._transport.select("tracks", names, where={"user_id": user_id})

    def saved_track(self, track_id: str, user_id: str) -> Row | None:
        """What a track's row says of its sound, its JSON columns as text."""
        have = [name for name in (*TRACK_TEXT, *TRACK_JSON) if self.has_column("tracks", name)]
        wanted: list[str | AsText] = [AsText(name) if name in TRACK_JSON else name for name in have]
        rows = self._transport.select("tracks", ["id", *wanted], where={"id": track_id, "user_id": user_id}, limit=1)
        return rows[0] if rows else None

    def canary_rows(self, user_id: str | None) -> CanaryRows:
        """What places a canary."""
        return CanaryRows(self._transport, self.enqueue, user_id)

    def _sure_rows(self, where: Mapping[str, Any], limit: int, *, oldest_first: bool = False) -> list[JobRow]:
        """Read rows; of one that is too large for an answer no more than its id and status."""
        try:
            return self._job_rows(where, limit, oldest_first=oldest_first)
        except AnswerTooLargeError:
            found = self._transport.select(
                TABLE,
                ["id", "status"],
                where=where,
                newest_first=not oldest_first,
                oldest_first=oldest_first,
                limit=limit,
            )
        ids = [str(each["id"]) for each in found]
        rows = {row.job_id: row for row in _halved(ids, lambda some: self._job_rows({"id": some}, len(some)))}
        return [rows.get(str(each["id"])) or _bare(each) for each in found]

    def _with_details(self, rows: Sequence[JobRow], group: Group) -> list[ListedJob]:
        if not rows:
            return []
        tracks = [row.track_id for row in rows if row.track_id is not None]
        titles = dict(_halved(tracks, lambda some: list(self.titles(some).items())))
        columns: list[str | AsText] = ["id"]
        if group == "done":
            columns += [AsText("result", name) for name in ("duration", "speech", "url", "audioUrl")]
        payload = self.payload_columns[:1]
        columns += [AsText(name, member) for name in payload for member in ("durationMin", "metadata")]
        ids = [row.job_id for row in rows]
        found = _halved(ids, lambda some: self._transport.select(TABLE, columns, where={"id": some}))
        details = {str(each["id"]): each for each in found}
        return [_listed(row, group, titles.get(row.track_id or ""), details.get(row.job_id, {})) for row in rows]


def group_of(row: JobRow) -> Group:
    """The group that a row is listed in."""
    if row.status == "pending" and row.parked_cause is not None:
        return "parked"
    return next((group for group in GROUPS if _STATUS[group] == row.status), "waiting")


def _listed(row: JobRow, group: Group, title: str | None, details: Row) -> ListedJob:
    asked_min = _number(details.get("durationMin"))
    asked_s = row.length_s if row.length_s is not None else None if asked_min is None else 60 * asked_min
    metadata = read_object(details.get("metadata"), longest=_LONGEST_OBJECT)
    speech = read_object(details.get("speech"), longest=_LONGEST_OBJECT)
    delivered_s, characters = _number(details.get("duration")), _number(speech.get("characters_asked"))
    return ListedJob(
        row=row,
        group=group,
        title=title or text_or_empty(metadata.get("title")) or None,
        length_s=asked_s if delivered_s is None else delivered_s,
        characters=None if characters is None else int(characters),
        cents=_number(speech.get("cents")),
        path=details.get("url") or details.get("audioUrl"),
    )


def _halved(ids: Sequence[str], read: Callable[[tuple[str, ...]], list[T]]) -> list[T]:
    """Read for all ids, a hundred at once; where the answer is too large for each half, down to one that is left out.

    Over HTTP the ids stand in the address. Customers write rows: one of them must not hide those of all others.
    """
    if not ids:
        return []
    if len(ids) > _AT_ONCE:
        return _halved(ids[:_AT_ONCE], read) + _halved(ids[_AT_ONCE:], read)
    try:
        return read(tuple(ids))
    except AnswerTooLargeError:
        middle = len(ids) // 2
        return _halved(ids[:middle], read) + _halved(ids[middle:], read) if middle else []


def _bare(row: Row) -> JobRow:
    return JobRow(
        job_id=str(row["id"]),
        status=str(row["status"]),
        progress=0,
        stage=None,
        error="(its row is too large to be read)",
        track_id=None,
        user_id=None,
        created_at=None,
        started_at=None,
        completed_at=None,
    )


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _uuid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
