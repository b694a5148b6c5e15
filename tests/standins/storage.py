"""Supabase Storage, as far as the worker meets it, with the real wire forms; and the faults it has on bad
days.

`Storage` answers requests below ``/storage/v1``. Its error bodies, statuses and order of checks are those of
supabase/storage (src/internal/errors/codes.ts, src/http/error-handler.ts, src/storage/uploader.ts,
src/http/routes/tus): most failures are HTTP 400 with the true status as text in the body; the resumable
routes use true statuses and bare text. An upload that it refuses is answered as soon as that is known, before its body
has been read; what follows on that connection is never read, and never answered. Before it stands the gateway, which
knows the project's keys (`standins.keys`). `standins.http_server.serve` mounts it beside other stand-ins.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, unquote, urlsplit

from standins.http_server import JSON, answer, go_silent, hang_up, read_the_rest, sent
from standins.keys import role_of

MB = 1024 * 1024
_FORM_BYTES = 2000  # of a multipart form, beside the file


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


class Refused(Exception):  # noqa: N818
    """Storage says no: (true status, code, error, message); `body` where it is not Storage's own form."""

    def __init__(
        self, status: int, code: str, error: str, message: str, *, http: int = 400, body: bytes | None = None
    ) -> None:
        self.status, self.code, self.error, self.message, self.http = status, code, error, message, http
        self.body = body


def no_key() -> Refused:
    """The gateway's answer to a key that is none of the project's."""
    message = "Invalid API key"
    hint = "Double check your Supabase `anon` or `service_role` API key."
    body = json.dumps({"message": message, "hint": hint}).encode()
    return Refused(401, "", "", message, http=401, body=body)


def no_rights() -> Refused:
    """What row-level security makes of a write by a role that may not."""
    return Refused(403, "AccessDenied", "Unauthorized", "new row violates row-level security policy")


def no_bucket() -> Refused:
    return Refused(404, "NoSuchBucket", "Bucket not found", "Bucket not found")


def no_object() -> Refused:
    return Refused(404, "NoSuchKey", "not_found", "Object not found")


def duplicate() -> Refused:
    return Refused(409, "KeyAlreadyExists", "Duplicate", "The resource already exists")


def locked_body() -> bytes:
    return rendered(Refused(423, "ResourceLocked", "ResourceLocked", "The resource is locked"))


def rendered(refused: Refused) -> bytes:
    return json.dumps(
        {
            "statusCode": str(refused.status),
            "code": refused.code,
            "error": refused.error,
            "message": refused.message,
        }
    ).encode()


