"""What a payload may point to: an object of this project's own storage, or https on an allowed host. Pure.

Customers write references. A reference is parsed once, here, into the parts that are later used to connect, so that no
two parsers can disagree about where it leads. What is not plainly allowed is refused. The service key can read every
customer's files, so a `Reach` limits what it is used for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from worker.errors import MediaError
from worker.supabase_access import is_loopback

# Letters, digits and hyphens (RFC 952, 1123), and the underscore that some buckets' hosts have.
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_OBJECT_PATH = re.compile(
    r"/storage/v1/object/(?:(?P<way>public|sign|authenticated)/|)(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL
)
# A storage URL with another URL where the object's name belongs: code that took `url` for an object name made it.
_WRAPPED = re.compile(
    r"https?://[^/?#]*/storage/v1/object/(?:public/|sign/|authenticated/|)[^/?#]+/(?P<inner>https?(?::|%(?:25)*3a).*)",
    re.DOTALL | re.IGNORECASE,
)
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")
MISSING = "media.missing"
REFUSED = "media.refused"
_MOST_WRAPPINGS = 20
_MOST_DECODINGS = _MOST_WRAPPINGS + 2
# Words that stand in a bucket's place in Storage's own routes.
_ROUTES = frozenset({"public", "sign", "authenticated", "info", "list", "list-v2", "upload", "copy", "move"})
_LONGEST_REFERENCE = 4096
_LONGEST_KEY = 1024  # Storage's own limit on names
_SIGNATURES = frozenset({"token", "signature", "sig", "expires", "policy", "key-pair-id"})
_DEFAULT_PORTS = {"https": 443, "http": 80}

What = Literal["music", "uploaded voice", "cover"]
"""Kinds of media, in the words that messages use."""


@dataclass(frozen=True)
class Reach:
    """What the service key may read for a job: what begins with `folder`, such as ``<user_id>/``, in these buckets.

    Bare names are in the first bucket; without buckets the key reads nothing. `setting` lists the buckets, for
    messages.
    """

    buckets: tuple[str, ...]
    folder: str = ""
    setting: str = "MEDIA_BUCKETS"

    def refuses(self, bucket: str, key: str) -> str | None:
        """Why an object may not be read with the key; None where it may."""
        if bucket not in self.buckets:
            listed = f"{self.setting} does not list" if self.buckets else "is not read with the service key"
            return f"is in bucket {bucket!r}, which {listed}"
        if not key.startswith(self.folder):
            return f"is in bucket {bucket!r}, but not below the customer's own folder"
        return None


@dataclass(frozen=True)
class StoredObject:
    """An object in one of this project's own buckets, to be read with the key.

    The keys are its name, and other forms of it that may be meant: composed and decomposed accents (Unicode NFC, NFD),
    and, where the URL was wrapped in another, once more decoded. `named`: given as a bare name, in the bucket the
    worker chose; else as a URL that names its bucket itself.
    """

    bucket: str
    keys: tuple[str, ...]
    named: bool

    @property
    def key(self) -> str:
        """The name as it was given."""
        return self.keys[0]

    @property
    def folder(self) -> str:
        """Where in its bucket it lies; empty at the top."""
        return self.key.rpartition("/")[0]

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.bucket}/{self.key}"

    @property
    def identity(self) -> str:
        """The same for each way to name the object."""
        return self.label

    @property
    def whole(self) -> str:
        """As it is asked for."""
        return self.label


@dataclass(frozen=True)
class OpenUrl:
    """A public or signed URL of this project's storage, fetched as it stands, without the key.

    The target is path and query, percent-encoded, as it goes on the wire to the project's own origin.
    """

    target: str

    @property
    def label(self) -> str:
        """For messages: without the signature."""
        return self.target.partition("?")[0].removeprefix("/storage/v1/object/")

    @property
    def identity(self) -> str:
        """With the signature: whose it is, only Storage knows."""
        return self.target

    @property
    def whole(self) -> str:
        """As it is asked for."""
        return self.target


@dataclass(frozen=True)
class OutsideUrl:
    """An https URL on an allowed host, in ASCII and lower case; path and query percent-encoded, as on the wire."""

    host: str
    target: str

    @property
    def label(self) -> str:
        """For messages: without the query, which may hold a signature."""
        return f"https://{self.host}{self.target.partition('?')[0]}"

    @property
    def identity(self) -> str:
        """The URL without what is often its signature: the same for each link to the same file."""
        path, _, query = self.target.partition("?")
        kept = [
            (name, value)
            for name, value in parse_qsl(query, keep_blank_values=True)
            if name.lower() not in _SIGNATURES and not name.lower().startswith(("x-amz-", "x-goog-"))
        ]
        return f"https://{self.host}{path}" + (f"?{urlencode(kept)}" if kept else "")

    @property
    def whole(self) -> str:
        """As it is asked for."""
        return f"https://{self.host}{self.target}"


Place = StoredObject | OpenUrl | OutsideUrl


def parse_reference(
    reference: str, *, reach: Reach, origin: str | None, hosts: Collection[str], what: str = "media"
) -> Place:
    """Sort a reference.

    Parameters
    ----------
    reference : str
        An object name in the first bucket of `reach`; a public, signed or authenticated URL of this project's storage,
        also one that is wrapped in others; or an https URL.
    origin : str, optional
        Of this project's Supabase.
    hosts : collection of str
        MEDIA_HOSTS: exact names, or ``*.suffix`` for every name below one.
    what : str
        For messages: "music", "uploaded voice".

    Returns
    -------
    StoredObject, OpenUrl or OutsideUrl
        The first where `reach` has it; the second for a signed URL of this project beyond `reach`, and for a public one
        where `reach` has no bucket at all; the third for the other allowed hosts.

    Raises
    ------
    MediaError
        If it is anything else; code ``media.refused``.
    """
    text = reference.strip()
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON may hold half a surrogate pair
        raise refused(what, "the reference", "is not valid text") from None
    if not text or len(text) > _LONGEST_REFERENCE:
        raise refused(what, "the reference", f"is {'empty' if not text else 'too long'}")
    if _ODD.search(text):
        raise refused(what, "the reference", "has control characters or backslashes")
    if is_bare_name(text):
        if not reach.buckets:
            raise refused(what, repr(text[:80]), "is a bare name; a public or signed URL is needed")
        return _stored(reach.buckets[0], text, reach, what, named=True)
    text, wrappings = _unwrapped(text, what)
    parts = _split(text, what)
    return _own_place(parts, origin, reach, what, wrapped=wrappings > 0) or _outside(parts, hosts, what)


def is_bare_name(text: str) -> bool:
    """Whether a reference is an object's name, or a file's, and no URL."""
    return ":" not in text.partition("/")[0] and not text.startswith("//")


def unicode_forms(name: str) -> tuple[str, ...]:
    """A name as it is, and with its accents composed (NFC) and decomposed (NFD): file systems and browsers differ."""
    return tuple(dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))))


def loose_form(name: str) -> str:
    """What is left of a name without the differences that people do not see: accents' form, case, spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def similar_keys(place: StoredObject, names: Iterable[str], reach: Reach) -> tuple[str, ...]:
    """Find what may be meant by an object that is not there.

    Parameters
    ----------
    names : iterable of str
        Of the objects in its folder.

    Returns
    -------
    tuple of str
        The keys in that folder, and within reach, whose last part differs from its own in nothing but case, spaces or
        the form of its accents; sorted. More than one: which is meant, nobody knows.
    """
    folder, wanted = f"{place.folder}/" if place.folder else "", loose_form(PurePosixPath(place.key).name)
    keys = {folder + name for name in names if "/" not in name and loose_form(name) == wanted}
    return tuple(sorted(key for key in keys - {*place.keys} if reach.refuses(place.bucket, key) is None))


