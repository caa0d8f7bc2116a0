"""Rollups are always what the rows sum up to."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra_otel.exporters.duckdb import prune
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.record import TrackedRequest
from tests.exporters.duckdb.records import NOON, record, rollup_differences, some_records


@dataclass
class Price:
    total_cost_in_cents: Decimal | None
    cost_status: str = "priced"
    price_version: str | None = "v2"


def test_new_rows_are_added(store: DuckDBStore) -> None:
    """Merges one after the other give the same sums as one."""
    for seed in range(3):
        store.append(some_records(200, seed))
        store.merge_pending()
    assert rollup_differences(store) == []


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    steps=st.lists(st.sampled_from(["append", "revise", "reprice", "rebuild"]), min_size=2, max_size=5),
)
def test_rollups_equal_recomputed_rows_after_anything(seed: int, steps: list[str]) -> None:
    """Appends, revisions, repricings and rebuilds in any order leave every rollup right, NULLs included."""
    chance = random.Random(seed)
    records = some_records(60, seed)
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBStore(Path(folder) / "x.duckdb")
        store.append(records)
        for rev, step in enumerate(steps, 1):
            if step == "append":
                store.append(some_records(80, seed + rev))
            elif step == "revise":
                started = {values["id"]: values["started_at"] for values in records}
                store.append(
                    TrackedRequest(other | {"started_at": started[other["id"]]}, rev=rev)
                    for other in some_records(60, seed + rev)
                    if chance.random() < 0.3
                )
            elif step == "reprice":
                store.reprice(lambda _: Price(chance.choice([None, Decimal(1)])), model=chance.choice([None, "gpt-4o"]))
            else:
                store.rebuild_stats()
            assert rollup_differences(store) == [], step


def test_a_sum_that_lost_its_only_known_value_is_null(store: DuckDBStore) -> None:
    """NULL beats an older number in the sums too."""
    store.append([record(0), record(1, total_cost_in_cents=None, cost_status="unpriced")])
    store.reprice(lambda row: Price(None, "unpriced"))
    (row,) = store.costs("model")
    assert row["current_cost_in_cents"] is None
    assert row["total_cost_in_cents"] == Decimal(1)
    assert row["unpriced_requests"] == 1


def test_repricing_keeps_what_was_recorded(store: DuckDBStore) -> None:
    """The recorded cost stays; the change is in spectra_costs and in the current columns."""
    store.append([record(0), record(1)])
    result = store.reprice(lambda row: Price(Decimal(3) if row["id"] == record(0)["id"] else Decimal(1)))
    assert (result.examined, result.changed, result.cents_before, result.cents_after) == (2, 1, Decimal(2), Decimal(4))
    row = store.request(record(0)["id"])
    assert row is not None
    assert (row["total_cost_in_cents"], row["current_cost_in_cents"]) == (Decimal(1), Decimal(3))
    assert store.query("SELECT request_id, amount, status, price_version, reason FROM spectra_costs")[1] == [
        (record(0)["id"], Decimal(3), "priced", "v2", "reprice")
    ]


def test_a_dry_run_changes_nothing(store: DuckDBStore) -> None:
    """The difference is told and not stored."""
    store.append([record(0)])
    result = store.reprice(lambda row: Price(Decimal(9)), dry_run=True)
    assert result.changed == 1
    assert result.changes[0]["cents_after"] == Decimal(9)
    assert store.query("SELECT count(*) FROM spectra_costs")[1] == [(0,)]
    assert store.requests()[0]["current_cost_in_cents"] == Decimal(1)


@pytest.mark.parametrize("status", ["provider", "not_billed", "cache_hit", "billed_unknown"])
def test_costs_no_catalog_decides_are_left_alone(store: DuckDBStore, status: str) -> None:
    """The provider's own figure, a cache hit, an unbilled failure: no price list changes them."""
    store.append([record(0, cost_status=status)])
    assert store.reprice(lambda row: Price(Decimal(9))).examined == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"cost_status": "estimated"}, "estimated"), ({"cost_status": "partial", "completion_tokens": None}, "partial")],
)
def test_a_price_does_not_make_usage_exact(store: DuckDBStore, fields: dict[str, Any], status: str) -> None:
    """Estimated usage stays estimated, and a known lack a floor."""
    store.append([record(0, **fields)])
    store.reprice(lambda row: Price(Decimal(9)))
    assert store.requests()[0]["current_cost_status"] == status


def test_pages_of_a_repricing_miss_nothing(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of one moment are told apart by id at the border of a page."""
    monkeypatch.setattr("spectra_otel.exporters.duckdb.reprice.PAGE", 7)
    store.append([record(number, started_at=NOON + timedelta(seconds=number // 10)) for number in range(100)])
    seen: list[str] = []

    def price(row: Any) -> None:
        seen.append(row["id"])

    store.reprice(price)
    assert len(seen) == len(set(seen)) == 100


def test_pruning_keeps_the_rollups(store: DuckDBStore) -> None:
    """Rows of whole days go, sums stay, and what was pruned does not come in again."""
    records = [record(number, started_at=NOON + timedelta(days=number)) for number in range(4)]
    store.append(records)
    before = store.costs("day")
    now = NOON + timedelta(days=3)
    assert prune.prune(store.path, store.spool, 30, now) == 2
    assert store.costs("day") == before
    assert len(store.requests()) == 2
    store.append(records)
    assert store.merge_pending().new == 0
    assert store.rebuild_stats() == 2
    assert store.costs("day") == before


def test_compacting_shrinks_the_file_and_keeps_everything(store: DuckDBStore) -> None:
    """Half the rows pruned, the file written anew: smaller, same tables and comments."""
    store.append(
        [
            record(n, started_at=NOON + timedelta(days=n // 5000), error_message="e" * 300 + str(n * 7919))
            for n in range(10_000)
        ]
    )
    store.merge_pending()
    full = store.path.stat().st_size
    prune.prune(store.path, store.spool, 12, NOON + timedelta(days=1))
    prune.compact(store.path, store.spool)
    assert store.path.stat().st_size < full * 0.8
    assert store.query("SELECT count(*) FROM spectra_requests")[1] == [(5000,)]
    assert store.query(
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'spectra_requests' AND comment IS NULL"
    )[1] == [(0,)]


def test_days_can_be_rebuilt_alone(store: DuckDBStore) -> None:
    """A broken day is made anew, the others stay as they are."""
    import duckdb

    store.append([record(number, started_at=NOON + timedelta(days=number)) for number in range(3)])
    store.merge_pending()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("UPDATE spectra_hourly_stats SET requests = 99")
    assert store.rebuild_stats(date(2026, 11, 21), date(2026, 11, 21)) == 1
    assert {row["day"].day: row["requests"] for row in store.costs("day")} == {20: 99, 21: 1, 22: 99}
