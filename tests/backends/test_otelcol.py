"""A real OpenTelemetry Collector gets the enriched spans, over HTTP and over gRPC."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.demo.provider import LocalProvider

ROOT = Path(__file__).parents[2]
OTELCOL = ROOT / ".build" / "otelcol" / "otelcol-test"

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif(not OTELCOL.exists(), reason="no otelcol; run .ci/backends"),
]

APP = """
import openai
client = openai.OpenAI(base_url={url!r} + "/v1", api_key="x")
client.chat.completions.create(model="gpt-4o", messages=[{{"role": "user", "content": "hello"}}])
for _ in client.chat.completions.create(model="gpt-4o", messages=[{{"role": "user", "content": "hi"}}], stream=True):
    pass
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Collector:
    grpc: int
    http: int
    out: Path

    def spans(self, enough: int) -> list[dict[str, Any]]:
        """What the collector wrote, once there is enough of it; attributes as a plain dict."""
        deadline = time.monotonic() + 15
        while True:
            text = self.out.read_text() if self.out.exists() else ""
            found = [
                {**span, "attributes": {a["key"]: next(iter(a["value"].values())) for a in span.get("attributes", [])}}
                for line in text.splitlines()
                for resource in json.loads(line)["resourceSpans"]
                for scope in resource["scopeSpans"]
                for span in scope["spans"]
            ]
            if len(found) >= enough or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    it = Collector(free_port(), free_port(), tmp_path / "spans.json")
    config = tmp_path / "otelcol.yaml"
    config.write_text(
        f"""
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{it.grpc}"}}, http: {{endpoint: "127.0.0.1:{it.http}"}}}}}}
exporters:
  file: {{path: "{it.out}", flush_interval: 100ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
"""
    )
    process = subprocess.Popen(
        [OTELCOL, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Everything is ready" in line:
            break
    else:
        pytest.fail("the collector did not start")
    yield it
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.mark.parametrize("protocol", ["otlp_http", "otlp_grpc"])
def test_the_cost_arrives_in_a_collector(protocol: str, collector: Collector, tmp_path: Path) -> None:
    """Each call is one span with its cost, whichever OTLP protocol carries it."""
    endpoint = f"http://127.0.0.1:{collector.http if protocol == 'otlp_http' else collector.grpc}"
    settings = f'endpoint: "{endpoint}"' + (", tls: {insecure: true}" if protocol == "otlp_grpc" else "")
    config = tmp_path / "spectra.yaml"
    config.write_text(
        f"""
receivers:
  otlp: {{protocols: {{http: {{}}}}}}
processors: {{usage: {{}}, cost: {{}}}}
exporters:
  duckdb: {{}}
  {protocol}: {{{settings}}}
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [usage, cost], exporters: [duckdb, {protocol}]}}
"""
    )
    with LocalProvider() as provider:
        app = tmp_path / "app.py"
        app.write_text(APP.format(url=provider.url("openai")))
        environment = {
            **os.environ,
            "SPECTRA_HOME": str(tmp_path / "home"),
            "SPECTRA_CONFIG": str(config),
            "SPECTRA_PROVIDER_HOSTS": provider.hosts,
        }
        spectra = Path(sys.executable).with_name("spectra")
        ran = subprocess.run(
            [spectra, "run", "--", sys.executable, app], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        served = len(provider.ledger)
    priced = [s for s in collector.spans(enough=2) if "gen_ai.usage.cost.amount" in s["attributes"]]
    assert served == len(priced) == 2, ran.stderr
    assert all(s["attributes"]["gen_ai.usage.cost.currency"] == "USD" for s in priced)
    assert all(float(s["attributes"]["gen_ai.usage.cost.amount"]) > 0 for s in priced)
