"""The questions of the CLI: costs by group and records by what they were."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.store import EXPORT_FORMATS, GROUPS
from tests.exporters.duckdb.records import NOON, record, some_records

USER = {
    "user_id": "u1",
    "metadata": {"tenant": {"id": "t1"}, "a.b": "flat"},
    "trackable_type": "team",
    "trackable_id": "7",
}


@pytest.fixture
def filled(store: DuckDBStore) -> DuckDBStore:
    store.append(
        [
            record(0, **USER, conversation_id="c1", provider_account="org-1"),
            record(1, model="o3", total_cost_in_cents=Decimal(5), tags=["b"]),
            record(2, model="new", total_cost_in_cents=None, cost_status="unpriced", tags=None, is_failed=True),
        ]
    )
    return store


@pytest.mark.parametrize("by", GROUPS)
def test_every_group_adds_up(filled: DuckDBStore, by: str) -> None:
    """Each group answers under its own name, from rollups and from rows alike."""
    rows = filled.costs(by)
    assert all(by in row for row in rows)
    if by != "tag":
        assert sum(row["requests"] for row in rows) == 3
        assert sum(row["total_cost_in_cents"] or 0 for row in rows) == 6
        assert sum(row["unpriced_requests"] for row in rows) == 1
    assert filled.costs(by, filters={"currency": "USD"}) == rows


def test_the_dearest_come_first_and_the_unknown_last(filled: DuckDBStore) -> None:
    """A model without a price is NULL, not 0, and at the end."""
    assert [(row["model"], row["total_cost_in_cents"]) for row in filled.costs("model")] == [
        ("o3", Decimal(5)),
        ("gpt-4o", Decimal(1)),
        ("new", None),
    ]


def test_groups_by_metadata(filled: DuckDBStore) -> None:
    """A nested path and a key with a dot both work; records without the key are the NULL group."""
    assert {row["metadata.tenant.id"]: row["requests"] for row in filled.costs("metadata.tenant.id")} == {
        "t1": 1,
        None: 2,
    }
    assert filled.costs("metadata.a.b", filters={"user": "u1"})[0]["metadata.a.b"] == "flat"


def test_times_are_half_open(filled: DuckDBStore) -> None:
    """since is in, until is out; whole hours are answered by the rollup, others by the rows."""
    assert (
        filled.costs("model", since=NOON + timedelta(seconds=1), until=NOON + timedelta(seconds=2))[0]["model"] == "o3"
    )
    assert sum(row["requests"] for row in filled.costs("model", since=NOON, until=NOON + timedelta(hours=1))) == 3
    assert filled.costs("model", until=NOON) == []


FILTERS = [
    ({"user": "u1"}, 1),
    ({"user_id": None}, 2),
    ({"tag": "a"}, 1),
    ({"metadata.tenant.id": "t1"}, 1),
    ({"metadata.tenant.id": None}, 2),
    ({"is_failed": True}, 1),
    ({"trackable": "team:7"}, 1),
    ({"trace_id": record(1)["trace_id"]}, 1),
    ({"trace_id": "not hex"}, 0),
    ({"model": "o3' OR true --"}, 0),
    ({"service": "shop", "model": "o3"}, 1),
]


@pytest.mark.parametrize(("filters", "count"), FILTERS)
def test_filters(filled: DuckDBStore, filters: dict[str, object], count: int) -> None:
    """A filter is a column, a short name, a tag or a key of the metadata; None asks for NULL."""
    assert len(filled.requests(filters=filters)) == count


@pytest.mark.parametrize("name", ["colour", "id; DROP TABLE x", "trace_key"])
def test_unknown_names_are_refused_with_the_valid_ones(filled: DuckDBStore, name: str) -> None:
    """Nothing that came from a user becomes SQL."""
    with pytest.raises(StoreError, match="is not valid"):
        filled.requests(filters={name: 1})
    with pytest.raises(StoreError, match="is not valid"):
        filled.costs(name)


def test_records_are_newest_first(filled: DuckDBStore) -> None:
    """And as many as were asked for."""
    assert [row["model"] for row in filled.requests(limit=2)] == ["new", "o3"]


def test_one_record_by_id(filled: DuckDBStore) -> None:
    """With everything that is known of it, and None for an id nobody has."""
    row = filled.request(record(0)["id"])
    assert row is not None
    assert (row["metadata"], row["tags"], row["started_at"]) == (USER["metadata"], ["a", "b"], NOON)
    assert filled.request("nobody") is None


def test_a_snapshot_is_a_database(filled: DuckDBStore, tmp_path: Path) -> None:
    """The copy is whole, and a reader of the former one is not disturbed."""
    target = filled.snapshot(tmp_path / "bi" / "copy.duckdb")
    with duckdb.connect(str(target), read_only=True) as old:
        filled.append([record(9)])
        filled.snapshot(target)
        assert old.execute("SELECT count(*) FROM spectra_requests").fetchall() == [(3,)]
    with duckdb.connect(str(target), read_only=True) as new:
        assert new.execute("SELECT count(*) FROM spectra_requests").fetchall() == [(4,)]
    with pytest.raises(StoreError, match="is the database itself"):
        filled.snapshot(filled.path)


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_every_format_has_every_record(store: DuckDBStore, tmp_path: Path, format: str) -> None:
    """The file has as many rows as it says."""
    store.append(some_records(40))
    target = tmp_path / "it's.out"
    assert store.export(target, format) == 40
    if format == "parquet":
        with duckdb.connect() as connection:
            assert connection.execute(f"SELECT count(*) FROM read_parquet($${target}$$)").fetchall() == [(40,)]
    elif format == "json":
        assert len(json.loads(target.read_text())) == 40
    else:
        with target.open(newline="") as file:
            assert len(list(csv.DictReader(file))) == 40


def test_json_keeps_types(filled: DuckDBStore, tmp_path: Path) -> None:
    """Money is a number with full digits, a time ISO with Z, metadata nested, unknown null."""
    filled.export(tmp_path / "x.json", "json", since=NOON, until=NOON + timedelta(seconds=1))
    text = (tmp_path / "x.json").read_text()
    (row,) = json.loads(text, parse_float=Decimal)
    assert row["total_cost_in_cents"] == Decimal("1.00000000")
    assert row["started_at"] == "2026-11-20T12:00:00.000000Z"
    assert row["metadata"]["tenant"] == {"id": "t1"}
    assert row["media_cost_in_cents"] is None


def test_focus_is_in_units_of_the_currency(filled: DuckDBStore, tmp_path: Path) -> None:
    """A cent is 0.01 BilledCost; an unknown cost is empty, never 0, and says why."""
    filled.export(tmp_path / "x.csv", "focus")
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Decimal(rows[0]["BilledCost"]) == Decimal("0.01")
    assert (rows[2]["BilledCost"], rows[2]["x_CostStatus"]) == ("", "unpriced")
    assert rows[0]["BillingPeriodEnd"] == "2026-12-01T00:00:00Z"


def test_a_format_that_does_not_exist(filled: DuckDBStore, tmp_path: Path) -> None:
    """The message has the valid ones; so has one for a place that cannot be written."""
    with pytest.raises(StoreError, match="valid values: parquet, csv, json, focus"):
        filled.export(tmp_path / "x", "xml")
    with pytest.raises(StoreError, match="export:"):
        filled.export(tmp_path / "no" / "such" / "folder" / "x.csv", "csv")


def test_an_import_reports_progress(store: DuckDBStore) -> None:
    """Rows done and rows known grow to the whole."""
    seen: list[tuple[int, int]] = []
    result = store.import_records((record(n) for n in range(500)), lambda done, known: seen.append((done, known)))
    assert result.new == 500
    assert seen[-1][1] >= 500


def test_doctor_of_an_empty_place(store: DuckDBStore) -> None:
    """Nothing there is no problem."""
    health = store.doctor()
    assert (health.problem, health.requests, health.pending_segments) == (None, None, 0)


def test_doctor_tells_what_waits(store: DuckDBStore) -> None:
    """Pending rows, their age, and what is in quarantine."""
    store.append([record(0)])
    (store.spool.folder / "0-alien.ndjson").write_bytes(b"alien\n")
    health = store.doctor()
    assert (health.pending_segments, health.pending_rows) == (2, 1)
    assert health.oldest_pending_seconds is not None
    store.merge_pending()
    health = store.doctor()
    assert (health.pending_segments, health.quarantined_files, health.requests) == (0, 1, 1)
