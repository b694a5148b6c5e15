"""Fetch music, uploaded recordings and covers: a reference in a payload becomes a local file, or a clear error."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from worker.backoff import retry_after_s, with_retries
from worker.config import Config
from worker.errors import MediaError, ResourceError, TransientError, WorkerError
from worker.formats import INPUT_ENDINGS
from worker.media.cache import Address, Kept, MediaCache
from worker.media.local_folder import find_in_folder
from worker.media.not_there import MOST_NAMES, is_unclear, looked_for, not_there
from worker.media.reference import (
    MISSING,
    OpenUrl,
    OutsideUrl,
    Place,
    Reach,
    StoredObject,
    What,
    parse_reference,
    refused,
    similar_keys,
)
from worker.os_errors import disk_is_full, in_words
from worker.service_limits import ServiceLimits
from worker.storage.storage_errors import BUCKET_MISSING, ObjectMissing, ObjectTaken, read_answer, sort_answer
from worker.supabase_access import Supabase, supabase_of

if TYPE_CHECKING:
    import httpcore

    from worker.media.guarded_http import Network

MAX_REDIRECTS = 3
DEADLINE_S = 300.0
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)
_LONGEST_ERROR_BODY = 65536
Listings = MutableMapping[tuple[str, str], Sequence[str]]
"""(bucket, folder) to the names of the objects there, as far as they were asked for."""


def fetch_media(
    reference: str,
    *,
    what: What,
    into: Path,
    config: Config,
    user_id: str | None = None,
    of_anybody: bool = False,
    cache_dir: Path | None = None,
    listings: Listings | None = None,
    network: Network | None = None,
    deadline_s: float = DEADLINE_S,
) -> Path:
    """Fetch a media file.

    Parameters
    ----------
    reference : str
        An object name or a URL of this project's own storage (without Supabase: a name under STORAGE_DIR); or an https
        URL on one of MEDIA_HOSTS. Music and recordings are read with the service key, as the object that the URL names,
        so that an expired signature does no harm: music from MEDIA_BUCKETS, recordings from VOICE_BUCKETS below the
        customer's own folder. Other signed URLs are fetched unchanged, without the key; so is a cover, by its signed
        or public URL.
    into : Path
        The job's folder, for the file.
    user_id : str, optional
        The customer's. A job without one reads no recording with the key.
    of_anybody : bool
        Recordings of every customer may be read: for the command line, whose user holds the key.
    cache_dir : Path, optional
        Where downloads are kept for later jobs, up to MEDIA_CACHE_MAX_MB; each use asks whether the ETag still holds.
    listings : Listings, optional
        Folders that were listed for the same job, and are not listed again.
    deadline_s : float
        For the whole transfer, with all its retries and redirects.

    Returns
    -------
    path : Path
        A regular file, to be read only. Its content has not been checked: a customer chose it.

    Raises
    ------
    MediaError
        ``media.refused`` for what may not be fetched, ``media.missing`` for what is not there,
        ``media.too_large``.
    TransientError
        For 5xx, timeouts, a transfer over the deadline.
    ConfigurationError
        If our own storage refuses the key, or the bucket does not exist.
    ResourceError
        If the disk is full.
    """
    supabase = supabase_of(config)
    reach = _reach(what, config, user_id, local=supabase is None, of_anybody=of_anybody)
    place = parse_reference(
        reference,
        reach=reach,
        origin=supabase.origin if supabase else None,
        hosts=config.media_hosts,
        what=what,
    )
    if isinstance(place, StoredObject) and supabase is None:
        return find_in_folder(place, config.storage_dir, reach, what)
    from worker.media.guarded_http import Network  # here: with httpcore and TLS it costs some 10 MB

    max_bytes = config.media_cache_max_mb * 1_000_000 if cache_dir else 0
    transfer = _Transfer(
        what=what,
        into=into,
        supabase=supabase,
        reach=reach,
        listings={} if listings is None else listings,
        hosts=config.media_hosts,
        max_mb=config.media_max_mb,
        cache=MediaCache(cache_dir or into, max_bytes=max_bytes),
        network=network or Network(),
        limits=config.service_limits,
        deadline=time.monotonic() + deadline_s,
    )
    try:
        return transfer.first_of(place)
    except OSError as error:
        raise ResourceError(
            f"{what}: cannot be written to disk: {in_words(error)}",
            code="resource.disk" if disk_is_full(error) else None,
        ) from error


def _reach(what: What, config: Config, user_id: str | None, *, local: bool, of_anybody: bool) -> Reach:
    """What may be read. Without Supabase, STORAGE_DIR belongs to whoever asks, unless that is a customer."""
    if what == "music":
        return Reach(config.media_buckets)
    if what == "cover":
        return Reach(config.media_buckets if local else ())
    if of_anybody or (local and user_id is None):
        return Reach(config.voice_buckets, setting="VOICE_BUCKETS")
    buckets = config.voice_buckets if user_id else ()
    return Reach(buckets, folder=f"{user_id}/", setting="VOICE_BUCKETS")


@dataclass(frozen=True)
class _Got:
    """The answer to one request: a new file (200), "not modified" (304), or a redirect."""

    status: int
    etag: str = ""
    location: str = ""


@dataclass(frozen=True)
class _Transfer:
    what: str
    into: Path
    supabase: Supabase | None
    reach: Reach
    listings: Listings
    hosts: tuple[str, ...]
    max_mb: int
    cache: MediaCache
    network: Network
    limits: ServiceLimits
    deadline: float

    def first_of(self, place: Place) -> Path:
        """Fetch what a reference names; of an object the first form of its name that exists, each with all retries."""
        if not isinstance(place, StoredObject):
            return self._with_retries(place)
        if (found := self._first_key(place)) is not None:
            return found
        names = self._names_beside(place)
        keys = similar_keys(place, names, self.reach)
        meant = None if is_unclear(keys, names) else self._first_key(replace(place, keys=keys))
        if meant is None:
            raise not_there(self.what, place, looked_for(place, keys, names))
        return meant

    def _first_key(self, place: StoredObject) -> Path | None:
        for key in place.keys:
            try:
                return self._with_retries(replace(place, keys=(key,)))
            except MediaError as error:
                if error.code != MISSING:
                    raise
        return None

    def _names_beside(self, place: StoredObject) -> Sequence[str]:
        """The names of the objects in a folder; each folder is listed once."""
        from worker.storage.supabase_storage import SupabaseStorage  # here: with storage3 it costs some 17 MB

        where = place.bucket, place.folder
        if where not in self.listings:
            assert self.supabase is not None  # noqa: S101 - see `_open`
            with closing(SupabaseStorage(self.supabase, limits=self.limits, short=True)) as storage:
                self.listings[where] = storage.names_in(*where, most=MOST_NAMES)
        return self.listings[where]

    def _with_retries(self, place: Place) -> Path:
        return with_retries(partial(self._fetch, place), retry_policy=self.limits.media_retries, deadline=self.deadline)

    def _fetch(self, place: Place) -> Path:
        """Make one attempt, redirects included."""
        address = Address(place.identity, place.whole)
        if not isinstance(place, OutsideUrl) and self.supabase is not None:
            origin = self.supabase.origin
            address = Address(*(f"{origin}/{each.lstrip('/')}" for each in (place.identity, place.whole)))
        kept = self.cache.find(address)
        out, part = self.into / _file_name(address.whole), self.into / f"{uuid.uuid4().hex}.part"
        out.unlink(missing_ok=True)
        at = place
        try:
            for _ in range(MAX_REDIRECTS + 1):
                got = self._ask(at, kept, part)
                if got.status == 304 and kept is not None:
                    if self.cache.hand_out(kept, out):
                        return out
                    kept = None  # dropped by another process meanwhile: ask again, for the whole
                    got = self._ask(at, None, part)
                if got.status == 200:
                    part.replace(out)
                    self.cache.keep(out, address, got.etag)
                    return out
                at = self._next_hop(at, got.location)
        finally:
            part.unlink(missing_ok=True)
        raise refused(self.what, place.label, f"redirects more than {MAX_REDIRECTS} times")

    def _ask(self, at: Place, kept: Kept | None, part: Path) -> _Got:
        """Send one request. A body goes to `part`; that it was complete shows when the `with` ends without an error."""
        with self._open(at, {"If-None-Match": kept.etag} if kept else {}) as response:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            status = response.status
            if (status == 304 and kept) or (status in _REDIRECTS and isinstance(at, OutsideUrl)):
                return _Got(status, location=headers.get("location", ""))
            if status != 200:
                body = bytearray()
                for chunk in response.iter_stream():
                    body += chunk
                    if len(body) > _LONGEST_ERROR_BODY:
                        break
                raise self._error(at, status, headers, bytes(body))
            if (encoding := headers.get("content-encoding", "")).lower() not in ("identity", ""):
                raise refused(self.what, at.label, f"comes compressed ({encoding}), which was not asked for")
            promised = headers.get("content-length", "")
            if promised.isdecimal() and int(promised) > self.max_mb * 1_000_000:
                raise self._too_large(at, f"is {int(promised) / 1e6:.0f} MB")
            taken = 0
            with part.open("wb") as file:
                for chunk in response.iter_stream():
                    taken += len(chunk)
                    if taken > self.max_mb * 1_000_000:
                        raise self._too_large(at, "goes on")
                    file.write(chunk)
            return _Got(status, headers.get("etag", ""))

    def _open(self, at: Place, condition: Mapping[str, str]) -> AbstractContextManager[httpcore.Response]:
        from worker.media.guarded_http import get

        ask = partial(
            get, what=self.what, label=at.label, deadline=self.deadline, network=self.network, limits=self.limits
        )
        if isinstance(at, OutsideUrl):
            return ask(at.host, at.target, headers=condition)
        assert self.supabase is not None  # noqa: S101 - parse_reference finds own URLs only with an origin
        # The operator's own address, on any network. The key is sent only here: no redirect of it is followed.
        own = urlsplit(self.supabase.origin)
        target, headers = at.target if isinstance(at, OpenUrl) else "", {**condition}
        if isinstance(at, StoredObject):
            target = f"/storage/v1/object/authenticated/{quote(at.bucket, safe='')}/{quote(at.key)}"
            headers |= self.supabase.headers()
        return ask(own.hostname or "", target, headers=headers, checked=False, scheme=own.scheme, port=own.port)

    def _next_hop(self, at: Place, location: str) -> OutsideUrl:
        assert isinstance(at, OutsideUrl)  # noqa: S101 - only these are redirected
        try:
            onward = urljoin(f"https://{at.host}{at.target}", location)
        except ValueError:
            raise refused(self.what, at.label, "redirects to no valid URL") from None
        # With no origin: a redirect from outside is never fetched with the key, even to our own storage.
        hop = parse_reference(onward, reach=Reach(()), origin=None, hosts=self.hosts, what=f"{self.what}, redirected")
        assert isinstance(hop, OutsideUrl)  # noqa: S101 - urljoin keeps the scheme
        return hop

    def _error(self, at: Place, status: int, headers: Mapping[str, str], body: bytes) -> WorkerError:
        if isinstance(at, StoredObject):
            found = sort_answer(read_answer(status, headers, body), bucket=at.bucket, key=at.key)
            unnamed_bucket = not at.named and getattr(found, "code", "") == BUCKET_MISSING
            if isinstance(found, ObjectMissing) or unnamed_bucket:
                return not_there(self.what, at)
            if isinstance(found, ObjectTaken):
                return TransientError(f"{self.what}: {at.label}: {found}", code="media.unavailable")
            return found
        if isinstance(at, OpenUrl):  # Storage's true status is in the body
            answer = read_answer(status, headers, body)
            status = answer.status
            if getattr(sort_answer(answer, bucket="", key=at.label), "code", "") == BUCKET_MISSING:
                return refused(self.what, at.label, "is in no public bucket")
        if status in (404, 410):
            return not_there(self.what, at)
        if status >= 500 or status in _PASSING:
            return TransientError(
                f"{self.what}: {at.label} answers {status}",
                code="media.unavailable",
                retry_after_s=retry_after_s(headers.get("retry-after")),
            )
        return refused(self.what, at.label, f"answers {status}")

    def _too_large(self, at: Place, found: str) -> MediaError:
        return MediaError(
            f"{self.what}: {at.label} {found}; at most {self.max_mb} MB are taken (MEDIA_MAX_MB)",
            code="media.too_large",
            customer_message=f"The {self.what} of this order is too large: at most {self.max_mb} MB.",
        )


def _file_name(address: str) -> str:
    """A name of our own with the customer's ending, if that is a known one: some of FFmpeg's demuxers need it."""
    suffix = PurePosixPath(address.partition("?")[0]).suffix.lower()
    return hashlib.sha256(address.encode()).hexdigest()[:16] + (suffix if suffix in INPUT_ENDINGS else "")
