"""`spectra demo`, as somebody runs it who has just installed Spectra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb


def test_the_demo_shows_what_real_calls_cost(tmp_path: Path) -> None:
    """A real app, real SDKs, the launch of a user; every call of it has one record, and the total is their sum."""
    run = subprocess.run(
        [sys.executable, "-m", "spectra_otel.cli", "demo", "--home", tmp_path / "demo"],
        env={**os.environ, "SPECTRA_ENABLED": "false", "OTEL_TRACES_EXPORTER": "nonsense", "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    with duckdb.connect(str(tmp_path / "demo" / "spectra.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select count(*), count(total_cost_in_cents), sum(total_cost_in_cents) / 100, sum(cached_tokens) > 0, "
            "sum(cache_write_tokens) > 0, bool_or(is_streaming), count(*) filter (is_failed) from spectra_requests"
        ).fetchone()
    assert found is not None
    calls, priced, dollars, *rest = found
    assert (calls, priced, rest) == (12, 12, [True, True, True, 1])
    said = re.search(r"spectra: 12 calls, \$([\d.]+), 0 unpriced", run.stdout + run.stderr)
    assert said is not None
    assert float(said[1]) == float(f"{dollars:.8f}")
    assert "invoke_agent weather" in run.stdout
    assert "SELECT provider, model" in run.stdout
    assert str(tmp_path / "demo" / "spectra.duckdb") in run.stdout


def test_without_the_sdks_one_line_says_what_to_install(tmp_path: Path) -> None:
    """The demo is an extra."""
    script = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name in ('openai', 'anthropic') else find(name, *rest)\n"
        "from spectra_otel.cli import main; main(['demo'])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "Error: the demo needs openai and anthropic: pip install 'spectra-otel[demo]'\n"
