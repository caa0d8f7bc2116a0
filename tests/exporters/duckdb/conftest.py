"""A fresh store for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectra_otel.exporters.duckdb.store import DuckDBStore


@pytest.fixture
def store(tmp_path: Path) -> DuckDBStore:
    return DuckDBStore(tmp_path / "spectra.duckdb")
