"""Observing is agreed on before the app imports its HTTP client, and imports none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APP = """
import sys
import spectra_otel as spectra
spectra.configure()
assert not {"httpx", "httpx2", "wrapt"} & sys.modules.keys()
import httpx2
answer = {"id": "c1", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}
client = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer)))
seen = []
spectra.on(spectra.RequestTracked)(lambda event: seen.append(event.request["prompt_tokens"]))
client.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-4o", "messages": []})
spectra.force_flush()
print(seen)
"""


def test_a_client_that_is_imported_later_is_observed(tmp_path: Path):
    """configure() first, httpx2 afterwards: the call is a record."""
    environ = {"SPECTRA_HOME": str(tmp_path), "PATH": ""}
    run = subprocess.run([sys.executable, "-c", APP], capture_output=True, text=True, env=environ, check=False)
    assert run.stdout.strip() == "[12]", run.stderr
