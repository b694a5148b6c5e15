"""Keys of a Supabase project, of each kind there is, and the role that each one stands for.

The JWTs have the true form (header, claims, signature) and the claims that Supabase writes; no secret has signed them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

_EXPIRES = 2_082_758_400  # 2036, as the dashboard makes them: ten years on


def jwt_key(role: str | None, **claims: object) -> str:
    """Make a key of the deprecated kind, which is a JWT."""

    def part(value: Mapping[str, object] | bytes) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    named = {} if role is None else {"role": role}
    body = {"iss": "supabase", "ref": "abcdefghijklmnopqrst", **named, "iat": 1_767_225_600, "exp": _EXPIRES, **claims}
    signature = bytes(range(32))
    return ".".join((part({"alg": "HS256", "typ": "JWT"}), part(body), part(signature)))


SERVICE_JWT = jwt_key("service_role")
ANON_JWT = jwt_key("anon")
USER_JWT = jwt_key("authenticated", sub="0b0e7a1e-6d3f-4a54-9d53-0f3b1b1a9b11", aud="authenticated")
SECRET_KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"
PUBLISHABLE_KEY = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"
OPAQUE_KEY = "service-role-key-for-tests"  # a self-hosted gateway takes any word its operator chose
OPAQUE_ANON_KEY = "anon-key-for-tests"

# The gateway puts a JWT in the place of the newer kinds, so what is behind it sees roles only.
ROLES = {
    OPAQUE_KEY: "service_role",
    OPAQUE_ANON_KEY: "anon",
    SERVICE_JWT: "service_role",
    ANON_JWT: "anon",
    USER_JWT: "authenticated",
    SECRET_KEY: "service_role",
    PUBLISHABLE_KEY: "anon",
}


def role_of(headers: Mapping[str, str]) -> str | None:
    """Whose request this is once the gateway has passed it on, by its two headers.

    Returns
    -------
    str or None
        None where the bearer token is no JWT that the project knows: Storage then says "Invalid Compact JWS".

    Raises
    ------
    PermissionError
        If the gateway itself refuses: no `apikey`, or one that it does not know.
    """
    key = headers.get("apikey")
    if key not in ROLES:
        raise PermissionError(key or "")
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    if not bearer:
        # of an older key the gateway makes no bearer token: the request goes on as anon
        return ROLES[key] if key.startswith("sb_") else "anon"
    return None if bearer.startswith("sb_") else ROLES.get(bearer)


def claims_of(headers: Mapping[str, str]) -> dict[str, object]:
    """The claims of the bearer token, as PostgREST hands them to the database; of the newer keys only the role."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    if bearer.count(".") == 2:
        body = bearer.split(".")[1]
        claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims
    return {"role": ROLES.get(headers.get("apikey", ""))}
