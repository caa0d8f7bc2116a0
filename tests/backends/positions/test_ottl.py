"""An OpenTelemetry Collector alone, with prices that `spectra prices export --format ottl` wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.backends.positions.programs import (
    CHAT_COST,
    COST,
    OTELCOL,
    SPECTRA,
    attributes_by_id,
    free_port,
    needs,
    otelcol,
    shop,
    until,
    url,
)
from tests.exporters.servers import http_server
from tests.service.running import CHAT

pytestmark = needs(OTELCOL)


def test_the_collector_prices_what_is_listed(tmp_path: Path) -> None:
    """The listed models get the catalog's price, cached tokens included; others and priced spans stay as they are."""
    prices = tmp_path / "prices.yaml"
    models = "openai/gpt-4o,openai/gpt-4o-mini,anthropic/claude-sonnet-4-5"
    command = [SPECTRA, "prices", "export", "--format", "ottl", "--models", models, "--output", prices]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    port = free_port()
    cases = [
        (CHAT, CHAT_COST),
        ({**CHAT, "gen_ai.usage.cache_read.input_tokens": 400}, CHAT_COST - 400 * 1.25e-6),
        ({**CHAT, "gen_ai.request.model": "gpt-99", "gen_ai.response.model": "gpt-99"}, None),
        ({**CHAT, COST: 0.5}, 0.5),
    ]
    with http_server() as backend:
        with otelcol(tmp_path, port, "ottl-otelcol.yaml", prices, BACKEND=backend.endpoint):
            sent = [shop(url(port), attributes)[0] for attributes, _ in cases]
            until(lambda: len(backend.spans) >= 2 * len(cases))
        spans = attributes_by_id(backend)
    for trace, (_, cost) in zip(sent, cases, strict=True):
        assert spans[trace.chat].get(COST) == (cost if cost is None else pytest.approx(cost))
        assert COST not in spans[trace.checkout]