class Storage:
    """One project's Storage.

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
        return f"{path}?token={'expired.' if expired else ''}{_token(bucket, key)}"

    def fault(self, method: str, path: str, kind: str, **how: object) -> Fault:
        """Have the next request that fits go wrong; see `Fault`."""
        self.faults.append(Fault(method, path, kind, **how))  # type: ignore[arg-type]
        return self.faults[-1]

    # -- one request

    def handle(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        self.asked.append(f"{handler.command} {path}")
        self.keys.append(handler.headers.get("apikey", ""))
        fault = self._next_fault(handler.command, path, self._uploaded_to(handler, path))
        if fault and fault.event:
            fault.event()
        if fault and fault.kind in ("drop", "stall"):
            time.sleep(fault.seconds)
            return hang_up(handler)
        if fault and fault.kind == "answer":
            return self._refuse(handler, path, fault.status, fault.body, fault.headers)
        try:
            status, body, headers = self._route(handler, path, fault)
        except Refused as refused:
            if refused.body is not None:
                status, body, headers = refused.http, refused.body, {"Content-Type": "application/json"}
            elif path.startswith("/upload/resumable"):
                status, body, headers = (
                    refused.status,
                    refused.message.encode(),
                    {"Content-Type": "text/plain"},
                )
            else:
                status, body, headers = refused.http, rendered(refused), {"Content-Type": "application/json"}
            self.statuses.append(status)
            return self._refuse(handler, path, status, body, headers)
        except ConnectionError:
            return hang_up(handler)
        self.statuses.append(status)
        if fault and fault.kind == "drop after":
            return hang_up(handler)
        if fault and fault.kind == "truncate":
            return answer(handler, status, body, headers, only=fault.after_bytes)
        if fault and fault.kind == "drip":
            return answer(handler, status, body, headers, pause_s=fault.seconds)
        return answer(handler, status, body, headers)

    def _refuse(
        self, handler: BaseHTTPRequestHandler, path: str, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        """Answer at once; of an upload nothing more is read then, nor is anything answered on that connection.

        A body as short as what a server reads at a time has come with the head.
        """
        upload = path.startswith("/upload/") or (path.startswith("/object/") and handler.command == "POST")
        whole = getattr(handler, "body_is_read", False) or int(handler.headers.get("content-length") or 0) <= 65536
        if not upload or whole:
            read_the_rest(handler)
            return answer(handler, status, body, headers)
        with self._lock:
            self.silent += 1
        answer(handler, status, body, headers)
        go_silent(handler)

    def _uploaded_to(self, handler: BaseHTTPRequestHandler, path: str) -> str:
        """Where a resumable upload goes: its path does not tell."""
        if "upload-metadata" in handler.headers:
            metadata = _metadata(handler)
            return f"{metadata['bucketName']}/{metadata['objectName']}"
        upload = self.uploads.get(unquote(path.rpartition("/")[2]))
        return f"{upload.bucket}/{upload.key}" if upload else ""

    def _next_fault(self, method: str, path: str, place: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.method == method and (fault.path in path or fault.path in place) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _route(
        self, handler: BaseHTTPRequestHandler, path: str, fault: Fault | None
    ) -> tuple[int, bytes, dict[str, str]]:
        method = handler.command
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] == "upload":
            return self._resumable(handler, parts, fault)
        if parts[0] == "bucket" and method == "GET":
            if self._role(handler) != "service_role":
                raise no_bucket()
            return 200, json.dumps(self._bucket_row(self._bucket(parts[1]))).encode(), JSON
        if parts[0] != "object" or len(parts) < 2:
            raise Refused(404, "", "Not Found", f"Route {method}:{path} not found", http=404)
        if method == "GET" and parts[1] == "info":
            return self._info(handler, parts[2], "/".join(parts[3:]))
        if method in ("GET", "HEAD"):
            return self._read(handler, parts)
        if method == "POST" and parts[1] == "list":
            return self._list(handler, parts[2])
        if method == "POST" and parts[1] == "sign":
            return self._sign(handler, parts[2], "/".join(parts[3:]))
        if method == "POST":
            return self._create(handler, parts[1], "/".join(parts[2:]), fault)
        if method == "DELETE":
            return self._remove(handler, parts[1])
        raise Refused(404, "", "Not Found", f"Route {method}:{path} not found", http=404)

    @staticmethod
    def _role(handler: BaseHTTPRequestHandler) -> str:
        try:
            role = role_of({name.lower(): value for name, value in handler.headers.items()})
        except PermissionError:
            raise no_key() from None
        if role is None:
            raise Refused(403, "AccessDenied", "Unauthorized", "Invalid Compact JWS")
        return role

    def _may_write(self, handler: BaseHTTPRequestHandler) -> None:
        if self._role(handler) != "service_role":
            raise no_rights()

    def _bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise no_bucket()
        return self.buckets[name]

    @staticmethod
    def _bucket_row(bucket: Bucket) -> dict[str, object]:
        return {
            "id": bucket.name,
            "name": bucket.name,
            "owner": "",
            "public": bucket.public,
            "type": "STANDARD",
            "file_size_limit": bucket.file_size_limit,
            "allowed_mime_types": bucket.allowed_mime_types,
            "created_at": "2026-01-01T00:00:00.000Z",
            "updated_at": "2026-01-01T00:00:00.000Z",
        }

    def _object(self, bucket: str, key: str) -> Object:
        self._bucket(bucket)
        if (bucket, key) not in self.objects:
            raise no_object()
        return self.objects[bucket, key]

    def _info(self, handler: BaseHTTPRequestHandler, bucket: str, key: str) -> tuple[int, bytes, dict[str, str]]:
        # Storage looks for the object alone: of a missing bucket it says nothing here
        if self._role(handler) != "service_role" or (bucket, key) not in self.objects:
            raise no_object()
        found = self.objects[bucket, key]
        info = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{bucket}/{key}")),
            "name": key,
            "version": "1",
            "bucket_id": bucket,
            "size": len(found.data),
            "content_type": found.content_type,
            "cache_control": found.cache_control,
            "etag": found.etag,
            "metadata": {},
            "created_at": "2026-01-01T00:00:00.000Z",
        }
        return 200, json.dumps(info).encode(), JSON

    def _read(self, handler: BaseHTTPRequestHandler, parts: list[str]) -> tuple[int, bytes, dict[str, str]]:
        way = parts[1] if parts[1] in ("public", "sign", "authenticated") else ""
        bucket, key = parts[1 + bool(way)], "/".join(parts[2 + bool(way) :])
        if way == "sign":
            token = parse_qs(urlsplit(handler.path).query).get("token", [""])[0]
            if token.startswith("expired."):
                raise Refused(400, "InvalidJWT", "InvalidJWT", '"exp" claim timestamp check failed')
            if token != _token(bucket, key):
                raise Refused(400, "InvalidSignature", "InvalidSignature", "The signature is invalid")
        elif way == "public":
            if bucket not in self.buckets or not self.buckets[bucket].public:
                raise no_bucket()
        elif self._role(handler) != "service_role" and not self._bucket(bucket).public:
            raise no_object()
        found = self._object(bucket, key)
        headers = {"ETag": found.etag, "Cache-Control": found.cache_control, "Accept-Ranges": "bytes"}
        if handler.headers.get("if-none-match") == found.etag:
            return 304, b"", headers
        return 200, found.data, {**headers, "Content-Type": found.content_type}

    def _sign(self, handler: BaseHTTPRequestHandler, bucket: str, key: str) -> tuple[int, bytes, dict[str, str]]:
        """The route of src/http/routes/object/getSignedURL.ts: only for an object that the caller may read."""
        asked = json.loads(b"".join(sent(handler, None)))
        if int(asked["expiresIn"]) < 1:
            raise Refused(400, "InvalidRequest", "Error", "body/expiresIn must be >= 1")
        if self._role(handler) != "service_role":
            raise no_object()
        self._object(bucket, key)
        path = self.signed(bucket, key).removeprefix("/storage/v1")
        return 200, json.dumps({"signedURL": path}).encode(), JSON

    def _list(self, handler: BaseHTTPRequestHandler, bucket: str) -> tuple[int, bytes, dict[str, str]]:
        """The search of src/http/routes/object/listObjects.ts and storage.search: folders without regard to case.

        Row-level security hides every row from other keys; of a missing bucket it says nothing.
        """
        asked = json.loads(b"".join(sent(handler, None)))
        sort = asked.get("sortBy", {"column": "name"})
        if not isinstance(asked.get("prefix"), str):
            raise Refused(400, "InvalidRequest", "Error", "body must have required property 'prefix'")
        if not (
            isinstance(asked.get("limit", 100), int) and asked.get("limit", 100) >= 1 and asked.get("offset", 0) >= 0
        ):
            raise Refused(400, "InvalidRequest", "Error", "body/limit must be >= 1")
        if sort["column"] not in ("name", "updated_at", "created_at", "last_accessed_at"):
            raise Refused(
                400, "InvalidRequest", "Error", "body/sortBy/column must be equal to one of the allowed values"
            )
        prefix = asked["prefix"] and asked["prefix"].rstrip("/") + "/"
        rows: dict[tuple[bool, str], dict[str, object]] = {}
        seen = self.objects if self._role(handler) == "service_role" else {}
        for held_in, key in seen:
            if held_in == bucket and key.lower().startswith((prefix + asked.get("search", "")).lower()):
                name, _, below = key[len(prefix) :].partition("/")
                stamp = None if below else "2026-01-01T00:00:00.000Z"
                row = {"name": name, "id": None if below else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{bucket}/{key}"))}
                times = dict.fromkeys(("updated_at", "created_at", "last_accessed_at"), stamp)
                rows[bool(below), name if below else key] = {**row, **times, "metadata": None if below else {}}
        found = sorted(rows.values(), key=lambda row: str(row["name"]).lower())[asked.get("offset", 0) :]
        return 200, json.dumps(found[: min(asked.get("limit", 100), 1500)]).encode(), JSON

    def _create(
        self, handler: BaseHTTPRequestHandler, bucket: str, key: str, fault: Fault | None
    ) -> tuple[int, bytes, dict[str, str]]:
        self._may_write(handler)
        self.upserts.append(handler.headers.get("x-upsert", ""))
        row = self._bucket(bucket)
        self._may_upload(bucket, key, handler)
        stop = fault.after_bytes if fault and fault.kind == "drop within" else None
        form, body, checked = handler.headers.get("content-type", ""), bytearray(), False
        for slice_ in sent(handler, stop):  # the file's type and size are judged as they come
            body += slice_
            if not checked and (checked := b"filename=" in body and b"\r\n\r\n" in body.partition(b"filename=")[2]):
                _check_type(row, _multipart(form, bytes(body))[1])
            if len(body) > min(self.largest, row.file_size_limit or self.largest) + _FORM_BYTES:
                raise _too_large()
        data, content_type, cache_s = _multipart(form, bytes(body))
        if len(data) > min(self.largest, row.file_size_limit or self.largest):
            raise _too_large()
        self.objects[bucket, key] = Object(data, content_type, f"max-age={cache_s}" if cache_s else "no-cache")
        return 200, json.dumps({"Id": str(uuid.uuid4()), "Key": f"{bucket}/{key}"}).encode(), JSON

    def _may_upload(self, bucket: str, key: str, handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("x-upsert") != "true" and (bucket, key) in self.objects:
            raise duplicate()

    def _remove(self, handler: BaseHTTPRequestHandler, bucket: str) -> tuple[int, bytes, dict[str, str]]:
        self._may_write(handler)
        self._bucket(bucket)
        prefixes = json.loads(b"".join(sent(handler, None)))["prefixes"]
        gone = [{"name": key} for key in prefixes if self.objects.pop((bucket, key), None)]
        return 200, json.dumps(gone).encode(), JSON

    # -- resumable

    def _resumable(
        self, handler: BaseHTTPRequestHandler, parts: list[str], fault: Fault | None
    ) -> tuple[int, bytes, dict[str, str]]:
        if handler.headers.get("tus-resumable") != "1.0.0":
            raise Refused(412, "", "", "Tus-Resumable Required\n")
        if handler.command != "HEAD":
            self._may_write(handler)
        if handler.command == "POST":
            return self._begin(handler)
        upload_id = parts[2] if len(parts) > 2 else ""
        upload = self.uploads.get(upload_id)
        if upload is None:
            raise Refused(404, "", "", "The file for this url was not found\n")
        if handler.command == "HEAD":
            return (
                200,
                b"",
                {
                    "Upload-Offset": str(len(upload.data)),
                    "Upload-Length": str(upload.length),
                    "Cache-Control": "no-store",
                },
            )
        return self._piece(handler, upload_id, upload, fault)

    def _begin(self, handler: BaseHTTPRequestHandler) -> tuple[int, bytes, dict[str, str]]:
        self.upserts.append(handler.headers.get("x-upsert", ""))
        metadata = _metadata(handler)
        bucket, key, length = (
            metadata["bucketName"],
            metadata["objectName"],
            int(handler.headers["upload-length"]),
        )
        row = self._bucket(bucket)
        if length > min(self.largest, row.file_size_limit or self.largest):
            raise Refused(413, "", "", "Maximum size exceeded\n")
        self._may_upload(bucket, key, handler)
        _check_type(row, metadata["contentType"])
        self.begun.append(f"{bucket}/{key}")
        upload_id = base64.urlsafe_b64encode(f"{bucket}/{key}/{uuid.uuid4()}".encode()).decode().rstrip("=")
        cache = metadata.get("cacheControl", "")
        self.uploads[upload_id] = Upload(
            bucket,
            key,
            length,
            metadata["contentType"],
            f"max-age={cache}" if cache.isdecimal() else "no-cache",
        )
        prefix = self.location_prefix or f"http://{handler.headers['host']}/storage/v1/upload/resumable"
        return 201, b"", {"Location": f"{prefix}/{upload_id}", "Tus-Resumable": "1.0.0"}

    def _piece(
        self, handler: BaseHTTPRequestHandler, upload_id: str, upload: Upload, fault: Fault | None
    ) -> tuple[int, bytes, dict[str, str]]:
        if handler.headers.get("content-type") != "application/offset+octet-stream":
            raise Refused(403, "", "", "Content-Type header required\n")
        self._may_upload(upload.bucket, upload.key, handler)
        if int(handler.headers["upload-offset"]) != len(upload.data):
            raise Refused(409, "", "", "Upload-Offset conflict\n")
        self.pieces.append(int(handler.headers["content-length"]))
        stop = fault.after_bytes if fault and fault.kind == "drop within" else None
        for slice_ in sent(handler, stop):
            upload.data += slice_
        headers = {"Upload-Offset": str(len(upload.data)), "Tus-Resumable": "1.0.0"}
        if len(upload.data) == upload.length:
            self.objects[upload.bucket, upload.key] = Object(
                bytes(upload.data), upload.content_type, upload.cache_control
            )
            del self.uploads[upload_id]  # Storage forgets an upload that is done
        return 204, b"", headers


def _too_large() -> Refused:
    return Refused(413, "EntityTooLarge", "Payload too large", "The object exceeded the maximum allowed size")


def _token(bucket: str, key: str) -> str:
    return f"eyJ.{hashlib.sha256(f'{bucket}/{key}'.encode()).hexdigest()}.x"


def _metadata(handler: BaseHTTPRequestHandler) -> dict[str, str]:
    items = (item.partition(" ") for item in handler.headers["upload-metadata"].split(","))
    return {name: base64.b64decode(value).decode() for name, _, value in items}


def _check_type(bucket: Bucket, content_type: str) -> None:
    allowed = bucket.allowed_mime_types
    kind = content_type.partition("/")[0]
    if allowed and content_type not in allowed and f"{kind}/*" not in allowed:
        raise Refused(415, "InvalidMimeType", "invalid_mime_type", f"mime type {content_type} is not supported")


def _multipart(content_type: str, body: bytes) -> tuple[bytes, str, str]:
    """The file, its type, and the cacheControl field of a form."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    assert found, f"expected multipart/form-data, received {content_type}"
    data, kind, cache_s = b"", "", ""
    for part in body.split(b"--" + found[1].encode())[1:]:  # of a body that is not whole yet, the last one may be cut
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(head)
        content = content.removesuffix(b"\r\n")
        if headers.get_param("name", header="content-disposition") == "cacheControl":
            cache_s = content.decode()
        elif headers.get_param("name", header="content-disposition") == "file":
            data, kind = content, headers.get_content_type()
    return data, kind, cache_s


def production_buckets() -> tuple[Bucket, ...]:
    """Those of the contract, with the limits that are met in production, and the one of customers' recordings."""
    older = ["audio/mpeg", "audio/mp3", "audio/wav"]
    return (
        Bucket("audio-renders", allowed_mime_types=list(older)),
        Bucket("track-previews", public=True, file_size_limit=5 * MB, allowed_mime_types=list(older)),
        Bucket("background-music", public=True),
        Bucket("voice-uploads"),
    )
