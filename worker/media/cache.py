"""Downloads kept on disk by address and ETag.

One file per address and version: ``<hash of the place>-<hash of the whole address>-<the ETag, base64url>``. The name
holds everything, so that nothing can disagree with it. The place is the address without its signature.

Two addresses of one place may name two files, of two customers: `?token=` is a signature here and a choice there. An
ETag that a host made up (a version, a date) does not tell them apart. One that is the MD5 of the content does: where
the host has the same MD5, it has the same content. Such a file has ``md5`` in place of the second hash, and is offered
for every address of its place, so that a link that was signed anew costs no transfer (S3 and Supabase have such ETags).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from worker.disk_cache import DiskCache

_LONGEST_ETAG = 128
_OF_CONTENT = "md5"


@dataclass(frozen=True)
class Address:
    """Where a file comes from.

    Attributes
    ----------
    place : str
        Without the signature.
    whole : str
        As it is asked for.
    """

    place: str
    whole: str


@dataclass(frozen=True)
class Kept:
    """One version of what an address names."""

    path: Path
    etag: str
    used_at: float


class MediaCache:
    """The latest version of each file, up to so many bytes; 0 keeps nothing."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._disk = DiskCache(folder, max_bytes=max_bytes)

    def find(self, address: Address) -> Kept | None:
        """The newest version kept that an address may still name: to be asked after, by its ETag."""
        kept = []
        for middle in (_hashed(address.whole), _OF_CONTENT):
            start = f"{_hashed(address.place)}-{middle}-"
            for name, used_at in self._disk.names(start):
                with contextlib.suppress(ValueError):  # not of this cache
                    kept.append(Kept(self._disk.folder / name, _decoded(name.removeprefix(start)), used_at))
        return max(kept, key=lambda each: each.used_at, default=None)

    def hand_out(self, kept: Kept, to: Path) -> bool:
        """Give a job its own link; False if another process has just dropped the file."""
        return self._disk.hand_out(kept.path.name, to)

    def keep(self, file: Path, address: Address, etag: str) -> None:
        """Take a whole file in; where it does not fit, or has no usable ETag, nothing happens."""
        if not etag or len(etag) > _LONGEST_ETAG or not etag.isascii():
            return
        middle = _OF_CONTENT if _is_md5_of(file, etag) else _hashed(address.whole)
        start = f"{_hashed(address.place)}-{middle}-"
        name = f"{start}{base64.urlsafe_b64encode(etag.encode()).decode().rstrip('=')}"
        if self._disk.keep(name, file):
            for other, _ in self._disk.names(start):
                if other != name:
                    self._disk.drop(other)


def _is_md5_of(file: Path, etag: str) -> bool:
    digest = re.fullmatch(r'"([0-9a-f]{32})"', etag)  # W/"…" is no promise about bytes
    if digest is None:
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == digest[1]


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _decoded(etag: str) -> str:
    return base64.urlsafe_b64decode(etag + "=" * (-len(etag) % 4)).decode("ascii")
