"""What plain mode reads for a job: its payload and track, the catalogue, and what its customer has had spoken."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from worker.errors import ConfigurationError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim
from worker.queue.listing import TRACK_JSON, TRACK_TEXT
from worker.queue.transport import TABLE, AsText, Row, Transport
from worker.untrusted_json import read_json, text_or_empty

_CATALOGUE = "background_tracks"
_DAY = timedelta(days=1)
_WITH_SCRIPTS = ("script", "layers", "tracks")


class JobReader:
    """Reads with whichever columns the tables have: `columns` says which of those it is given."""

    def __init__(self, transport: Transport, columns: Callable[[str, tuple[str, ...]], tuple[str, ...]]) -> None:
        self._transport = transport
        self._columns = columns

    def payload(self, job_id: str) -> tuple[str | None, int | None]:
        """The payload's text; its size where that is over the limit."""
        for column in self._columns(TABLE, ("payload", "job_data")):
            text, size = self._transport.json_text(TABLE, column, row_id=job_id, limit_bytes=PAYLOAD_LIMIT_BYTES)
            if size is not None or text not in (None, "null"):
                return text, size
        return None, None

    def track_row(self, claim: Claim) -> Row | None:
        if claim.track_id is None:
            return None
        have = self._columns("tracks", (*TRACK_TEXT, *TRACK_JSON))
        wanted: list[str | AsText] = ["id", *(AsText(name) if name in TRACK_JSON else name for name in have)]
        where = {"id": claim.track_id, "user_id": claim.user_id}
        rows = self._transport.select("tracks", wanted, where=where, limit=1)
        return rows[0] if rows else None

    def catalogue(self, reference: str) -> str | None:
        keys = ["slug"]
        with suppress(ValueError):
            uuid.UUID(reference)
            keys.insert(0, "id")
        try:
            have = self._columns(_CATALOGUE, ("id", "slug", "url", "is_active"))
            wanted = [name for name in ("url", "is_active") if name in have]
            for key in keys:
                if key in have and "url" in have:
                    rows = self._transport.select(_CATALOGUE, wanted, where={key: reference}, limit=1)
                    if rows and rows[0].get("is_active", True) is not False and rows[0]["url"]:
                        return str(rows[0]["url"])
        except ConfigurationError as error:
            if error.code != "configuration.table":
                raise
        return None  # not there, or no such table

    def may_speak(self, claim: Claim, characters: int, limit: int) -> bool:
        """No column holds the sum, so the scripts of the customer's other jobs of the last 24 hours are counted."""
        since = (self._transport.now() - _DAY).isoformat()
        where = {"user_id": claim.user_id}
        spoken = 0
        for column in self._columns(TABLE, ("payload", "job_data")):
            wanted: list[str | AsText] = ["id", *(AsText(column, member) for member in _WITH_SCRIPTS)]
            rows = self._transport.select(TABLE, wanted, where=where, since=("started_at", since))
            spoken += sum(_script_characters(row) for row in rows if str(row["id"]) != claim.job_id)
        return spoken + characters <= limit


def _script_characters(row: Row) -> int:
    """The characters of all scripts of a payload: its own, those of its layers, and of an album those of each track."""
    of_payload = {
        "script": row["script"],
        "layers": read_json(row["layers"], longest=PAYLOAD_LIMIT_BYTES),
        "tracks": read_json(row["tracks"], longest=PAYLOAD_LIMIT_BYTES),
    }
    tracks = of_payload["tracks"]
    jobs = [{**of_payload, **track} for track in tracks if isinstance(track, dict)] if isinstance(tracks, list) else []
    return sum(
        len(text_or_empty(voice.get("script")))
        for job in (jobs or [of_payload])
        for voice in (job, *(job["layers"] if isinstance(job["layers"], list) else ()))
        if isinstance(voice, dict)
    )
