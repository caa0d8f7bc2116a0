"""`spectra collect` as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.service.running import tree


@pytest.mark.parametrize(
    ("exporter", "environ", "said"),
    [
        ({"duckdb": None}, {"SPECTRA_HOME": "/dev/null/x"}, "exporters::duckdb: SPECTRA_HOME: /dev/null/x"),
        (
            {"otlp_http": {"endpoint": "http://localhost:1"}},
            {"SPECTRA_HOME": "/dev/null/x"},
            "exporters::otlp_http: SPECTRA_HOME: /dev/null/x",
        ),
        ({"duckdb": None}, {"SPECTRA_DB": "/dev/null/x/db"}, "exporters::duckdb: SPECTRA_DB: /dev/null/x/db"),
        ({"duckdb": {"path": "/dev/null/x/db"}}, {}, "exporters::duckdb: path: /dev/null/x/db"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(
    exporter: dict[str, object], environ: dict[str, str], said: str, tmp_path: Path
) -> None:
    """What was acknowledged would lie where nobody looks for it: one line says so, and nothing is kept elsewhere."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree(exporter)))
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "spectra_otel.cli", "collect", "--config", str(config)],
        env={**os.environ, "SPECTRA_HOME": str(tmp_path / "home"), "TMPDIR": str(elsewhere), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"Error: {said} cannot be used (Not a directory): name one on a local disk that can be written"
    )
    assert list(elsewhere.iterdir()) == []
