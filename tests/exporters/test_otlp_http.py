"""`otlp_http`, against a real HTTP server."""

from __future__ import annotations

import ssl
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from urllib3.exceptions import InsecureRequestWarning

from spectra_otel.component import ComponentID, Kind
from spectra_otel.config.document import component
from spectra_otel.errors import ConfigError
from spectra_otel.testing import make_request

sys.path.insert(0, str(Path(__file__).parent))
from certificates import Certificates, make_certificates
from servers import http_server


def exporter(**settings: Any) -> SpanExporter:
    """The exporter of a configuration."""
    item = component(Kind.EXPORTER, ComponentID("otlp_http"), settings)
    item.config.validate()
    made: SpanExporter = item.factory.create(item.id, item.config)
    return made


def send(made: SpanExporter, **fields: Any) -> SpanExportResult:
    """Export the span of one request, and shut down."""
    span = make_request(**fields).span
    assert span is not None
    try:
        return made.export([span])
    finally:
        made.shutdown()


def test_spans_arrive_with_headers_and_gzip() -> None:
    """The base URL gets /v1/traces; gzip is the default."""
    with http_server() as server:
        assert (
            send(exporter(endpoint=server.endpoint, headers={"Authorization": "Bearer x"})) is SpanExportResult.SUCCESS
        )
    assert server.paths == ["/v1/traces"]
    assert server.headers[0]["authorization"] == "Bearer x"
    assert server.headers[0]["content-type"] == "application/x-protobuf"
    assert server.headers[0]["content-encoding"] == "gzip"
    assert {a.key: a.value.double_value for a in server.spans[0].attributes}["gen_ai.usage.cost.amount"] == 0.0075


@pytest.mark.parametrize(
    ("compression", "header"),
    [("none", None), ("", None), ("deflate", "deflate"), ("zlib", "deflate"), ("zstd", "gzip")],
)
def test_compression_can_be_chosen(compression: str, header: str | None) -> None:
    """The collector's names; what the official exporter does not have goes out as what every receiver knows."""
    with http_server() as server:
        send(exporter(endpoint=server.endpoint, compression=compression))
    assert server.headers[0].get("content-encoding") == header
    assert len(server.spans) == 1


def test_traces_endpoint_is_taken_as_it_is() -> None:
    """For a backend with a path of its own."""
    with http_server() as server:
        send(exporter(endpoint="http://nowhere", traces_endpoint=f"{server.endpoint}/traces/otlp/v0.9"))
    assert server.paths == ["/traces/otlp/v0.9"]


def test_a_503_is_tried_again() -> None:
    """And nothing is sent twice."""
    with http_server((503, {"Retry-After": "0"})) as server:
        assert send(exporter(endpoint=server.endpoint)) is SpanExportResult.SUCCESS
    assert len(server.headers) == 2
    assert len(server.spans) == 1


@pytest.mark.skipif(
    tuple(map(int, version("opentelemetry-exporter-otlp-proto-http").split(".")[:2])) < (1, 45),
    reason="the official exporter honours Retry-After and retries 429 from 1.45 on",
)
def test_it_waits_as_long_as_the_server_asks() -> None:
    """`Retry-After` of a 503 and of a 429."""
    with http_server((503, {"Retry-After": "0"}), (429, {"Retry-After": "0.2"})) as server:
        start = time.monotonic()
        assert send(exporter(endpoint=server.endpoint)) is SpanExportResult.SUCCESS
    assert len(server.headers) == 3
    assert len(server.spans) == 1
    assert 0.2 <= time.monotonic() - start < 8


def test_a_400_is_not_tried_again() -> None:
    """It would be refused for ever."""
    with http_server((400, {})) as server:
        assert send(exporter(endpoint=server.endpoint)) is SpanExportResult.FAILURE
    assert len(server.headers) == 1


