"""A notebook: a real Jupyter kernel, cells run again and again, and an end that nobody announces."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.sdk.support import environment, stored

CALL = """
from opentelemetry import trace
trace.get_tracer("test").start_span("chat gpt-4o", attributes={
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500,
}).end()
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_stores_each_call_once(tmp_path: Path) -> None:
    """A cell with `configure()` run twice starts Spectra once; calls of cells are stored, the last one too."""
    from jupyter_client.manager import KernelManager

    kernel = KernelManager()
    assert kernel.kernel_spec is not None
    kernel.kernel_spec.argv[0] = sys.executable
    kernel.start_kernel(env=environment(tmp_path, JUPYTER_RUNTIME_DIR=str(tmp_path)), cwd=os.fspath(tmp_path))
    client = kernel.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        for cell in ("import spectra_otel as spectra; spectra.configure()", CALL) * 2:
            reply = client.execute_interactive(cell, timeout=30, output_hook=lambda message: None)
            assert reply["content"]["status"] == "ok", reply
    finally:
        client.stop_channels()
        kernel.shutdown_kernel()
        kernel.cleanup_resources()
    assert len(stored(tmp_path)) == 2
