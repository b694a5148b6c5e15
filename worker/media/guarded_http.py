"""One GET to a host that is not trusted: to an address that was checked, with a deadline for everything.

A name is resolved once, every address it has is checked, and the connection goes to a checked address, while
TLS and the Host header keep the name: a second answer from DNS cannot lead elsewhere (DNS rebinding).
Redirects are not followed here, proxies and .netrc are not used, and compressed answers are not asked for.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore

from worker.errors import TransientError
from worker.media.reference import refused
from worker.service_limits import ServiceLimits

# RFC 6890 and the IANA registries; is_global alone lets multicast, 6to4 relays and protocol assignments by.
_CLOSED_V4 = tuple(ipaddress.IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24"))
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = tuple(ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# NAT64 (RFC 6052): the last 32 bits are the IPv4 address that is really meant.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet.

    Not: private, loopback, link-local, shared, reserved, documentation or multicast addresses, and no IPv6
    address that wraps an IPv4 one (mapped, 6to4, Teredo) except NAT64's, which is judged by what it wraps.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return False
        if parsed not in _NAT64:
            return parsed in _OPEN_V6 and not any(parsed in net for net in _CLOSED_V6)
        parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return parsed.is_global and not parsed.is_multicast and not any(parsed in net for net in _CLOSED_V4)


def system_addresses(host: str, port: int) -> tuple[str, ...]:
    """Every address of a name, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect(address: str, port: int, timeout_s: float) -> httpcore.NetworkStream:
    """Open a TCP connection to an address."""
    return httpcore.SyncBackend().connect_tcp(address, port, timeout=timeout_s)


@dataclass(frozen=True)
class Network:
    """How names become connections; tests put their own in.

    `addresses` gives those of (host, port); `connect` opens a connection to (address, port, timeout in seconds);
    without `tls` certificates are verified against the bundled authorities.
    """

    addresses: Callable[[str, int], Sequence[str]] = system_addresses
    connect: Callable[[str, int, float], httpcore.NetworkStream] = connect
    tls: ssl.SSLContext | None = None


@dataclass
class _Backend(httpcore.NetworkBackend):
    """Connects to checked addresses only, and keeps a second handle on the socket for the deadline."""

    network: Network
    checked: bool
    what: str
    label: str
    deadline: float
    connect_s: float
    handles: list[socket.socket] = field(default_factory=list)
    is_over: bool = False

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *unused: Any, **also: Any
    ) -> httpcore.NetworkStream:
        wait_s = self.connect_s if timeout is None else timeout
        addresses = self._look_up(host, port, wait_s)
        if self.checked:
            for address in addresses:
                if not is_public(address):
                    raise refused(self.what, self.label, f"leads to {address}, which is not a public address")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            left_s = self.left_s()
            if left_s == 0:
                raise httpcore.ConnectTimeout(f"no connection to {host}")
            try:
                stream = self.network.connect(address, port, min(wait_s, left_s))
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
                continue
            self.handles.append(stream.get_extra_info("socket").dup())
            if self.is_over:
                self.cut()  # the deadline came when there was nothing to cut
            return stream
        raise failure

    def _look_up(self, host: str, port: int, wait_s: float) -> Sequence[str]:
        """In a thread of its own, since the system's resolver has no time limit."""
        answers: list[Sequence[str] | OSError] = []

        def ask() -> None:
            try:
                answers.append(self.network.addresses(host, port))
            except OSError as error:
                answers.append(error)

        asking = threading.Thread(target=ask, name="resolver", daemon=True)
        asking.start()
        asking.join(min(wait_s, self.left_s()))
        if not answers:
            raise httpcore.ConnectTimeout(f"no answer from DNS for {host}")
        if isinstance(answers[0], OSError):
            raise httpcore.ConnectError(f"{host} has no address: {answers[0]}") from answers[0]
        return answers[0]

    @property
    def was_cut(self) -> bool:
        """Whether the deadline cut a connection; before there is one, each step has its own time limit."""
        return self.is_over and bool(self.handles)

    def left_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def cut(self) -> None:
        """Shut the connection down, if there is one, in any phase, while another thread reads from it."""
        self.is_over = True
        for handle in self.handles:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)


@contextmanager
def get(
    host: str,
    target: str,
    *,
    what: str,
    label: str,
    headers: Mapping[str, str],
    deadline: float,
    network: Network,
    limits: ServiceLimits,
    checked: bool = True,
    scheme: str = "https",
    port: int | None = None,
) -> Iterator[httpcore.Response]:
    """Make one request. The body is read in the `with`; failures of the connection become our errors.

    The body is complete only when the `with` ends without an error: one without a length looks complete when the
    deadline cuts the connection.

    Parameters
    ----------
    target, label : str
        Path and query, percent-encoded; the URL for messages, without its query.
    deadline : float
        On the monotonic clock: everything from the look-up of the name to the last byte is over by then.
    checked : bool
        False only for the operator's own SUPABASE_URL, which may well be on a private network.

    Raises
    ------
    MediaError
        ``media.refused``, if the name leads to an address that is not public.
    TransientError
        If it does not answer, answers nonsense, stalls, or is too slow.
    """
    backend = _Backend(network, checked, what, label, deadline, limits.connect_s)
    url = httpcore.URL(scheme=scheme, host=host, port=port, target=target)
    bracketed = f"[{host}]" if ":" in host else host
    authority = bracketed if port in (None, {"https": 443, "http": 80}[scheme]) else f"{bracketed}:{port}"
    always = {"Host": authority, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
    connect_s, silence_s = limits.connect_s, limits.media_silence_s
    timeouts = {"connect": connect_s, "read": silence_s, "write": silence_s, "pool": connect_s}
    if not (left_s := backend.left_s()):
        raise _too_slow(label)
    timer = threading.Timer(left_s, backend.cut)
    timer.daemon = True
    timer.start()
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=network.tls, network_backend=backend, max_connections=1, max_keepalive_connections=0
            ) as pool,
            pool.stream(
                "GET", url, headers=list({**always, **headers}.items()), extensions={"timeout": timeouts}
            ) as response,
        ):
            yield response
        if backend.was_cut:
            raise _too_slow(label)
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        if backend.was_cut:
            raise _too_slow(label) from error
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise TransientError(f"{label} does not answer properly ({said})", code="media.unavailable") from error
    finally:
        timer.cancel()
        for handle in backend.handles:
            handle.close()


def _too_slow(label: str) -> TransientError:
    return TransientError(f"{label} is too slow: not here by the deadline", code="media.slow")
