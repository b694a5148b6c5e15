"""Plain mode's track writing: the track and the result of a completed job, and their repair after a worker's death."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loguru import logger

from worker.errors import ConfigurationError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim
from worker.queue.transport import TABLE, Transport, moment, text_of
from worker.untrusted_json import read_object

UNFINISHED_STAGE = "Finalizing"  # of a completed row whose track is still to be written
_FINISHED_STAGE = "Complete"
_LIVE = ("pending", "processing", "completed")
_YOUNGER_LIMIT = 50


class TrackWriter:
    """Writes what comes after `complete_job`: the track's row, then the whole result."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._seen: set[tuple[str, str]] = set()

    def columns(self, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the columns the table has, in this order. A missing one may be added at any time."""
        for name in columns:
            if (table, name) not in self._seen and self._transport.has_column(table, name):
                self._seen.add((table, name))
        return tuple(name for name in columns if (table, name) in self._seen)

    def is_superseded(self, claim: Claim) -> bool:
        """Whether the customer has a younger job for the same track that has completed, runs or waits."""
        rows = self._transport.select(
            TABLE,
            ["id", "status", "created_at"],
            where={"track_id": claim.track_id, "user_id": claim.user_id},
            newest_first=True,
            limit=_YOUNGER_LIMIT,
        )
        own = next((row for row in rows if str(row["id"]) == claim.job_id), None)
        created = None if own is None else moment(own["created_at"])
        younger = [row for row in rows if created is None or (moment(row["created_at"]) or created) > created]
        return any(str(row["status"]) in _LIVE for row in younger)

    def write(self, track_id: str | None, user_id: str | None, track: Mapping[str, Any]) -> None:
        """Write the values whose columns the table has: a missing `preview_url` must not cost a finished job."""
        if track_id is None or not track:
            return
        wanted = {**track, "updated_at": "now"}  # Postgres reads the word as its own time
        values = {name: wanted[name] for name in self.columns("tracks", tuple(wanted))}
        if values:
            self._transport.update("tracks", values, where={"id": track_id, "user_id": user_id})

    def write_result(self, job_id: str, result: Mapping[str, Any]) -> None:
        """Write the whole result, after which nothing is left to repair."""
        self._transport.update(TABLE, {"result": dict(result), "stage": _FINISHED_STAGE}, where=_unfinished(job_id))

    def repair_all(self) -> None:
        """Finish the rows that were completed by a worker that died before it wrote their track."""
        where = {"status": "completed", "stage": UNFINISHED_STAGE}
        for row in self._transport.select(TABLE, ["id"], where=where, limit=100):
            job_id = str(row["id"])
            with logged_refusal(job_id), self._transport.atomically():
                if self.repair(job_id):
                    logger.bind(event="track.repaired", job=job_id).warning(
                        "job {}: its worker died before the track was written; written now", job_id
                    )

    def repair(self, job_id: str) -> bool:
        """Write the track and the result of a completed row from what `finish` left in it; False if nothing is left.

        Customers can write the row, so only names of files that this job has made are taken from it.
        """
        rows = self._transport.select(TABLE, ["track_id", "user_id"], where=_unfinished(job_id), limit=1)
        text, _ = self._transport.json_text(TABLE, "result", row_id=job_id, limit_bytes=PAYLOAD_LIMIT_BYTES)
        result = read_object(text)
        notes = result.pop("worker", None)
        if not rows:
            return False
        track = notes.get("track") if isinstance(notes, dict) else None
        audio, made_here = result.get("audioUrl"), f"/{job_id}-"
        if isinstance(track, dict) and isinstance(audio, str) and made_here in audio:
            own: dict[str, Any] = {"audio_url": audio, "status": "published"}
            if made_here in str(track.get("preview_url")):
                own["preview_url"] = track["preview_url"]
            if isinstance(track.get("duration_seconds"), int):
                own["duration_seconds"] = track["duration_seconds"]
            if track:  # else the job was superseded
                self.write(text_of(rows[0]["track_id"]), text_of(rows[0]["user_id"]), own)
            result["url"] = audio
        self.write_result(job_id, result)
        return True


@contextmanager
def logged_refusal(job_id: str) -> Iterator[None]:
    """Log what the database refuses to write to one row, so that the next row's turn comes."""
    try:
        yield
    except ConfigurationError as error:
        logger.bind(event="rescue.refused", job=job_id).error("job {}: {}", job_id, error.message)


def _unfinished(job_id: str) -> dict[str, Any]:
    return {"id": job_id, "status": "completed", "stage": UNFINISHED_STAGE}
