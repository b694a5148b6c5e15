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

import json
import re
import time
import uuid
from collections.abc import Mapping
from email.parser import BytesHeaderParser
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

from standins.http_server import JSON, answer, go_silent, hang_up, read_the_rest, sent
from standins.storage_project import Bucket, Fault, Object, StorageProject, check_type, token_of
from standins.storage_refusals import Refused, no_bucket, no_object, rendered, too_large
from standins.storage_resumable import resumable_upload, uploaded_to

_FORM_BYTES = 2000  # of a multipart form, beside the file


class Storage(StorageProject):
    """Answers the requests of one project's Storage."""

    def handle(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        self.asked.append(f"{handler.command} {path}")
        self.keys.append(handler.headers.get("apikey", ""))
        fault = self.next_fault(handler.command, path, uploaded_to(self, handler, path))
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

    def _route(
        self, handler: BaseHTTPRequestHandler, path: str, fault: Fault | None
    ) -> tuple[int, bytes, dict[str, str]]:
        method = handler.command
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] == "upload":
            return resumable_upload(self, handler, parts, fault)
        if parts[0] == "bucket" and method == "GET":
            if self.role(handler) != "service_role":
                raise no_bucket()
            return 200, json.dumps(self._bucket_row(self.find_bucket(parts[1]))).encode(), JSON
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

    def _info(self, handler: BaseHTTPRequestHandler, bucket: str, key: str) -> tuple[int, bytes, dict[str, str]]:
        # Storage looks for the object alone: of a missing bucket it says nothing here
        if self.role(handler) != "service_role" or (bucket, key) not in self.objects:
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
            if token != token_of(bucket, key):
                raise Refused(400, "InvalidSignature", "InvalidSignature", "The signature is invalid")
        elif way == "public":
            if bucket not in self.buckets or not self.buckets[bucket].public:
                raise no_bucket()
        elif self.role(handler) != "service_role" and not self.find_bucket(bucket).public:
            raise no_object()
        found = self.find_object(bucket, key)
        headers = {"ETag": found.etag, "Cache-Control": found.cache_control, "Accept-Ranges": "bytes"}
        if handler.headers.get("if-none-match") == found.etag:
            return 304, b"", headers
        return 200, found.data, {**headers, "Content-Type": found.content_type}

    def _sign(self, handler: BaseHTTPRequestHandler, bucket: str, key: str) -> tuple[int, bytes, dict[str, str]]:
        """The route of src/http/routes/object/getSignedURL.ts: only for an object that the caller may read."""
        asked = json.loads(b"".join(sent(handler, None)))
        if int(asked["expiresIn"]) < 1:
            raise Refused(400, "InvalidRequest", "Error", "body/expiresIn must be >= 1")
        if self.role(handler) != "service_role":
            raise no_object()
        self.find_object(bucket, key)
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
        seen = self.objects if self.role(handler) == "service_role" else {}
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
        self.may_write(handler)
        self.upserts.append(handler.headers.get("x-upsert", ""))
        row = self.find_bucket(bucket)
        self.may_upload(bucket, key, handler)
        stop = fault.after_bytes if fault and fault.kind == "drop within" else None
        form, body, checked = handler.headers.get("content-type", ""), bytearray(), False
        for slice_ in sent(handler, stop):  # the file's type and size are judged as they come
            body += slice_
            if not checked and (checked := b"filename=" in body and b"\r\n\r\n" in body.partition(b"filename=")[2]):
                check_type(row, _multipart(form, bytes(body))[1])
            if len(body) > min(self.largest, row.file_size_limit or self.largest) + _FORM_BYTES:
                raise too_large()
        data, content_type, cache_s = _multipart(form, bytes(body))
        if len(data) > min(self.largest, row.file_size_limit or self.largest):
            raise too_large()
        self.objects[bucket, key] = Object(data, content_type, f"max-age={cache_s}" if cache_s else "no-cache")
        return 200, json.dumps({"Id": str(uuid.uuid4()), "Key": f"{bucket}/{key}"}).encode(), JSON

    def _remove(self, handler: BaseHTTPRequestHandler, bucket: str) -> tuple[int, bytes, dict[str, str]]:
        self.may_write(handler)
        self.find_bucket(bucket)
        prefixes = json.loads(b"".join(sent(handler, None)))["prefixes"]
        gone = [{"name": key} for key in prefixes if self.objects.pop((bucket, key), None)]
        return 200, json.dumps(gone).encode(), JSON


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
