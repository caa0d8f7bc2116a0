"""AWS X-Ray, behind an OpenTelemetry Collector that signs."""

from __future__ import annotations

from pathlib import Path

import pytest

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
from tests.exporters.servers import http_server

pytestmark = needs(OTELCOL)


def test_what_leaves_is_signed_and_priced(tmp_path: Path) -> None:
    """On X-Ray's path, signed for its service and region; the cost is on the span."""
    port, back = free_port(), free_port()
    with http_server() as xray:
        collector = otelcol(
            tmp_path,
            back,
            "xray-otelcol.yaml",
            XRAY=f"{xray.endpoint}/v1/traces",
            AWS_ACCESS_KEY_ID="example",
            AWS_SECRET_ACCESS_KEY="example",
            AWS_REGION="eu-west-1",
        )
        with collector, spectra_collect(tmp_path, port, "plugins-spectra.yaml", BACKEND=url(back)):
            (sent,) = shop(url(port))
            until(lambda: len(xray.spans) >= 2)
        spans = attributes_by_id(xray)
    assert spans[sent.chat][COST] == pytest.approx(CHAT_COST)
    assert set(xray.paths) == {"/v1/traces"}
    for headers in xray.headers:
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=example/")
        assert "/eu-west-1/xray/aws4_request" in headers["authorization"]
