"""What one project's Storage holds and has been asked for, who may read and write there, and its faults."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote

from standins.keys import role_of
from standins.storage_refusals import Refused, duplicate, no_bucket, no_key, no_object, no_rights

MB = 1024 * 1024


@dataclass
class Bucket:
    """A row of storage.buckets."""

    name: str
    public: bool = False
    file_size_limit: int | None = None
    allowed_mime_types: list[str] | None = None


@dataclass
class Object:
    """A row of storage.objects, and its bytes."""

    data: bytes
    content_type: str
    cache_control: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


@dataclass
class Upload:
    """A resumable upload under way."""

    bucket: str
    key: str
    length: int
    content_type: str
    cache_control: str
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that fit.

    Attributes
    ----------
    kind : str
        ``answer``: answer with `status` and `body` instead of doing anything. ``drop``: close the connection
        without answering or doing anything. ``drop after``: do it, then close instead of answering. ``drop
        within``: take `after_bytes` of the body (a resumable upload keeps them), then close. ``stall``: say
        nothing for `seconds`, then close. ``truncate``: send the head and `after_bytes` of the body, then
        close. ``drip``: send the body a byte at a time with `seconds` between. ``meanwhile``: do it, but call
        `event` first.
    """

    method: str
    path: str  # a part of it; of a resumable upload's, also a part of ``bucket/key``
    kind: str
    times: int = 1
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_bytes: int = 0
    seconds: float = 0.0
    event: Callable[[], object] | None = None


class StorageProject:
    """What one project's Storage holds and was asked for, and what will go wrong there.

    Parameters
    ----------
    buckets : Bucket
        What there is at first.
    largest : int
        The project's own limit in bytes.

    Attributes
    ----------
    objects : dict
        (bucket, key) to what is stored.
    asked : list of str
        ``"POST /object/audio-renders/…"``, in order.
    statuses : list of int
        Of the answers that were not faults.
    pieces : list of int
        Length of each body that a PATCH promised.
    begun : list of str
        ``bucket/key`` of each resumable upload that was begun.
    keys : list of str
        The apikey of each request; empty where there was none.
    silent : int
        How many connections were kept after a refusal without reading or answering anything more.
    """

    def __init__(self, *buckets: Bucket, largest: int = 50 * MB) -> None:
        self._lock = threading.Lock()
        self.reset(*buckets, largest=largest)

    def reset(self, *buckets: Bucket, largest: int = 50 * MB) -> None:
        """As new, for the next test of one server."""
        self.buckets = {bucket.name: bucket for bucket in buckets}
        self.largest = largest
        self.objects: dict[tuple[str, str], Object] = {}
        self.uploads: dict[str, Upload] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.pieces: list[int] = []
        self.statuses: list[int] = []
        self.keys: list[str] = []
        self.upserts: list[str] = []
        self.begun: list[str] = []
        self.silent = 0
        self.location_prefix: str | None = None  # what a badly set up proxy makes of Location

    def put(self, bucket: str, key: str, data: bytes, content_type: str = "audio/mpeg") -> Object:
        """Have an object in place."""
        stored = Object(data, content_type, "max-age=3600")
        self.objects[bucket, key] = stored
        return stored

    @staticmethod
    def signed(bucket: str, key: str, *, expired: bool = False) -> str:
        """Path and query of a signed URL; the token is good for this object only."""
        path = f"/storage/v1/object/sign/{quote(bucket)}/{quote(key)}"
        return f"{path}?token={'expired.' if expired else ''}{token_of(bucket, key)}"

    def fault(self, method: str, path: str, kind: str, **how: object) -> Fault:
        """Have the next request that fits go wrong; see `Fault`."""
        self.faults.append(Fault(method, path, kind, **how))  # type: ignore[arg-type]
        return self.faults[-1]

    def next_fault(self, method: str, path: str, place: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.method == method and (fault.path in path or fault.path in place) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    @staticmethod
    def role(handler: BaseHTTPRequestHandler) -> str:
        try:
            role = role_of({name.lower(): value for name, value in handler.headers.items()})
        except PermissionError:
            raise no_key() from None
        if role is None:
            raise Refused(403, "AccessDenied", "Unauthorized", "Invalid Compact JWS")
        return role

    def may_write(self, handler: BaseHTTPRequestHandler) -> None:
        if self.role(handler) != "service_role":
            raise no_rights()

    def find_bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise no_bucket()
        return self.buckets[name]

    def find_object(self, bucket: str, key: str) -> Object:
        self.find_bucket(bucket)
        if (bucket, key) not in self.objects:
            raise no_object()
        return self.objects[bucket, key]

    def may_upload(self, bucket: str, key: str, handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("x-upsert") != "true" and (bucket, key) in self.objects:
            raise duplicate()


def token_of(bucket: str, key: str) -> str:
    return f"eyJ.{hashlib.sha256(f'{bucket}/{key}'.encode()).hexdigest()}.x"


def check_type(bucket: Bucket, content_type: str) -> None:
    allowed = bucket.allowed_mime_types
    kind = content_type.partition("/")[0]
    if allowed and content_type not in allowed and f"{kind}/*" not in allowed:
        raise Refused(415, "InvalidMimeType", "invalid_mime_type", f"mime type {content_type} is not supported")


def production_buckets() -> tuple[Bucket, ...]:
    """Those of the contract, with the limits that are met in production, and the one of customers' recordings."""
    older = ["audio/mpeg", "audio/mp3", "audio/wav"]
    return (
        Bucket("audio-renders", allowed_mime_types=list(older)),
        Bucket("track-previews", public=True, file_size_limit=5 * MB, allowed_mime_types=list(older)),
        Bucket("background-music", public=True),
        Bucket("voice-uploads"),
    )
