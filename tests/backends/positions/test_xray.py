"""AWS X-Ray, behind an OpenTelemetry Collector that signs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.positions.programs import (
    CHAT_COST,
    CONFIGS,
    COST,
    OTELCOL,
    address,
    free_port,
    needs,
    otelcol,
    shop,
    spectra_collect,
    until,
    url,
)
from tests.exporters.servers import http_server
from tests.service.running import attributes_of

pytestmark = needs(OTELCOL)


def test_what_leaves_is_signed_and_priced(tmp_path: Path) -> None:
    """On X-Ray's path, signed for its service and region; the cost is on the span."""
    port, back = free_port(), free_port()
    with http_server() as xray:
        collector = otelcol(
            tmp_path,
            back,
            CONFIGS / "xray-otelcol.yaml",
            OTELCOL_HTTP=address(back),
            XRAY=f"{xray.endpoint}/v1/traces",
            AWS_ACCESS_KEY_ID="example",
            AWS_SECRET_ACCESS_KEY="example",
            AWS_REGION="eu-west-1",
        )
        spectra = spectra_collect(
            tmp_path,
            port,
            CONFIGS / "plugins-spectra.yaml",
            SPECTRA_GRPC=address(free_port()),
            SPECTRA_HTTP=address(port),
            BACKEND=url(back),
        )
        with collector, spectra:
            (sent,) = shop(url(port))
            until(lambda: len(xray.spans) >= 2)
        spans = {span.span_id.hex(): attributes_of(span) for span in xray.spans}
    assert spans[sent.chat][COST] == pytest.approx(CHAT_COST)
    assert set(xray.paths) == {"/v1/traces"}
    for headers in xray.headers:
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=example/")
        assert "/eu-west-1/xray/aws4_request" in headers["authorization"]
