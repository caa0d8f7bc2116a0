"""Servers of the tests' own, where the local provider is too well-behaved: one that answers as told, a proxy, one of HTTP/2."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Gives each request with its body to the server's ``answer``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.server.requests.append(self.path)
        self.server.answer(self, self.rfile.read(int(self.headers.get("content-length") or 0)))

    do_GET = do_POST

    def do_CONNECT(self) -> None:
        """Be a tunnel, as a proxy is for TLS."""
        assert isinstance(self.server, Server)
        self.server.requests.append(self.path)
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(far, self.connection), daemon=True)
            back.start()
            _pump(self.connection, far)
            back.join(10)
        self.close_connection = True

    def whole(self, body: bytes, status: int = 200, **headers: str) -> None:
        """One body of a known length."""
        self._head(status, {"content_length": str(len(body)), **headers})
        self.wfile.write(body)

    def pieces(self, found: Iterable[bytes], **headers: str) -> None:
        """A body in chunks. A client that goes away ends it."""
        self._head(200, {"transfer_encoding": "chunked", **headers})
        try:
            for piece in found:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """``requests`` are the paths that were asked for."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[str] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Bytes of the one to the other, until either is done."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def tls_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server on 127.0.0.1 speaks TLS with, and the certificate that clients may trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "certificate.pem", folder / "key.pem"
    trusted.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that answers so, for as long as it is needed."""
    with Server(answer) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def forward(handler: Handler, body: bytes) -> None:
    """What a forward proxy does with a request: make it itself, and pass the answer on."""
    target = urlsplit(handler.path)
    connection = http.client.HTTPConnection(target.netloc, timeout=10)
    headers = {name: value for name, value in handler.headers.items() if not name.lower().startswith("proxy-")}
    connection.request(handler.command, target.path, body, headers)
    answer = connection.getresponse()
    kept = {name.replace("-", "_"): value for name, value in answer.getheaders() if name.lower() != "transfer-encoding"}
    kept.pop("Content_Length", None)
    handler.whole(answer.read(), answer.status, **kept)
    connection.close()


@contextmanager
def serving_http2(pieces: Iterable[bytes], content_type: str) -> Iterator[str]:
    """A server that speaks HTTP/2 alone, without TLS, and answers each request with these pieces; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    found = list(pieces)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                _speak_http2(client, found, content_type)

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def _speak_http2(client: socket.socket, pieces: list[bytes], content_type: str) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    while data := client.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", content_type)])
                for piece in pieces:
                    connection.send_data(event.stream_id, piece)
                connection.end_stream(event.stream_id)
        client.sendall(connection.data_to_send())
