"""`otlp_grpc`, against a real gRPC server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.component import ComponentID, Kind
from spectra_otel.config.document import component
from spectra_otel.errors import ConfigError
from spectra_otel.testing import make_request

sys.path.insert(0, str(Path(__file__).parent))
from certificates import make_certificates
from servers import grpc_server


def exporter(**settings: Any) -> SpanExporter:
    """The exporter of a configuration."""
    item = component(Kind.EXPORTER, ComponentID("otlp_grpc"), settings)
    item.config.validate()
    made: SpanExporter = item.factory.create(item.id, item.config)
    return made


def send(made: SpanExporter) -> SpanExportResult:
    """Export the span of one request, and shut down."""
    span = make_request().span
    assert span is not None
    try:
        return made.export([span])
    finally:
        made.shutdown()


def test_spans_arrive_with_headers() -> None:
    """Header names are lower case on the wire."""
    with grpc_server() as server:
        made = exporter(endpoint=server.endpoint, tls={"insecure": True}, headers={"Authorization": "Bearer x"})
        assert send(made) is SpanExportResult.SUCCESS
    assert server.headers[0]["authorization"] == "Bearer x"
    assert server.spans[0].name == "chat gpt-4o"


def test_a_scheme_of_http_means_no_tls() -> None:
    """As in the collector's own endpoints."""
    with grpc_server() as server:
        assert send(exporter(endpoint=f"http://{server.endpoint}", compression="none")) is SpanExportResult.SUCCESS


def test_unavailable_is_tried_again() -> None:
    """After about a second, within the timeout; nothing is sent twice."""
    with grpc_server(grpc.StatusCode.UNAVAILABLE) as server:
        start = time.monotonic()
        assert send(exporter(endpoint=server.endpoint, tls={"insecure": True})) is SpanExportResult.SUCCESS
    assert len(server.headers) == 2
    assert len(server.spans) == 1
    assert time.monotonic() - start < 8


def test_an_invalid_argument_is_not_tried_again() -> None:
    """It would be refused for ever."""
    with grpc_server(grpc.StatusCode.INVALID_ARGUMENT) as server:
        assert send(exporter(endpoint=server.endpoint, tls={"insecure": True})) is SpanExportResult.FAILURE
    assert len(server.headers) == 1


def test_headers_of_the_apps_own_backend_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in OTEL_EXPORTER_OTLP_HEADERS is for another destination."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=theirs")
    with grpc_server() as server:
        send(exporter(endpoint=server.endpoint, tls={"insecure": True}))
    assert "x-api-key" not in server.headers[0]


def test_tls_in_both_directions(tmp_path: Path) -> None:
    """TLS is on by default; certificates are checked on both sides."""
    files = make_certificates(tmp_path)
    key, certificate, ca = (path.read_bytes() for path in (files.server_key, files.server_cert, files.ca))
    credentials = grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)
    tls = {"ca_file": str(files.ca), "cert_file": str(files.client_cert), "key_file": str(files.client_key)}
    with grpc_server(credentials=credentials) as server:
        assert send(exporter(endpoint=server.endpoint, tls=tls)) is SpanExportResult.SUCCESS
        assert send(exporter(endpoint=server.endpoint, tls={}, timeout="300ms")) is SpanExportResult.FAILURE
    assert len(server.spans) == 1


def test_a_forked_worker_that_exports_first_works() -> None:
    """gunicorn's way: configured before the fork, used after it."""
    code = f"""
import os, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_otlp_grpc import exporter, send
made = exporter(endpoint=sys.argv[1], tls={{"insecure": True}})
assert "grpc" in sys.modules  # through the test's own server; the exporter itself has made no channel
pid = os.fork()
if pid == 0:
    os._exit(0 if send(made).name == "SUCCESS" else 1)
sys.exit(os.waitpid(pid, 0)[1])
"""
    with grpc_server() as server:
        subprocess.run([sys.executable, "-c", code, server.endpoint], check=True, timeout=60)
        assert len(server.spans) == 1


@pytest.mark.parametrize(
    "endpoint", ["[::1]:4317", "dns:///x:4317", "dns://1.1.1.1/x:4317", "unix:///tmp/x.sock", "https://x:4317/", "x:0"]
)
def test_addresses_of_every_form_are_taken(endpoint: str) -> None:
    """As the OpenTelemetry Collector takes them."""
    component(Kind.EXPORTER, ComponentID("otlp_grpc"), {"endpoint": endpoint}).config.validate()


def test_settings_of_the_channel_are_used() -> None:
    """Keepalive, authority and balancing, as the OpenTelemetry Collector names them."""
    with grpc_server() as server:
        made = exporter(
            endpoint=server.endpoint,
            tls={"insecure": True},
            authority="otlp.example.com",
            balancer_name="pick_first",
            keepalive={"time": "20s", "timeout": "5s", "permit_without_stream": True},
        )
        assert send(made) is SpanExportResult.SUCCESS
        assert len(server.spans) == 1


def test_a_missing_package_prints_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra has a name."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.setattr(
        "spectra_otel.exporters.otlp_grpc.factory.find_spec", lambda name: None if name == "grpc" else object()
    )
    with pytest.raises(ConfigError, match=r"not installed: pip install 'spectra-otel\[grpc\]'"):
        exporter(endpoint="localhost:4317")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"endpoint": ""}, 'requires a non-empty "endpoint"'),
        ({"endpoint": "a b:1"}, "endpoint: got 'a b:1', valid: host:port such as localhost:4317"),
        ({"endpoint": "x"}, "address x: missing port in address"),
        ({"endpoint": "::1:4317"}, "address ::1:4317: too many colons in address"),
        ({"endpoint": "x:abc"}, 'invalid port "abc"'),
        (
            {"endpoint": "x:1", "tls": {"insecure_skip_verify": True}},
            "tls::insecure_skip_verify: got 'true', valid: false",
        ),
        ({"endpoint": "x:1", "headers": {"a b": "c"}}, "headers: got 'a b', valid: names of letters"),
    ],
)
def test_what_cannot_work_is_said_at_start(settings: dict[str, Any], message: str) -> None:
    """One line, before the first export."""
    with pytest.raises(ConfigError, match=message):
        exporter(**settings)
