"""The routes of resumable uploads, /storage/v1/upload/resumable, as in src/http/routes/tus of supabase/storage."""

from __future__ import annotations

import base64
import uuid
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from standins.http_server import sent
from standins.storage_project import Fault, Object, StorageProject, Upload, check_type
from standins.storage_refusals import Refused


def resumable_upload(
    project: StorageProject, handler: BaseHTTPRequestHandler, parts: list[str], fault: Fault | None
) -> tuple[int, bytes, dict[str, str]]:
    if handler.headers.get("tus-resumable") != "1.0.0":
        raise Refused(412, "", "", "Tus-Resumable Required\n")
    if handler.command != "HEAD":
        project.may_write(handler)
    if handler.command == "POST":
        return _begin(project, handler)
    upload_id = parts[2] if len(parts) > 2 else ""
    upload = project.uploads.get(upload_id)
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
    return _piece(project, handler, upload_id, upload, fault)


def _begin(project: StorageProject, handler: BaseHTTPRequestHandler) -> tuple[int, bytes, dict[str, str]]:
    project.upserts.append(handler.headers.get("x-upsert", ""))
    metadata = _metadata(handler)
    bucket, key, length = (
        metadata["bucketName"],
        metadata["objectName"],
        int(handler.headers["upload-length"]),
    )
    row = project.find_bucket(bucket)
    if length > min(project.largest, row.file_size_limit or project.largest):
        raise Refused(413, "", "", "Maximum size exceeded\n")
    project.may_upload(bucket, key, handler)
    check_type(row, metadata["contentType"])
    project.begun.append(f"{bucket}/{key}")
    upload_id = base64.urlsafe_b64encode(f"{bucket}/{key}/{uuid.uuid4()}".encode()).decode().rstrip("=")
    cache = metadata.get("cacheControl", "")
    project.uploads[upload_id] = Upload(
        bucket,
        key,
        length,
        metadata["contentType"],
        f"max-age={cache}" if cache.isdecimal() else "no-cache",
    )
    prefix = project.location_prefix or f"http://{handler.headers['host']}/storage/v1/upload/resumable"
    return 201, b"", {"Location": f"{prefix}/{upload_id}", "Tus-Resumable": "1.0.0"}


def _piece(
    project: StorageProject, handler: BaseHTTPRequestHandler, upload_id: str, upload: Upload, fault: Fault | None
) -> tuple[int, bytes, dict[str, str]]:
    if handler.headers.get("content-type") != "application/offset+octet-stream":
        raise Refused(403, "", "", "Content-Type header required\n")
    project.may_upload(upload.bucket, upload.key, handler)
    if int(handler.headers["upload-offset"]) != len(upload.data):
        raise Refused(409, "", "", "Upload-Offset conflict\n")
    project.pieces.append(int(handler.headers["content-length"]))
    stop = fault.after_bytes if fault and fault.kind == "drop within" else None
    for slice_ in sent(handler, stop):
        upload.data += slice_
    headers = {"Upload-Offset": str(len(upload.data)), "Tus-Resumable": "1.0.0"}
    if len(upload.data) == upload.length:
        project.objects[upload.bucket, upload.key] = Object(
            bytes(upload.data), upload.content_type, upload.cache_control
        )
        del project.uploads[upload_id]  # Storage forgets an upload that is done
    return 204, b"", headers


def uploaded_to(project: StorageProject, handler: BaseHTTPRequestHandler, path: str) -> str:
    """Where a resumable upload goes: its path does not tell."""
    if "upload-metadata" in handler.headers:
        metadata = _metadata(handler)
        return f"{metadata['bucketName']}/{metadata['objectName']}"
    upload = project.uploads.get(unquote(path.rpartition("/")[2]))
    return f"{upload.bucket}/{upload.key}" if upload else ""


def _metadata(handler: BaseHTTPRequestHandler) -> dict[str, str]:
    items = (item.partition(" ") for item in handler.headers["upload-metadata"].split(","))
    return {name: base64.b64decode(value).decode() for name, _, value in items}
