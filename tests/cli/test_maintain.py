"""`export`, `snapshot`, `prune`, `rebuild-stats` and `reprice`, each against what the store holds before and after."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.cli.support import NOW, Record, Spectra, record, records, rows_of, store_at, total

COUNT = "select count(*) as n from spectra_requests"


def test_export_takes_the_format_from_the_suffix(spectra: Spectra, recorded: list[Record], tmp_path: Path) -> None:
    """Parquet, CSV and JSON hold the same records."""
    for suffix in ("parquet", "csv", "json"):
        assert spectra("export", tmp_path / f"all.{suffix}").exit_code == 0
    files = (f"'{tmp_path}/all.parquet'", f"'{tmp_path}/all.csv'", f"'{tmp_path}/all.json'")
    for file in files:
        found = (
            duckdb.connect().execute(f"select count(*), sum(total_cost_in_cents)::DECIMAL(18,8) from {file}").fetchall()
        )
        assert found == [(60, total(recorded))]


def test_export_since(spectra: Spectra, recorded: list[Record], tmp_path: Path) -> None:
    """Only what began then or later."""
    result = spectra("export", tmp_path / "day.csv", "--since", "1d")
    with (tmp_path / "day.csv").open() as file:
        ids = {row["id"] for row in csv.DictReader(file)}
    assert ids == {row["id"] for row in recorded if row["started_at"] >= NOW - timedelta(days=1)}
    assert f"{len(ids)} records" in result.stderr


def test_export_for_finops(spectra: Spectra, recorded: list[Record], tmp_path: Path) -> None:
    """FOCUS has its own column names, and amounts in the currency's unit."""
    assert spectra("export", tmp_path / "focus.csv", "--format", "focus").exit_code == 0
    with (tmp_path / "focus.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(Decimal(row["BilledCost"] or 0) for row in rows) == total(recorded) / 100


def test_export_without_a_known_suffix_needs_a_format(spectra: Spectra, recorded: list[Record], tmp_path: Path) -> None:
    """A usage error, before anything is written."""
    result = spectra("export", tmp_path / "records.xls")
    assert result.exit_code == 2
    assert "--format" in result.stderr
    assert not (tmp_path / "records.xls").exists()


def test_export_to_a_folder_that_is_not_there_is_one_line(
    spectra: Spectra, recorded: list[Record], tmp_path: Path
) -> None:
    """Status 1."""
    result = spectra("export", tmp_path / "nowhere" / "a.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr


def test_a_snapshot_is_a_database_of_its_own(spectra: Spectra, recorded: list[Record], tmp_path: Path) -> None:
    """A plain DuckDB client may hold it open; a second snapshot replaces the first beneath it."""
    path = tmp_path / "copy.duckdb"
    assert spectra("snapshot", path).exit_code == 0
    with duckdb.connect(str(path), read_only=True) as client:
        assert client.execute(COUNT).fetchone() == (60,)
        assert spectra("snapshot", path).exit_code == 0


def test_prune_removes_old_days_and_keeps_their_totals(spectra: Spectra, recorded: list[Record]) -> None:
    """Costs by model are the same before and after; the rows are gone."""
    before = rows_of(spectra("costs", "--format", "json"))
    result = spectra("prune", "--hours", "72")
    assert result.exit_code == 0, result.output
    (left,) = rows_of(
        spectra("query", "select count(*) as n, min(started_at) as first from spectra_requests", "--format", "json")
    )
    assert 0 < left["n"] < 60
    assert f"{60 - left['n']} records removed" in result.stderr
    assert rows_of(spectra("costs", "--format", "json")) == before


@pytest.mark.parametrize("hours", ["-1", "many"])
def test_prune_needs_a_number_of_hours(spectra: Spectra, hours: str) -> None:
    """Anything else is a usage error."""
    assert spectra("prune", "--hours", hours).exit_code == 2
    assert spectra("prune").exit_code == 2


def test_rebuilding_statistics_changes_nothing_that_was_right(spectra: Spectra, recorded: list[Record]) -> None:
    """The rollups are what the rows say, all of them or one day."""
    before = rows_of(spectra("query", "select * from spectra_hourly_stats order by all", "--format", "json"))
    assert spectra("rebuild-stats").exit_code == 0
    assert spectra("rebuild-stats", "--yesterday").exit_code == 0
    day = (NOW - timedelta(days=3)).date().isoformat()
    assert spectra("rebuild-stats", "--from", day, "--to", day).exit_code == 0
    assert rows_of(spectra("query", "select * from spectra_hourly_stats order by all", "--format", "json")) == before


def test_yesterday_goes_alone(spectra: Spectra) -> None:
    """Two answers to one question are a usage error."""
    assert spectra("rebuild-stats", "--yesterday", "--from", "2026-01-01").exit_code == 2


@pytest.fixture
def repricable(spectra: Spectra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Records of which one was priced wrongly, and two models that only a price file of the user knows."""
    rows = records()
    rows[1] = record(1, total_cost_in_cents=Decimal("99.5"))
    store_at(tmp_path / "home" / "spectra.duckdb").append(rows)
    return rows


def test_a_dry_run_says_what_would_change_and_changes_nothing(spectra: Spectra, repricable: list[Record]) -> None:
    """The summary counts one change, and the current costs stay."""
    (summary,) = [json.loads(spectra("reprice", "--dry-run", "--format", "json").stdout, parse_float=Decimal)]
    assert summary["changed"] == 1
    assert summary["cents_before"] - summary["cents_after"] == Decimal("99.5") - record(1)["total_cost_in_cents"]
    assert rows_of(spectra("query", "select count(*) as n from spectra_costs", "--format", "json")) == [{"n": 0}]


def test_repricing_keeps_the_recorded_cost_beside_the_current_one(spectra: Spectra, repricable: list[Record]) -> None:
    """What was billed stays; what it would cost is beside it, and the change is on record."""
    assert "1 of" in spectra("reprice").stdout
    sql = f"select total_cost_in_cents, current_cost_in_cents from spectra_requests where id = '{repricable[1]['id']}'"
    (row,) = rows_of(spectra("query", sql, "--format", "json"))
    assert row == {"total_cost_in_cents": Decimal("99.5"), "current_cost_in_cents": record(1)["total_cost_in_cents"]}
    assert rows_of(spectra("query", "select reason, amount from spectra_costs", "--format", "json")) == [
        {"reason": "reprice", "amount": row["current_cost_in_cents"]}
    ]
    assert "0 of" in spectra("reprice").stdout


def test_what_had_no_price_gets_one_when_the_prices_learn_the_model(
    spectra: Spectra, recorded: list[Record], tmp_path: Path
) -> None:
    """By whichever command comes first; what had a price is left alone, and the same prices are not looked at twice."""
    unpriced = [row["id"] for row in recorded if row["model"] == "gpt-4ox"]
    assert spectra("costs").exit_code == 0
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "provider: openai\npage: https://example.com/contract\nread: 2026-11-20\nprices:\n"
        "  - {model: gpt-4ox, rates: {input: 1, output: 2}}\n  - {model: o3, rates: {input: 999, output: 999}}\n"
    )
    for _ in range(2):  # in fresh processes: one reads its prices once
        subprocess.run(
            [sys.executable, "-m", "spectra_otel.cli", "costs"],
            env={**os.environ, "SPECTRA_PRICES": str(prices)}, capture_output=True, check=True,
        )  # fmt: skip
    with duckdb.connect(str(tmp_path / "home" / "spectra.duckdb"), read_only=True) as store:
        costs = store.execute("SELECT request_id, reason, amount > 0 FROM spectra_costs ORDER BY 1").fetchall()
        assert costs == [(id_, "unpriced", True) for id_ in sorted(unpriced)]
        seen = store.execute("SELECT changed FROM spectra_catalogs ORDER BY seen_at").fetchall()
        assert seen == [(0,), (len(unpriced),)]


def test_repricing_can_be_narrowed(spectra: Spectra, repricable: list[Record]) -> None:
    """To a model and a time."""
    assert json.loads(spectra("reprice", "--model", "o3", "--format", "json").stdout)["examined"] == 9
    assert (
        json.loads(spectra("reprice", "--model", "gpt-4o", "--since", "2h", "--format", "json").stdout)["examined"] == 1
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("prune", "--hours", "nan"), 2),
        (("prune", "--hours", "inf"), 2),
        (("prune", "--hours", "10000000"), 0),
        (("rebuild-stats", "--from", "2026-02-01", "--to", "2026-01-01"), 2),
        (("reprice", "--db", "nowhere.duckdb"), 1),
    ],
)
def test_what_cannot_be_meant_is_one_line(command: tuple[str, ...], status: int, spectra: Spectra) -> None:
    """No traceback, and no success where nothing was looked at."""
    result = spectra(*command)
    assert result.exit_code == status
    assert status == 0 or result.stderr.splitlines()[-1].startswith("Error: ")
