"""Every query of the SQL cookbook runs and has something to say, with our own dependencies alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import Record, Spectra, rows_of

PAGE = Path(__file__).parents[2] / "docs" / "sql-cookbook.md"
QUERIES = dict(re.findall(r"^## ([^\n]+)\n.*?```sql\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
NOT_OURS = ("pytz", "numpy", "pandas", "pyarrow", "polars", "tzdata")
"""Packages that DuckDB's client reaches for, and that our wheel does not bring."""


def test_the_cookbook_has_queries() -> None:
    """At least fifteen, each under a heading of its own."""
    assert len(QUERIES) >= 15
    assert PAGE.read_text().count("```sql") == len(QUERIES)


@pytest.mark.parametrize("title", QUERIES)
def test_query_runs(title: str, spectra: Spectra, recorded: list[Record]) -> None:
    """And finds rows in a store that has some of everything (but no repricing)."""
    rows = rows_of(spectra("query", QUERIES[title], "--format", "json"))
    assert rows or title == "What repricing changed"


def test_all_queries_run_without_packages_that_are_not_ours(
    spectra: Spectra, recorded: list[Record], tmp_path: Path
) -> None:
    """A fresh process in which they cannot be imported, as after `pip install spectra-otel`."""
    script = f"""
import sys
for name in {NOT_OURS!r}:
    sys.modules[name] = None
from click.testing import CliRunner
from spectra_otel.cli import main
for sql in {list(QUERIES.values())!r}:
    for format_ in ("json", "table"):
        result = CliRunner().invoke(main, ["query", sql, "--format", format_])
        assert result.exit_code == 0, result.output
"""
    environment = {**os.environ, "SPECTRA_HOME": str(tmp_path / "home")}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_caching_saved_what_the_prices_say(spectra: Spectra, recorded: list[Record]) -> None:
    """gpt-4o reads its cache at half price: $1.25 a million tokens saved."""
    rows = rows_of(spectra("query", QUERIES["What caching saved"], "--format", "json"))
    saved = next(row for row in rows if row["model"] == "gpt-4o")
    assert float(saved["saved_cents"]) == pytest.approx(saved["cached_tokens"] * 0.000125, rel=1e-6)


def test_p95_of_the_histogram_is_within_one_per_cent(spectra: Spectra, recorded: list[Record]) -> None:
    """Compared with the exact value (the discrete one: a latency that was measured)."""
    title = next(title for title in QUERIES if title.startswith("Latency"))
    rows = rows_of(spectra("query", QUERIES[title], "--format", "json"))
    for row in rows:
        latencies = sorted(r["latency_ms"] for r in recorded if r["model"] == row["model"])
        exact = latencies[-(-95 * len(latencies) // 100) - 1]
        assert float(row["p95_ms"]) == pytest.approx(exact, rel=0.011)
