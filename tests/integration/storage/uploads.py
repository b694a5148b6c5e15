"""Files to upload, and what a stand-in of Storage saw of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from standins.storage import Storage

from worker.storage.base import Stored
from worker.storage.supabase_storage import SupabaseStorage

KEY = "tracks/t1/j1-0123.mp3"


def track(folder: Path, size: int, name: str = "track.mp3") -> Path:
    """Bytes that differ from piece to piece, so that a piece in the wrong place is noticed."""
    path = folder / name
    with path.open("wb") as file:
        for block in range(-(-size // 32)):
            file.write(hashlib.sha256(str(block).encode()).digest())
        file.truncate(size)
    return path


def put(ours: SupabaseStorage, path: Path, key: str = KEY, bucket: str = "audio-renders", **how: object) -> Stored:
    return ours.put(path, key, bucket=bucket, content_type=str(how.pop("content_type", "audio/mpeg")), **how)  # type: ignore[arg-type]


def posts(storage: Storage) -> list[str]:
    return [asked for asked in storage.asked if asked.startswith("POST")]


def open_connections(origin: str) -> int:
    """How many connections this process has to a server in it."""
    port = urlsplit(origin).port
    lines = psutil.Process().net_connections("tcp")
    return sum(bool(line.raddr) and line.raddr.port == port and line.status == "ESTABLISHED" for line in lines)
