"""Where this project's Supabase is, and the key to it; shared by storage, media and mail."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError


@dataclass(frozen=True)
class Supabase:
    """One project.

    Attributes
    ----------
    origin : str
        Scheme, host and port, nothing after: ``https://ref.supabase.co``. The key is sent nowhere else.
    key : SecretStr
        The service role key, or a secret key (``sb_secret_…``).
    """

    origin: str
    key: SecretStr

    def headers(self) -> dict[str, str]:
        """What opens every door of the project; never log it."""
        key = self.key.get_secret_value()
        if key.startswith("sb_"):
            # Not a JWT: as a bearer token Storage refuses it ("Invalid Compact JWS"); the gateway swaps
            # `apikey`.
            return {"apikey": key}
        return {"apikey": key, "Authorization": f"Bearer {key}"}


def supabase_of(config: Config) -> Supabase | None:
    """Read the two settings; None where neither is given.

    Raises
    ------
    ConfigurationError
        If one of the two is missing, or the URL is not one.
    """
    if config.supabase_url is None and config.supabase_service_role_key is None:
        return None
    if config.supabase_url is None or config.supabase_service_role_key is None:
        missing = "SUPABASE_URL" if config.supabase_url is None else "SUPABASE_SERVICE_ROLE_KEY"
        raise ConfigurationError(f"{missing} is missing; the other one is set", code="configuration.variable")
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
    shown_host = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown_host}" + (f":{port}" if port else "")
    return Supabase(origin, config.supabase_service_role_key)


def is_loopback(host: str) -> bool:
    """Whether a host's name says that it is this machine; nothing is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
