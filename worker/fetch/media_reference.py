"""What a payload may point to: an object of this project's own storage, or https on an allowed host. Pure.

A reference is written by strangers. It is parsed once, here, into the very parts that are later used to
connect, so that no two parsers can disagree about where it leads; everything that is not plainly allowed is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from worker.errors import MediaError
from worker.supabase_access import is_loopback

# Letters, digits and hyphens (RFC 952, 1123), and the underscore that some buckets' hosts have.
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_OBJECT_PATH = re.compile(r"/storage/v1/object/(?:public/|sign/|authenticated/|)(?P<bucket>[^/]+)/(?P<key>.+)")
# Words that stand in a bucket's place in Storage's own routes.
_ROUTES = frozenset({"public", "sign", "authenticated", "info", "list", "list-v2", "upload", "copy", "move"})
_LONGEST_REFERENCE = 4096
# Storage's own limit on names.
_LONGEST_KEY = 1024
_SIGNATURES = frozenset({"token", "signature", "sig", "expires", "policy", "key-pair-id"})
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class StoredObject:
    """An object in one of this project's own buckets.

    Attributes
    ----------
    named : bool
        Given as a bare name, in the bucket the worker chose; else as a URL that names its bucket itself.
    """

    bucket: str
    key: str
    named: bool

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.bucket}/{self.key}"

    @property
    def identity(self) -> str:
        """The same for each way to name the object."""
        return self.shown


@dataclass(frozen=True)
class OutsideUrl:
    """An https URL on an allowed host.

    Attributes
    ----------
    host : str
        ASCII, lower case.
    target : str
        Path and query, percent-encoded, as it goes on the wire.
    """

    host: str
    target: str

    @property
    def shown(self) -> str:
        """For messages: without the query, which may hold a signature."""
        return f"https://{self.host}{self.target.partition('?')[0]}"

    @property
    def identity(self) -> str:
        """The URL without its signature: the same for each link to the same file."""
        path, _, query = self.target.partition("?")
        kept = [
            (name, value)
            for name, value in parse_qsl(query, keep_blank_values=True)
            if name.lower() not in _SIGNATURES and not name.lower().startswith(("x-amz-", "x-goog-"))
        ]
        return f"https://{self.host}{path}" + (f"?{urlencode(kept)}" if kept else "")


def parse_reference(
    reference: str,
    *,
    bucket: str,
    origin: str | None,
    hosts: Collection[str],
    closed_buckets: Collection[str] = (),
    what: str = "media",
) -> StoredObject | OutsideUrl:
    """Sort a reference.

    Parameters
    ----------
    reference : str
        An object name in `bucket`; a public, signed or authenticated URL of this project's storage; or an
        https URL.
    origin : str, optional
        Of this project's Supabase.
    hosts : collection of str
        MEDIA_HOSTS: exact names, or ``*.suffix`` for every name below one.
    closed_buckets : collection of str
        Own buckets that no reference may reach into, such as the one with all customers' finished tracks.
    what : str
        For messages: "music", "uploaded voice".

    Raises
    ------
    MediaError
        If it is anything else; code ``media.refused``.
    """
    text = reference.strip()
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON may hold half a surrogate pair
            raise refusal(what, "the reference", "is not valid text") from None
    if not text or len(text) > _LONGEST_REFERENCE:
        raise refusal(what, "the reference", f"is {'empty' if not text else 'too long'}")
    if any(ord(character) < 0x20 or ord(character) == 0x7F or character == "\\" for character in text):
        raise refusal(what, "the reference", "has control characters or backslashes")
    if ":" not in text.partition("/")[0] and not text.startswith("//"):
        return StoredObject(bucket, _checked_key(text, what), named=True)
    parts = _split(text, what)
    own = _own_object(parts, origin, what)
    if own is not None:
        if own.bucket in closed_buckets:
            raise refusal(what, own.shown, f"is in bucket {own.bucket!r}, which is not for media")
        return own
    return _outside(parts, hosts, what)


def refusal(what: str, shown: str, why: str) -> MediaError:
    """The one form of "we do not fetch that"."""
    return MediaError(
        f"{what}: {shown} {why}",
        code="media.refused",
        customer_message=f"The {what} of this order cannot be used. Please choose another one, or contact support.",
    )


def _split(text: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # both raise on nonsense, and only when they are looked at
    except ValueError:
        raise refusal(what, "the reference", "is not a valid URL") from None
    shown = f"{parts.scheme or '(no scheme)'}://{host or ''}{parts.path}"
    if parts.scheme not in ("https", "http"):
        raise refusal(what, f"a {parts.scheme or 'scheme-less'}: URL", "is not fetched; https is")
    if parts.username is not None:
        raise refusal(what, shown, "has credentials in it")
    if not host:
        raise refusal(what, shown, "names no host")
    return parts


def _own_object(parts: SplitResult, origin: str | None, what: str) -> StoredObject | None:
    if origin is None:
        return None
    project = urlsplit(origin)
    if _place(parts) != _place(project) and not _direct_storage_host(parts, project):
        return None
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if parts.scheme == "http" and not is_loopback(project.hostname or ""):
        raise refusal(what, shown, "is http; only https is fetched")
    found = _OBJECT_PATH.fullmatch(parts.path)
    if found is None:
        raise refusal(what, shown, "is on this project's Supabase, but is no object of its storage")
    bucket, key = _decoded(found["bucket"], what), _decoded(found["key"], what)
    if "/" in bucket or bucket in _ROUTES:
        raise refusal(what, shown, "names no bucket")
    return StoredObject(_checked_key(bucket, what), _checked_key(key, what), named=False)


def _place(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def _direct_storage_host(parts: SplitResult, project: SplitResult) -> bool:
    """A hosted project's storage has a second name, https://ref.storage.supabase.co."""
    reference, _, domain = (project.hostname or "").partition(".")
    return (
        domain == "supabase.co"
        and _place(parts) == ("https", f"{reference}.storage.supabase.co", 443)
        and project.scheme == "https"
    )


def _outside(parts: SplitResult, hosts: Collection[str], what: str) -> OutsideUrl:
    host = (parts.hostname or "").rstrip(".")
    shown = f"{parts.scheme}://{host}{parts.path}"
    if parts.scheme != "https":
        raise refusal(what, shown, "is http; only https is fetched")
    if parts.port not in (None, 443):
        raise refusal(what, shown, f"asks for port {parts.port}; only 443 is allowed")
    if not _HOST.fullmatch(host):
        raise refusal(what, shown, "has a host that is no plain name (write it in its xn-- form)")
    if not any(_matches(host, pattern) for pattern in hosts):
        raise refusal(what, shown, f"is on a host that MEDIA_HOSTS does not list ({host})")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return OutsideUrl(host, path + (f"?{query}" if query else ""))


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.lower().rstrip(".")
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def _decoded(text: str, what: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise refusal(what, "the reference", "is not UTF-8") from None


def _checked_key(key: str, what: str) -> str:
    """An object name that can leave neither its bucket nor, on disk, its folder."""
    parts = key.split("/")
    odd = any(ord(character) < 0x20 or ord(character) == 0x7F or character == "\\" for character in key)
    if odd or len(key) > _LONGEST_KEY or any(part in ("", ".", "..") for part in parts):
        raise refusal(what, repr(key[:80]), "is no object name")
    return key