def test_a_dead_backend_fails_within_the_timeout() -> None:
    """Nothing waits for ever."""
    start = time.monotonic()
    assert send(exporter(endpoint="http://localhost:9", timeout="300ms")) is SpanExportResult.FAILURE
    assert time.monotonic() - start < 8


def test_headers_of_the_apps_own_backend_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in OTEL_EXPORTER_OTLP_HEADERS is for another destination; a header of the same name of ours goes."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=theirs,x-team=theirs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://theirs")
    with http_server() as server:
        send(exporter(endpoint=server.endpoint, headers={"X-Team": "ours"}))
    assert "x-api-key" not in server.headers[0]
    assert server.headers[0]["x-team"] == "ours"


def test_aliases_and_resource_attributes_reach_the_wire() -> None:
    """What is configured per exporter."""
    settings = {"cost_aliases": ["logfire"], "resource_attributes": {"deployment.region": "eu"}}
    with http_server() as server:
        send(exporter(endpoint=server.endpoint, **settings))
    assert "operation.cost" in {a.key for a in server.spans[0].attributes}
    resource = server.requests[0].resource_spans[0].resource
    assert {a.key: a.value.string_value for a in resource.attributes}["deployment.region"] == "eu"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def server_tls(certificates: Certificates) -> ssl.SSLContext:
    """A server that asks for a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_tls_in_both_directions(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's certificate is checked against `ca_file`, whatever bundle the environment names; ours is shown."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.client_cert))
    tls = {"ca_file": certificates.ca, "cert_file": certificates.client_cert, "key_file": certificates.client_key}
    with http_server(tls=server_tls(certificates)) as server:
        made = exporter(endpoint=server.endpoint, tls={name: str(path) for name, path in tls.items()})
        assert send(made) is SpanExportResult.SUCCESS
    assert len(server.spans) == 1


def test_a_server_of_an_unknown_authority_gets_nothing(certificates: Certificates) -> None:
    """TLS is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    with http_server(tls=context) as server:
        assert send(exporter(endpoint=server.endpoint, timeout="300ms")) is SpanExportResult.FAILURE
        assert server.requests == []
        made = exporter(endpoint=server.endpoint, tls={"insecure_skip_verify": True})
        with pytest.warns(InsecureRequestWarning):
            assert send(made) is SpanExportResult.SUCCESS
    assert len(server.spans) == 1


def test_a_proxy_is_used() -> None:
    """It is asked for the whole URL."""
    with http_server() as proxy:
        made = exporter(endpoint="http://otlp.example.com", proxy_url=proxy.endpoint)
        assert send(made) is SpanExportResult.SUCCESS
    assert proxy.paths == ["http://otlp.example.com/v1/traces"]


def test_what_tunes_another_client_is_taken_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A file that works in the OpenTelemetry Collector works here."""
    component(
        Kind.EXPORTER,
        ComponentID("otlp_http"),
        {
            "endpoint": "http://x:1",
            "max_idle_conns": 10,
            "sending_queue": {"wait_for_result": True},
            "encoding": "proto",
        },
    ).config.validate()
    assert caplog.messages == [
        "exporters::otlp_http: 'max_idle_conns' has no effect here",
        "exporters::otlp_http: 'sending_queue.wait_for_result' has no effect here",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tls": {"ca_file": "nope.pem"}}, "tls::ca_file: cannot read 'nope.pem': No such file or directory"),
        ({"tls": {"cert_file": "c.pem"}}, "tls: for auth via TLS, provide both certificate and key, or neither"),
        ({"tls": {"insecure": True}}, "tls::insecure: got 'true' for an https endpoint"),
        ({"timeout": "0s"}, "timeout: got '0s', valid: a duration above 0s"),
    ],
)
def test_what_cannot_work_is_said_at_start(settings: dict[str, Any], message: str) -> None:
    """One line, before the first export."""
    with pytest.raises(ConfigError, match=message):
        exporter(endpoint="https://localhost", **settings)
