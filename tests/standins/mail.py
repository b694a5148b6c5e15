"""Resend's API and Supabase's auth admin API, as far as the worker's e-mails need them.

Both are plain functions of a request, to be mounted with `standins.http_server.serve`. Error bodies:
Resend's documentation, "Errors" and "Idempotency keys"; supabase/auth, internal/api/errors.go.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from standins.http_server import Request, Response, as_json
from standins.keys import role_of
from standins.postgrest import invalid_key

RESEND_KEY = "re_test_key"


@dataclass
class Resend:
    """Accepts e-mails.

    Attributes
    ----------
    sent : list of dict
        The e-mails that are sent: one for each idempotency key.
    asked : int
        Requests in all.
    next : list of Response
        Answers to give instead, in order.
    domains : list of tuple
        The account's domains, and the status of each.
    sending_only : bool
        Whether its key may do nothing else.
    """

    sent: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    next: list[Response] = field(default_factory=list)
    lose_answers: int = 0
    domains: list[tuple[str, str]] = field(default_factory=list)
    sending_only: bool = False
    _keys: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def __call__(self, request: Request) -> Response:
        self.asked += 1
        if self.next:
            return self.next.pop(0)
        if request.headers.get("authorization") != f"Bearer {RESEND_KEY}":
            return self.refused(401, "invalid_api_key", "API key is invalid")
        if (request.method, request.path) == ("GET", "/domains"):
            if self.sending_only:
                return self.refused(401, "restricted_api_key", "This API key is restricted to only send emails")
            domains = [{"id": str(uuid.uuid4()), "name": name, "status": status} for name, status in self.domains]
            return as_json(200, {"object": "list", "has_more": False, "data": domains})
        if (request.method, request.path) != ("POST", "/emails"):
            return self.refused(404, "not_found", "The requested endpoint does not exist")
        email = json.loads(request.body)
        for name in ("from", "to", "subject"):
            if not email.get(name):
                return self.refused(422, "missing_required_field", f"Missing `{name}` field.")
        key = request.headers.get("idempotency-key", str(uuid.uuid4()))
        body, email_id = self._keys.setdefault(key, (request.body, str(uuid.uuid4())))
        if body != request.body:
            message = "Same idempotency key used with a different request payload."
            return self.refused(409, "invalid_idempotent_request", message)
        if not any(seen["id"] == email_id for seen in self.sent):
            self.sent.append({**email, "id": email_id, "key": key})
        if self.lose_answers:
            self.lose_answers -= 1
            return Response(0)
        return as_json(200, {"id": email_id})

    @staticmethod
    def refused(status: int, name: str, message: str, **headers: str) -> Response:
        return as_json(status, {"statusCode": status, "name": name, "message": message}, **headers)


@dataclass
class Auth:
    """Knows users by their id; what is not said of one is as of a user who has confirmed an address.

    Bodies as supabase/auth answers GET /admin/users/{id} (internal/models/user.go): times that are not set are left
    out, an address or a phone that is not there is an empty text, `confirmed_at` is the earlier one of the two.
    """

    users: dict[str, str | None] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    next: list[Response] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        self.asked.append(request.path)
        if self.next:
            return self.next.pop(0)
        try:
            role = role_of(request.headers)
        except PermissionError:
            return invalid_key()
        if role is None:
            return as_json(403, {"code": 403, "error_code": "bad_jwt", "msg": "invalid JWT: token is malformed"})
        if role != "service_role":
            return as_json(403, {"code": 403, "error_code": "not_admin", "msg": "User not allowed"})
        user_id = request.path.removeprefix("/admin/users/")
        if user_id not in self.users:
            return as_json(404, {"code": 404, "error_code": "user_not_found", "msg": "User not found"})
        email = self.users[user_id] or ""
        user = {
            "id": user_id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": email,
            "email_confirmed_at": "2026-01-01T00:00:05.123456Z" if email else None,
            "phone": "",
            "confirmation_sent_at": "2026-01-01T00:00:00.120031Z",
            "confirmed_at": "2026-01-01T00:00:05.123456Z" if email else None,
            "last_sign_in_at": "2026-01-01T00:00:05.133001Z",
            "app_metadata": {"provider": "email", "providers": ["email"]},
            "user_metadata": {"email": email, "email_verified": bool(email), "sub": user_id},
            "identities": [],
            "created_at": "2026-01-01T00:00:00.000000Z",
            "updated_at": "2026-01-01T00:00:05.133901Z",
            "is_anonymous": False,
            **self.said.get(user_id, {}),
        }
        return as_json(200, {name: value for name, value in user.items() if value is not None})
