"""Segments become rows exactly once, whatever state they are in."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb import database, intake, line, merge, rollups, schema
from spectra_otel.exporters.duckdb.spool import OPEN, Lines, Segment, Spool, SpoolFullError
from spectra_otel.exporters.duckdb.store import DuckDBStore
from tests.exporters.duckdb.records import ids, record, revised, rollup_differences


def segment(store: DuckDBStore, *numbers: int) -> Path:
    return store.spool.append(Lines(line.encode(record(number)) for number in numbers))


def test_records_are_there_once(store: DuckDBStore) -> None:
    """Appending the same records again adds nothing."""
    for _ in range(3):
        store.append([record(number) for number in range(10)])
    result = store.merge_pending()
    assert (result.new, result.duplicates) == (10, 20)
    store.append([record(number) for number in range(12)])
    assert store.merge_pending().new == 2
    assert len(set(ids(store))) == len(ids(store)) == 12


def test_a_segment_that_comes_back_after_its_merge_is_not_merged_again(store: DuckDBStore, tmp_path: Path) -> None:
    """A program that was killed between commit and delete leaves the segment; the ledger knows it."""
    path = segment(store, 1, 2)
    shutil.copy(path, tmp_path / "copy")
    store.merge_pending()
    shutil.copy(tmp_path / "copy", path)
    result = store.merge_pending()
    assert (result.new, result.duplicates) == (0, 0)
    assert not path.exists()
    assert len(ids(store)) == 2


def test_the_highest_revision_wins_in_any_order(store: DuckDBStore) -> None:
    """Revision 2 replaces 0 and 1; a late revision 1 is ignored."""
    store.append([record(0, prompt_tokens=None)])
    store.merge_pending()
    store.append([revised(0, 2, prompt_tokens=7)])
    assert store.merge_pending().revised == 1
    store.append([revised(0, 1, prompt_tokens=5)])
    assert store.merge_pending().duplicates == 1
    (row,) = store.requests()
    assert row["prompt_tokens"] == 7
    assert rollup_differences(store) == []


def test_revisions_of_one_batch_are_one_row(store: DuckDBStore) -> None:
    """A record and its revision in one merge count once, as the revision."""
    store.append([record(0), revised(0, 1, model="gpt-4o-mini")])
    store.merge_pending()
    assert [row["model"] for row in store.requests()] == ["gpt-4o-mini"]
    assert rollup_differences(store) == []


def test_a_torn_segment_gives_its_whole_lines(store: DuckDBStore) -> None:
    """Lines before the tear are merged; the torn one is put aside with the reason."""
    path = segment(store, 0, 1, 2)
    path.write_bytes(path.read_bytes()[:-40])
    segment(store, 3)
    result = store.merge_pending()
    assert (result.new, result.quarantined) == (3, 1)
    (aside,) = store.spool.quarantine.glob("*.ndjson")
    assert b'"id"' in aside.read_bytes()
    assert "torn" in aside.with_name(aside.name + ".reason").read_text()


def test_a_flipped_bit_is_noticed(store: DuckDBStore) -> None:
    """A checksum that does not match sends the segment line by line; what reads is kept."""
    path = segment(store, 0, 1)
    path.write_bytes(path.read_bytes().replace(b'"gpt-4o"', b'"gpt\xff4o"', 1))
    result = store.merge_pending()
    assert (result.new, result.quarantined) == (1, 1)


ALIEN = {
    "empty": b"",
    "zeros": b"\0" * 5000,
    "text": b"hello\nworld\n",
    "array": b"[1, 2]\n",
    "other-json": b'{"a": 1}\n',
    "no-time": b'{"id": "x"}\n',
    "newer-format": b'{"spectra_segment": 99}\n{"id": "x"}\n',
    "deep": b"[" * 100_000 + b"\n",
    "bad-map": b'{"id": "x", "started_at": "2026-11-20T12:00:00Z", "tool_call_counts": [1], "tags": {"a": 1}}\n',
}


@pytest.mark.parametrize("content", ALIEN.values(), ids=ALIEN.keys())
def test_an_alien_file_hurts_nobody(store: DuckDBStore, content: bytes) -> None:
    """A file that is not a segment is never fatal; the segments beside it are merged."""
    segment(store, 0)
    (store.spool.folder / "0000-alien.ndjson").write_bytes(content)
    store.merge_pending()
    assert record(0)["id"] in ids(store)
    assert store.spool.sealed() == []


def test_a_whole_segment_with_a_line_duckdb_refuses_loses_that_line_alone(store: DuckDBStore) -> None:
    """A foreign writer may seal what the ranges of our columns do not hold."""
    bad = (
        b'{"rev":0,"id":"bad","started_at":"2026-11-20T12:00:00Z","prompt_tokens":1e300,"total_cost_in_cents":"1e40"}\n'
    )
    store.spool.append(Lines([line.encode(record(0)), bad, line.encode(record(1))]))
    result = store.merge_pending()
    assert (result.new, result.quarantined) == (3, 0)
    row = store.query("SELECT prompt_tokens, cost_status FROM spectra_requests WHERE id = 'bad'")[1]
    assert row == [(None, "unpriced")]


def test_what_a_dead_writer_left_open_is_merged(store: DuckDBStore) -> None:
    """A file nobody sealed for a minute belongs to a dead process; its whole lines count."""
    segment(store, 0)
    lines = [line.encode(record(number)) for number in (1, 2)]
    left = store.spool.folder / f"1-2-3.2{OPEN}"
    left.write_bytes(lines[0] + lines[1][:50])
    store.merge_pending()
    assert len(ids(store)) == 1
    long_ago = time.time() - 3600
    os.utime(left, (long_ago, long_ago))
    assert store.merge_pending().new == 1
    assert len(ids(store)) == 2


def test_a_late_record_does_not_widen_the_search(store: DuckDBStore) -> None:
    """A record of last year among today's is found again too."""
    from datetime import timedelta

    old = record(5, started_at=record(5)["started_at"] - timedelta(days=400))
    store.append([old, *(record(number) for number in range(5))])
    store.merge_pending()
    store.append([old, record(0)])
    assert store.merge_pending().duplicates == 2


