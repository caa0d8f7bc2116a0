"""A whole application: a span of somebody's instrumentation comes out of the OTLP exporter priced, shaped and announced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from servers import http_server

TELEMETRY = """
import spectra_otel as spectra


class MySpanBuilder(spectra.DefaultSpanBuilder):
    def span_name(self, data):
        return f"myapp.ai.{data['provider']}.{data['model']}"

    def attributes(self, data):
        attrs = super().attributes(data)
        attrs["myapp.team"] = data["team"]
        attrs.pop("spectra.cost_cents", None)
        return attrs


class MyTransformer(spectra.RequestTransformer):
    def transform(self, request):
        data = super().transform(request)
        data["team"] = "ml-platform"
        return data
"""

APP = """
import sys
from opentelemetry import trace
import spectra_otel as spectra

if "configure" in sys.argv:
    spectra.configure()


@spectra.on(spectra.RequestTracked)
def alert(event):
    print("tracked", event.request["model"], event.request["total_cost_in_cents"].normalize(), event.request["team"])


with trace.get_tracer("app").start_as_current_span("GET /"):
    with trace.get_tracer("app").start_as_current_span("chat gpt-4o") as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 500,
            }
        )
"""


@pytest.mark.parametrize("launch", ["configure", "spectra run"])
def test_from_a_span_to_a_backend(launch: str, tmp_path: Path) -> None:
    """Builder, transformer, listener and the `SPECTRA_OTEL_*` destination, all from the environment; also from another folder."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "telemetry.py").write_text(TELEMETRY)
    (tmp_path / "app" / "main.py").write_text(APP)
    command = [sys.executable, "app/main.py", "configure"]
    if launch == "spectra run":
        command = [str(Path(sys.executable).parent / "spectra"), "run", "--", sys.executable, "app/main.py"]
    with http_server() as server:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("SPECTRA_", "OTEL_"))} | {
            "SPECTRA_HOME": str(tmp_path / "home"),
            "SPECTRA_OTEL_ENABLED": "true",
            "SPECTRA_OTEL_ENDPOINT": f"{server.endpoint}/v1/traces",
            "SPECTRA_OTEL_HEADERS": "x-honeycomb-team=key",
            "SPECTRA_OTEL_RESOURCE_ATTRIBUTES": "deployment.region=us-east-1",
            "SPECTRA_SPAN_BUILDER": "telemetry:MySpanBuilder",
            "SPECTRA_REQUEST_TRANSFORMER": "telemetry:MyTransformer",
        }
        result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "tracked gpt-4o 0.75 ml-platform" in result.stdout, result.stderr
    assert server.headers[0]["x-honeycomb-team"] == "key"
    spans = {span.name: span for span in server.spans}
    assert sorted(spans) == ["GET /", "myapp.ai.openai.gpt-4o"]
    attributes = {a.key: a.value for a in spans["myapp.ai.openai.gpt-4o"].attributes}
    assert attributes["gen_ai.usage.cost.amount"].double_value == 0.0075
    assert attributes["myapp.team"].string_value == "ml-platform"
    assert "spectra.cost_cents" not in attributes
    resource = {a.key: a.value.string_value for a in server.requests[0].resource_spans[0].resource.attributes}
    assert resource["deployment.region"] == "us-east-1"
    assert resource["service.version"] == "1.0.0"
