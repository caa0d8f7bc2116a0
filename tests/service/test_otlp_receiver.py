"""The `otlp` receiver: checked inside an application, started by the collector alone."""

from __future__ import annotations

from typing import Any

import pytest

from spectra_otel.component import ComponentID, Kind
from spectra_otel.config.document import Component, component
from spectra_otel.errors import ConfigError


def receiver(protocols: Any) -> Component:
    """The receiver with these protocols."""
    return component(Kind.RECEIVER, ComponentID("otlp"), {"protocols": protocols})


def test_an_empty_protocol_is_on_and_an_absent_one_is_off() -> None:
    """As in the collector, with its ports."""
    protocols = receiver({"http": None}).config.protocols
    assert protocols.http.endpoint == "localhost:4318"
    assert protocols.http.max_request_body_size == 20 * 1024 * 1024
    assert protocols.grpc is None
    assert receiver({"grpc": {}}).config.protocols.grpc.endpoint == "localhost:4317"


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        (None, "must specify at least one protocol when using the OTLP receiver"),
        (
            {"http": {"endpoint": "localhost:99999"}},
            "endpoint: got 'localhost:99999', valid: host:port such as localhost:4318",
        ),
        ({"grpc": {"tls": {"cert_file": "c.pem"}}}, "must include both certificate and key"),
        (
            {"http": {"tls": {"cert_file": "c.pem", "key_file": "k.pem", "min_version": "1.9"}}},
            'invalid TLS min_version: unsupported TLS version: "1.9"',
        ),
        (
            {"http": {"tls": {"cert_file": "c", "key_file": "k", "min_version": "1.3", "max_version": "1.2"}}},
            "min_version cannot be greater than max_version",
        ),
        ({"grpc": {"max_recv_msg_size_mib": -1}}, "invalid max_recv_msg_size_mib value, must be between 1 and"),
    ],
)
def test_what_cannot_work_is_refused(protocols: Any, message: str) -> None:
    """One line each."""
    with pytest.raises(ConfigError, match=message):
        receiver(protocols).config.validate()


def test_a_receiver_as_the_collector_documents_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """What tunes Go's servers alone is named in a warning; the rest is used."""
    config = receiver(
        {
            "grpc": {
                "read_buffer_size": 524288,
                "max_concurrent_streams": 100,
                "keepalive": {
                    "server_parameters": {"max_connection_age": "2m", "time": "30s"},
                    "enforcement_policy": {"min_time": "10s", "permit_without_stream": True},
                },
            },
            "http": {"read_timeout": "10s", "idle_timeout": "1m", "response_headers": {"x-served-by": "spectra"}},
        }
    ).config
    config.validate()
    assert config.protocols.grpc.keepalive.server_parameters.max_connection_age == 120
    assert caplog.messages == ["receivers::otlp: 'protocols.grpc.read_buffer_size' has no effect here"]
