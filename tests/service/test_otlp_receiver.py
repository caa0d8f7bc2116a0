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
        ({"grpc": {"tls": {"cert_file": "c.pem"}}}, "provide both certificate and key, or neither"),
    ],
)
def test_what_cannot_work_is_refused(protocols: Any, message: str) -> None:
    """One line each."""
    with pytest.raises(ConfigError, match=message):
        receiver(protocols).config.validate()