def test_a_batch_that_needs_too_much_memory_is_merged_in_pieces(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Megabytes of content in each record do not stop the merge for ever."""
    monkeypatch.setitem(database._THRIFTY, "memory_limit", "64MB")
    store.append([record(number, response_body={"text": "x" * 1_500_000}) for number in range(40)])
    result = store.merge_pending()
    assert (result.new, result.quarantined) == (40, 0)


def test_a_merge_that_ends_between_two_row_groups_counts_nothing_twice(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole row groups are committed one by one; after a crash in the second, its segments come again."""
    monkeypatch.setattr(intake, "ROW_GROUP", 40)
    add, calls = rollups.add, []

    def fails_once(connection: object, relation: str) -> None:
        calls.append(relation)
        if len(calls) == 2:
            raise OSError("out of power")
        add(connection, relation)  # type: ignore[arg-type]

    monkeypatch.setattr(rollups, "add", fails_once)
    path = segment(store, *range(100))
    with pytest.raises(StoreError, match="out of power"):
        store.merge_pending()
    with database.reader(store.path) as connection:
        assert database.fetch(connection, "SELECT count(*) FROM spectra_requests")[1] == [(40,)]
    assert path.exists()
    result = store.merge_pending()
    assert (result.new, result.duplicates) == (60, 40)
    assert len(set(ids(store))) == len(ids(store)) == 100
    assert rollup_differences(store) == []


def test_a_full_transaction_is_one_row_group(store: DuckDBStore) -> None:
    """Rows are compressed as they are written, in groups of 16,384, and what is left over is there too."""
    rows = schema.ROW_GROUP + 100
    store.append([record(number) for number in range(rows)])
    assert store.merge_pending().new == rows
    with database.reader(store.path) as connection:
        sql = (
            "SELECT row_group_id, sum(count)::INTEGER FROM pragma_storage_info('spectra_requests') "
            "WHERE column_name = 'latency_ms' AND segment_type = 'BIGINT' GROUP BY 1 ORDER BY 1"
        )
        assert database.fetch(connection, sql)[1] == [(0, schema.ROW_GROUP), (1, 100)]
    assert rollup_differences(store) == []


@pytest.mark.parametrize(
    ("segments", "rows", "transactions"),
    [
        ([4_000] * 9, merge.LONG_SESSION, [16_000, 16_000]),
        ([512] + [1_024] * 40, merge.LARGE_SESSION, [15_872]),
        ([512] * 40, merge.LARGE_SESSION, [merge.BATCH]),
        ([1_000] * 9, merge.SMALL_SESSION, [4_000]),
        ([20_000, 512], merge.SMALL_SESSION, [20_000]),
        ([], merge.LONG_SESSION, []),
    ],
)
def test_a_transaction_is_at_most_a_row_group(segments: list[int], rows: int, transactions: list[int]) -> None:
    """A few rows more would lie between whole row groups, for which DuckDB writes both once more. One segment is always taken."""
    given = [Segment(Path(f"{number}"), size, 100, 0.0) for number, size in enumerate(segments)]
    taken = merge._transactions(given, rows)
    assert [sum(segment.rows for segment in transaction) for transaction in taken] == transactions
    assert [segment for transaction in taken for segment in transaction] == given[: sum(map(len, taken))]


def test_who_is_behind_does_not_tidy(store: DuckDBStore) -> None:
    """To make full ones of the table's parts takes longer than the merge of a backlog does: the merges after it do that."""
    merger = merge.Merger(store.path, store.spool)

    def parts() -> list[int]:
        sql = (
            "SELECT sum(count)::INTEGER FROM pragma_storage_info('spectra_requests') "
            "WHERE column_name = 'latency_ms' AND segment_type = 'BIGINT' GROUP BY row_group_id ORDER BY row_group_id"
        )
        with database.reader(store.path) as connection:
            return [rows for (rows,) in database.fetch(connection, sql)[1]]

    for first in range(0, 36_000, 9_000):
        store.append([record(number) for number in range(first, first + 9_000)])
        merger._pace.pause(0.0)
        assert merger.merge_politely() is not None
        assert merger.is_behind
    assert parts() == [9_000] * 4
    store.append([record(36_000)])
    assert store.merge_pending().new == 1
    assert parts()[0] == schema.ROW_GROUP
    assert rollup_differences(store) == []


@pytest.mark.parametrize(("rows", "share"), [(200, merge.HOLD_SHARE), (merge.SMALL_BACKLOG + 200, 0.5)])
def test_a_polite_merge_leaves_the_file_to_others(store: DuckDBStore, rows: int, share: float) -> None:
    """For four fifths of the time, or half of it with a backlog; nobody merges in between, and a command does not wait."""
    store.append(record(number) for number in range(rows))
    merger = merge.Merger(store.path, store.spool)
    assert merger.merge_politely() is not None
    assert merger.held / (merger.held + merger.wait()) < share + 0.1
    store.append([record(rows)])
    assert merge.Merger(store.path, store.spool).merge_politely() is None
    assert store.merge_pending().new > 0


def test_a_merge_that_fails_is_polite_too(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It kept others out as long."""

    def fail(*_: object) -> None:
        time.sleep(0.1)
        raise StoreError("disk full")

    store.append([record(0)])
    monkeypatch.setattr(intake.Intake, "take", fail)
    merger = merge.Merger(store.path, store.spool)
    with pytest.raises(StoreError, match="disk full"):
        merger.merge_politely()
    assert merger.held >= 0.1
    assert merger.wait() > 3 * 0.1


def test_the_spool_refuses_when_full(tmp_path: Path) -> None:
    """Beyond max_spool_bytes nothing is written, and the message names the setting."""
    spool = Spool(tmp_path / "x.duckdb", max_bytes=1000)
    spool.append(Lines([b"x" * 600 + b"\n"]))
    with pytest.raises(SpoolFullError, match="max_spool_bytes 1000"):
        spool.append(Lines([b"x" * 600 + b"\n"]))
    assert len(spool.sealed()) == 1


def test_the_spool_can_drop_the_oldest(tmp_path: Path) -> None:
    """With drop_oldest the newest records stay and the loss is counted."""
    spool = Spool(tmp_path / "x.duckdb", max_bytes=1000, drop_oldest=True)
    for letter in (b"a", b"b", b"c"):
        spool.append(Lines([letter * 600 + b"\n"]))
    (kept,) = spool.sealed()
    assert b"ccc" in kept.path.read_bytes()
    assert spool.dropped_rows == 2
