"""What an app pays at start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.sdk.support import environment, stored

HEAVY = {"duckdb", "grpc", "numpy", "pyarrow", "yaml", "rich", "click", "httpx", "requests", "pandas"}
SCRIPT = """
import json, sys
import spectra_otel as spectra
spectra.configure()
at_start = sorted(sys.modules)
from opentelemetry import trace
usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
what = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
trace.get_tracer("test").start_span("chat", attributes={**what, **usage}).end()
spectra.force_flush()
print(json.dumps([at_start, sorted(sys.modules)]))
"""


def test_no_heavy_module_is_imported(tmp_path: Path) -> None:
    """Neither the start nor a stored call imports duckdb, grpc, numpy or the like; the pipeline comes with the first span."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment(tmp_path), capture_output=True, check=True)
    at_start, after_a_call = (set(modules) for modules in json.loads(run.stdout))
    assert not HEAVY & after_a_call
    assert not {name for name in at_start if name.startswith(("spectra_otel.processors", "spectra_otel.pricing"))}
    assert len(stored(tmp_path)) == 1