def refused(what: str, label: str, why: str) -> MediaError:
    """The error for a reference that may not be fetched."""
    return MediaError(
        f"{what}: {label} {why}",
        code=REFUSED,
        customer_message=f"The {what} of this order cannot be used. Please choose another one, or contact support.",
    )


def _split(text: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # both raise on nonsense, and only when they are looked at
    except ValueError:
        raise refused(what, "the reference", "is not a valid URL") from None
    label = f"{parts.scheme or '(no scheme)'}://{host or ''}{parts.path}"
    if parts.scheme not in ("https", "http"):
        raise refused(what, f"a {parts.scheme or 'scheme-less'}: URL", "is not fetched; https is")
    if parts.username is not None:
        raise refused(what, label, "has credentials in it")
    if not host:
        raise refused(what, label, "names no host")
    return parts


def _unwrapped(text: str, what: str) -> tuple[str, int]:
    """The innermost URL of storage URLs within storage URLs, and how many were around it.

    The outer ones are only text: nothing is fetched from them, whatever host they name.
    """
    for count in range(_MOST_WRAPPINGS):
        found = _WRAPPED.fullmatch(text)
        if found is None:
            return text, count
        inner = found["inner"]
        if not inner.lower().startswith(("http:", "https:")):  # encoded as a whole; then the query is the outer URL's
            inner = inner.partition("?")[0]
            while not inner.lower().startswith(("http:", "https:")):
                inner = _decoded(inner, what)
        text = re.sub(r"^(https?):/+", r"\1://", inner, flags=re.IGNORECASE)  # some servers make one slash of two
    raise refused(what, "the reference", "is a URL wrapped in too many others")


def _own_place(
    parts: SplitResult, origin: str | None, reach: Reach, what: str, *, wrapped: bool
) -> StoredObject | OpenUrl | None:
    """An object of this project; None for a URL of another host."""
    if origin is None:
        return None
    project = urlsplit(origin)
    if _place(parts) != _place(project) and not _direct_storage_host(parts, project):
        return None
    label = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if parts.scheme == "http" and not is_loopback(project.hostname or ""):
        raise refused(what, label, "is http; only https is fetched")
    found = _OBJECT_PATH.fullmatch(parts.path)
    if found is None:
        raise refused(what, label, "is on this project's Supabase, but is no object of its storage")
    bucket, key = _decoded(found["bucket"], what), _decoded(found["key"], what)
    if "/" in bucket or bucket in _ROUTES:
        raise refused(what, label, "names no bucket")
    bucket, key = _checked_key(bucket, what), _checked_key(key, what)
    why = reach.refuses(bucket, key)
    if why is None:
        return _stored(bucket, key, reach, what, named=False, wrapped=wrapped)
    path = f"{quote(bucket, safe='')}/{quote(key)}"
    if found["way"] == "sign":
        token = dict(parse_qsl(parts.query)).get("token", "")
        return OpenUrl(f"/storage/v1/object/sign/{path}?{urlencode({'token': token})}")
    if found["way"] == "public" and not reach.buckets:
        return OpenUrl(f"/storage/v1/object/public/{path}")
    raise refused(what, f"{bucket}/{key}", why)


def _stored(bucket: str, key: str, reach: Reach, what: str, *, named: bool, wrapped: bool = False) -> StoredObject:
    """An object within reach, with every form of its name that is within reach, too."""
    forms = [_checked_key(key, what)]
    if wrapped:
        forms += [decoded for decoded in _decodings(key) if decoded != key]
    keys = tuple(dict.fromkeys(form for name in forms for form in unicode_forms(name)))
    why = reach.refuses(bucket, keys[0])
    if why is not None:
        raise refused(what, f"{bucket}/{key}", why)
    return StoredObject(bucket, tuple(key for key in keys if reach.refuses(bucket, key) is None), named)


def _decodings(text: str) -> Iterator[str]:
    """A text, percent-decoded not at all, once, twice and so on."""
    for _ in range(_MOST_DECODINGS):
        yield text
        text, before = unquote(text), text
        if text == before:
            return


def _place(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def _direct_storage_host(parts: SplitResult, project: SplitResult) -> bool:
    """A hosted project's storage has a second name, https://ref.storage.supabase.co."""
    reference, _, domain = (project.hostname or "").partition(".")
    second = ("https", f"{reference}.storage.supabase.co", 443)
    return domain == "supabase.co" and project.scheme == "https" and _place(parts) == second


def _outside(parts: SplitResult, hosts: Collection[str], what: str) -> OutsideUrl:
    host = (parts.hostname or "").rstrip(".")
    label = f"{parts.scheme}://{host}{parts.path}"
    if parts.scheme != "https":
        raise refused(what, label, "is http; only https is fetched")
    if parts.port not in (None, 443):
        raise refused(what, label, f"asks for port {parts.port}; only 443 is allowed")
    if not _HOST.fullmatch(host):
        raise refused(what, label, "has a host that is no plain name (write it in its xn-- form)")
    if not any(_matches(host, pattern) for pattern in hosts):
        raise refused(what, label, f"is on a host that MEDIA_HOSTS does not list ({host})")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return OutsideUrl(host, path + (f"?{query}" if query else ""))


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.lower().rstrip(".")
    below = pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return below or host == pattern


def _decoded(text: str, what: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise refused(what, "the reference", "is not UTF-8") from None


def _checked_key(key: str, what: str) -> str:
    """Check that an object name can leave neither its bucket nor, on disk, its folder."""
    for text in _decodings(key):  # no further decoding may lead out, either
        if _ODD.search(text) or any(part in ("", ".", "..") for part in text.split("/")):
            raise refused(what, repr(key[:80]), "is no object name")
    if len(key) > _LONGEST_KEY:
        raise refused(what, repr(key[:80]), "is no object name")
    return key
