"""Requests of a whole job to its project's Storage, and what goes wrong with them."""

from __future__ import annotations

from typing import Any

from standins.queued_jobs import CUSTOMER
from standins.storage_project import MB
from standins.storage_refusals import Refused, locked_body, no_bucket, rendered

LARGE = {"outputFormat": "wav", "durationMin": 0.7}  # over 6 MB, the most that goes up in one piece


def refused(status: int, code: str, message: str) -> dict[str, Any]:
    """Storage's own form of a failure."""
    body = rendered(Refused(status, code, code, message))
    return {"kind": "answer", "status": 400, "body": body, "headers": {"Content-Type": "application/json"}}


LOST_DATABASE = refused(544, "DatabaseTimeout", "The connection to the database timed out")
LOCKED = {"kind": "answer", "status": 400, "body": locked_body()}
TRACK = {"method": "POST", "path": "audio-renders/tracks/{track}"}
PREVIEW = {"method": "POST", "path": "track-previews/{track}"}
PIECE = {"method": "PATCH", "path": "audio-renders/tracks/{track}"}
OFFSET = {"method": "HEAD", "path": "audio-renders/tracks/{track}"}

RAIN = {"method": "GET", "path": "background-music/rain.flac"}
RECORDING = {"method": "GET", "path": f"voice-uploads/{CUSTOMER}/me.wav"}
BROKEN = {"kind": "drop within", "after_bytes": MB}
NO_BUCKET = {"kind": "answer", "status": 400, "body": rendered(no_bucket()), "times": 50}
ALWAYS = 10
