"""How Supabase Storage says no: its errors, and the bodies that they are answered with."""

from __future__ import annotations

import json


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


def too_large() -> Refused:
    return Refused(413, "EntityTooLarge", "Payload too large", "The object exceeded the maximum allowed size")
