"""The rows of a canary: a track and a job of nobody's, or of an account of the operator's; placed, read and removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.errors import ConfigurationError
from worker.queue.transport import TABLE, AsText, StatementRefusedError, Transport

_TITLE = "Canary of mindscript-worker"
_NOTIFICATIONS = "notifications_queue"
_NOBODYS = (
    "the database takes no job that is nobody's ({}): name an account of yours with --user; the app will notify it"
)


@dataclass(frozen=True)
class Placed:
    """A canary's rows."""

    job_id: str
    track_id: str


class CanaryRows:
    """Rows for `user_id`; None: nobody's, which no customer sees."""

    def __init__(self, transport: Transport, enqueue: Callable[..., str], user_id: str | None) -> None:
        self._transport = transport
        self._enqueue = enqueue
        self._user_id = user_id

    def check_that_it_can_end(self) -> None:
        """End a row of nobody's that no worker can claim, as a worker will: the app's triggers may refuse to.

        Raises
        ------
        ConfigurationError
            If they do. A worker that meets that would back off from all jobs.
        """
        if self._user_id is not None:
            return
        job_id = None
        try:
            job_id = self._transport.insert(TABLE, {"status": "processing"})
            self._transport.update(TABLE, {"status": "failed", "error": _TITLE}, where={"id": job_id})
        except StatementRefusedError as error:
            raise ConfigurationError(_NOBODYS.format(error.message), code=error.code) from None
        finally:
            if job_id is not None:
                self._remove_notifications(job_id)
                self._transport.delete(TABLE, where={"id": job_id})

    def music(self) -> dict[str, str] | None:
        """Some music of the catalogue, as the app names it; None where there is none."""
        try:
            rows = self._transport.select(
                "background_tracks", ["id", "title", "url"], where={"is_active": True}, limit=10
            )
        except ConfigurationError:
            return None
        return next(
            ({"id": str(row["id"]), "name": str(row["title"]), "url": str(row["url"])} for row in rows if row["url"]),
            None,
        )

    def place(self, payload: Mapping[str, Any]) -> Placed:
        """Add the track and the job."""
        values = {"title": _TITLE, "user_id": self._user_id}
        track_id = self._transport.insert(
            "tracks", {name: value for name, value in values.items() if value is not None}
        )
        try:
            return Placed(self._enqueue(payload, track_id=track_id, user_id=self._user_id), track_id)
        except BaseException:
            self._transport.delete("tracks", where={"id": track_id})
            raise

    def delivered(self, placed: Placed) -> str | None:
        """The file that the track's row has."""
        rows = self._transport.select("tracks", ["audio_url"], where={"id": placed.track_id}, limit=1)
        return rows[0]["audio_url"] if rows else None

    def remove(self, placed: Placed) -> None:
        """Remove all rows, and what the app's trigger has written about them."""
        self._remove_notifications(placed.job_id)
        self._transport.delete(TABLE, where={"id": placed.job_id})
        self._transport.delete("tracks", where={"id": placed.track_id})

    def _remove_notifications(self, job_id: str) -> None:
        try:
            rows = self._transport.select(
                _NOTIFICATIONS, ["id", AsText("data", "job_id")], where={"user_id": self._user_id}, newest_first=True
            )
            found = tuple(str(row["id"]) for row in rows if row["job_id"] == job_id)
            if found:
                self._transport.delete(_NOTIFICATIONS, where={"id": found})
        except ConfigurationError:
            return  # the app has no such table, or this role no right to it
