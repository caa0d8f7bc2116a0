"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TEST = """
from opentelemetry.sdk.trace import TracerProvider

pytest_plugins = ["spectra_otel.pytest_plugin"]


def test_a_call_is_tracked(spectra):
    with TracerProvider().get_tracer("app").start_as_current_span("chat gpt-4o") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"})
    spectra.assert_tracked(model="gpt-4o")


def test_each_test_begins_with_nothing(spectra):
    spectra.assert_nothing_tracked()
"""


def test_the_fixture_gives_a_fake(tmp_path: Path) -> None:
    """`spectra` is a fresh fake for every test."""
    (tmp_path / "test_app.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "2 passed" in result.stdout, result.stdout + result.stderr
