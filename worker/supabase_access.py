"""Where this project's Supabase is, and the key to it; shared by queue, storage, media and mail."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError
from worker.untrusted_json import read_object


@dataclass(frozen=True)
class Supabase:
    """One project: its origin (scheme, host and port, such as ``https://ref.supabase.co``) and the key.

    The key is the service role key, or a secret key (``sb_secret_…``), whose kind `supabase_of` has checked; it is sent
    nowhere but to the origin.
    """

    origin: str
    key: SecretStr

    def headers(self) -> dict[str, str]:
        """The headers that authorise a request; never log them."""
        key = self.key.get_secret_value()
        if key.startswith("sb_"):
            # Not a JWT: as a bearer token Storage and PostgREST refuse it; the gateway exchanges `apikey`.
            return {"apikey": key}
        return {"apikey": key, "Authorization": f"Bearer {key}"}


def supabase_of(config: Config) -> Supabase | None:
    """Read the two settings; None where neither is given.

    Raises
    ------
    ConfigurationError
        If one of the two is missing, the URL is not one, or the key is of a kind that cannot do the worker's work.
    """
    if config.supabase_url is None and config.supabase_service_role_key is None:
        return None
    if config.supabase_url is None or config.supabase_service_role_key is None:
        missing = "SUPABASE_URL" if config.supabase_url is None else "SUPABASE_SERVICE_ROLE_KEY"
        raise ConfigurationError(f"{missing} is not set; the other one is", code="configuration.variable")
    wrong = ConfigurationError(
        "SUPABASE_URL: expected an address like https://project.supabase.co", code="configuration.variable"
    )
    try:
        parts = urlsplit(config.supabase_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise wrong
    bracketed = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
    check_service_key(config.supabase_service_role_key)
    return Supabase(origin, config.supabase_service_role_key)


@dataclass(frozen=True)
class KeyKind:
    """The kind of a Supabase key as its form shows it; whether it is valid, only the project knows.

    The name is ``secret`` (``sb_secret_…``) or ``publishable`` (``sb_publishable_…``); of the JWTs ``service_role``,
    ``anon`` and, for any other role, ``other``; ``unknown`` for all else, such as the key of a self-hosted gateway. A
    JWT claims a role, and may expire.
    """

    name: str
    role: str | None = None
    expires_at: datetime | None = None

    @property
    def serves(self) -> bool:
        """Whether the worker can do its work with such a key."""
        return self.name in ("secret", "service_role", "unknown")


def key_kind(key: str) -> KeyKind:
    """Tell the kind of a Supabase key; nothing is verified or requested."""
    if key.startswith("sb_secret_"):
        return KeyKind("secret")
    if key.startswith("sb_publishable_"):
        return KeyKind("publishable")
    claims = _jwt_claims(key)
    role = claims.get("role")
    if not isinstance(role, str):
        return KeyKind("unknown")
    return KeyKind(role if role in ("service_role", "anon") else "other", role, _moment(claims.get("exp")))


def check_service_key(key: SecretStr) -> None:
    """Refuse a key that row-level security binds: with it the worker would see no job and store no file.

    Raises
    ------
    ConfigurationError
        Naming the variable and the key's kind, never the key.
    """
    kind = key_kind(key.get_secret_value())
    if kind.serves:
        return
    found = "a publishable key" if kind.name == "publishable" else f"a key of the role {(kind.role or '')[:40]!r}"
    raise ConfigurationError(
        f"SUPABASE_SERVICE_ROLE_KEY: found {found}, needed is a secret key (sb_secret_…) or the service_role key; "
        "the dashboard has both under Settings, API Keys",
        code="configuration.key",
    )


def _jwt_claims(key: str) -> dict[str, object]:
    """The claims of a JWT; none where it is no JWT."""
    parts = key.split(".")
    with contextlib.suppress(ValueError):
        if len(parts) == 3:
            return read_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return {}


def _moment(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # beyond the year 9999: it does not end
        return None


def is_loopback(host: str) -> bool:
    """Whether a host's name says that it is this machine; nothing is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
