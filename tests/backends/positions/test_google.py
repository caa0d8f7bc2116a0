"""Google Cloud's OTLP endpoint, behind an OpenTelemetry Collector with the key of a service account."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.backends.positions.programs import (
    CHAT_COST,
    COST,
    OTELCOL,
    attributes_by_id,
    free_port,
    needs,
    otelcol,
    shop,
    spectra_collect,
    until,
    url,
)
from tests.exporters.certificates import Certificates, make_certificates
from tests.exporters.servers import Received
from tests.serving import Handler, serving

pytestmark = needs(OTELCOL)

PROJECT, ACCOUNT = "shop-1234", "otelcol@shop-1234.iam.gserviceaccount.com"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass
class Google(Received):
    """What Google got; ``key`` is the service account's, ``refused`` the path and status of each request it turned down."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    tokens: list[str] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)

    def token(self, body: bytes) -> str | None:
        """An access token for an assertion that the service account signed (RFC 7523)."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        signed, _, signature = form["assertion"].rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        try:
            self.key.public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return None
        said = form["grant_type"], header["kid"], claims["iss"], claims["aud"], SCOPE in claims["scope"].split()
        if said != (JWT_BEARER, "key-1", ACCOUNT, f"{self.endpoint}/token", True):
            return None
        self.tokens.append(secrets.token_urlsafe())
        return self.tokens[-1]

    def status(self, headers: dict[str, str], request: ExportTraceServiceRequest) -> int:
        """That of a trace request: 401 without a token of ours, 403 without quota, 400 where a resource names no project."""
        projects = [
            {a.key: a.value.string_value for a in spans.resource.attributes}.get("gcp.project_id")
            for spans in request.resource_spans
        ]
        if headers.get("authorization") not in [f"Bearer {token}" for token in self.tokens]:
            return 401
        if headers.get("x-goog-user-project") != PROJECT:
            return 403
        return 200 if set(projects) == {PROJECT} else 400


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@contextmanager
def google_server(certificates: Certificates) -> Iterator[Google]:
    """Google's token server and its OTLP endpoint, in one server, over TLS."""
    google = Google()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.server_cert, certificates.server_key)

    class Endpoints(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.body()
            status, answer = {"/token": self.token, "/v1/traces": self.traces}[self.path](body)
            if status != 200:
                google.refused.append((self.path, status))
            self.reply(status, json.dumps(answer).encode(), content_type="application/json")

        def token(self, body: bytes) -> tuple[int, dict[str, Any]]:
            token = google.token(body)
            if token is None:
                return 400, {"error": "invalid_grant"}
            return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

        def traces(self, body: bytes) -> tuple[int, dict[str, Any]]:
            data = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            request = ExportTraceServiceRequest.FromString(data)
            status = google.status({name.lower(): value for name, value in self.headers.items()}, request)
            if status == 200:
                google.requests.append(request)
            return status, {}

    with serving(Endpoints, tls) as port:
        google.endpoint = f"https://localhost:{port}"
        yield google


def collector(folder: Path, port: int, google: Google, key: rsa.RSAPrivateKey, ca: Path) -> Any:  # a context manager
    """docs/configs/google-otelcol.yaml with the file that Google gives out for a service account with this ``key``."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account", "project_id": "another", "private_key_id": "key-1", "private_key": pem,
        "client_email": ACCOUNT, "client_id": "1", "token_uri": f"{google.endpoint}/token",
    }  # fmt: skip
    (folder / "account.json").write_text(json.dumps(account))
    return otelcol(
        folder,
        port,
        "google-otelcol.yaml",
        GOOGLE_APPLICATION_CREDENTIALS=str(folder / "account.json"),
        GOOGLE_CLOUD_PROJECT=PROJECT,
        GOOGLE_TELEMETRY=google.endpoint,
        SSL_CERT_FILE=str(ca),
    )


def test_what_leaves_has_a_token_a_project_and_a_cost(tmp_path: Path) -> None:
    """With an access token for the service account, the project on each resource, and the cost on the span."""
    port, back, certificates = free_port(), free_port(), make_certificates(tmp_path)
    with google_server(certificates) as google:
        behind = collector(tmp_path, back, google, google.key, certificates.ca)
        with behind, spectra_collect(tmp_path, port, "plugins-spectra.yaml", BACKEND=url(back)):
            (sent,) = shop(url(port))
            until(lambda: len(google.spans) >= 2)
        spans = attributes_by_id(google)
    assert set(spans) == {sent.chat, sent.checkout}
    assert spans[sent.chat][COST] == pytest.approx(CHAT_COST)
    assert (len(google.tokens), google.refused) == (1, [])


def test_a_key_that_google_does_not_know_sends_nothing(tmp_path: Path) -> None:
    """No token is had for it, and no span leaves without one."""
    back, certificates = free_port(), make_certificates(tmp_path)
    stranger = rsa.generate_private_key(65537, 2048)
    with google_server(certificates) as google:
        with collector(tmp_path, back, google, stranger, certificates.ca):
            shop(url(back))
            until(lambda: google.refused)
        assert (set(google.refused), google.spans) == ({("/token", 400)}, [])
