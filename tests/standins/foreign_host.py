"""A web server that is not the app's, over TLS, and the network that leads to it: names, addresses, and whom one
reaches.
"""

from __future__ import annotations

import contextlib
import datetime
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standins.http_server import serve

from worker.media.guarded_http import Network

PUBLIC = "93.184.215.14"
Page = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class ForeignHost:
    """What it serves, and what it was asked.

    Attributes
    ----------
    pages : dict
        Path (with query) to what answers there.
    names : dict
        Host to the answers DNS gives for it, one list after the other; the last one stays.
    reached : list of str
        The addresses that were connected to.
    """

    trust: ssl.SSLContext
    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def network(self) -> Network:
        return Network(addresses=self._addresses, connect=self._connect, tls=self.trust)

    def handle(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append((headers.get("host", ""), handler.path, headers))
        self.pages.get(handler.path, page(b"nothing here", 404))(handler)

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        assert port == 443
        self.looked_up.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise OSError(f"no such name: {host}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _connect(self, address: str, port: int, timeout_s: float) -> httpcore.NetworkStream:
        self.reached.append(address)
        return httpcore.SyncBackend().connect_tcp("127.0.0.1", self.port, timeout=timeout_s)


def page(body: bytes, status: int = 200, **headers: str) -> Page:
    """A page with an honest length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    return answer


def redirect(to: str, status: int = 302) -> Page:
    return page(b"", status, Location=to)


def raw(*pieces: bytes | Callable[[], None]) -> Page:
    """Bytes on the wire just so, and pauses (called) between them; then the connection is closed."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for piece in pieces:
                if isinstance(piece, bytes):
                    handler.wfile.write(piece)
                else:
                    piece()

    return answer


@contextmanager
def foreign_host(folder: Path, *hosts: str) -> Iterator[ForeignHost]:
    """Serve for `hosts`, with a certificate of their own; DNS gives each one public address."""
    trusted, key = certificate(folder, hosts)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(trusted, key)
    host = ForeignHost(ssl.create_default_context(cafile=str(trusted)), names={name: [[PUBLIC]] for name in hosts})
    with serve({"": host}, tls=server_side) as url:
        host.port = int(url.rpartition(":")[2])
        yield host


def certificate(folder: Path, hosts: Sequence[str]) -> tuple[Path, Path]:
    """A certificate that has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "foreign host")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "stranger.crt", folder / "stranger.key"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
