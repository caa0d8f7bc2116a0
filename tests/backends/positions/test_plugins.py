"""An application with our plugins prices its own calls; whatever stands behind it leaves the price as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spectra_otel.demo.provider import LocalProvider
from tests.backends.positions.programs import (
    CHAT_COST,
    CONFIGS,
    COST,
    OTELCOL,
    SPECTRA,
    free_port,
    needs,
    otelcol,
    shop,
    spectra_collect,
    stored,
    until,
    url,
)
from tests.exporters.servers import http_server
from tests.service.running import CHAT, attributes_of

pytestmark = needs(OTELCOL)

APP = """
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="x")
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
for _ in client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True):
    pass
"""


def run_app(folder: Path, collector: str) -> int:
    """Run a program under `spectra run` with docs/configs/plugins-app.yaml; returns the calls that the provider served."""
    app = folder / "app.py"
    app.write_text(APP)
    with LocalProvider() as provider:
        environment = {
            **os.environ,
            "SPECTRA_HOME": str(folder / "app"),
            "SPECTRA_CONFIG": str(CONFIGS / "plugins-app.yaml"),
            "SPECTRA_PROVIDER_HOSTS": provider.hosts,
            "COLLECTOR": collector,
        }
        command = [SPECTRA, "run", "--", sys.executable, app, provider.url("openai")]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return len(provider.ledger)


def test_an_otelcol_passes_the_cost_on(tmp_path: Path) -> None:
    """Each call of the application is one span with its cost in the backend, with nothing of ours in the collector."""
    port = free_port()
    with http_server() as backend:
        with otelcol(tmp_path, port, "plugins-otelcol.yaml", BACKEND=backend.endpoint):
            served = run_app(tmp_path, url(port))
            priced = until(lambda: len([s for s in backend.spans if COST in attributes_of(s)]) >= served)
        assert priced
        costs = [attributes_of(span) for span in backend.spans if COST in attributes_of(span)]
    assert served == len(costs) == 2
    assert all(cost["gen_ai.usage.cost.currency"] == "USD" and cost[COST] > 0 for cost in costs)


def test_spectra_collect_prices_once(tmp_path: Path) -> None:
    """Calls that come priced keep their price, one that the catalog would not give too; the others are priced here."""
    port = free_port()
    with http_server() as backend:
        with spectra_collect(tmp_path, port, "plugins-spectra.yaml", BACKEND=backend.endpoint):
            served = run_app(tmp_path, url(port))
            (agreed,) = shop(url(port), {**CHAT, COST: 0.5, "gen_ai.usage.cost.currency": "USD"})
            (plain,) = shop(url(port))
            until(lambda: len([s for s in backend.spans if COST in attributes_of(s)]) >= served + 2)
        costs = {span.span_id.hex(): attributes_of(span)[COST] for span in backend.spans if COST in attributes_of(span)}
    rows = stored(tmp_path)
    in_store = {row["span_id"]: float(row["total_cost_in_cents"]) / 100 for row in rows}
    assert (served, len(costs), len(rows)) == (2, 4, 4)
    assert (costs[agreed.chat], costs[plain.chat]) == (0.5, pytest.approx(CHAT_COST))
    assert in_store == pytest.approx(costs)
