"""Many processes on one store: nothing lost, nothing doubled, and everybody gets at the file.

``SPECTRA_TEST_SECONDS`` makes the test of politeness as long as one likes (default 8; 60 is the real thing).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from spectra_otel.exporters.duckdb import background, database, merge
from spectra_otel.exporters.duckdb.config import DuckDBConfig
from spectra_otel.exporters.duckdb.exporter import DuckDBExporter
from spectra_otel.exporters.duckdb.store import DuckDBStore
from tests.exporters.duckdb.processes import (
    Acknowledgements,
    Holds,
    acknowledged,
    child,
    kill,
    most_held,
    until,
    wait,
)
from tests.exporters.duckdb.records import ids, record, rollup_differences, spans

SECONDS = float(os.environ.get("SPECTRA_TEST_SECONDS", "8"))
KILLS = 200


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Background merges begin at once."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(background, "_EVERY_SECONDS", 0.02)


def client(store: DuckDBStore, logs: Path, number: int, pause: float = 0.0) -> None:
    """Export batches, with a merging thread beside, until killed; log each record that was acknowledged."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    log = Acknowledgements(logs / f"{number}.log")
    chance = random.Random(number)
    call = number * 1_000_000
    while True:
        batch = [record(call + n) for n in range(chance.randint(1, 5))]
        call += len(batch)
        if exporter.export(spans(*batch)) is SpanExportResult.SUCCESS:
            log.note(*(values["id"] for values in batch))
        time.sleep(pause)


def test_eight_processes_at_once(store: DuckDBStore) -> None:
    """Eight writers that all merge too: each record once, the rollups right."""

    def work(number: int) -> None:
        exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
        for batch in range(25):
            first = number * 1000 + batch * 10
            assert exporter.export(spans(*(record(first + n) for n in range(10)))) is SpanExportResult.SUCCESS
        exporter.shutdown()

    children = [child(lambda: work(number)) for number in range(8)]  # noqa: B023 - runs in the fork, at once
    assert [wait(pid) for pid in children] == [0] * 8
    assert ids(store) == sorted({record(number * 1000 + n)["id"] for number in range(8) for n in range(250)})
    assert rollup_differences(store) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_9_loses_and_doubles_nothing_acknowledged(store: DuckDBStore, tmp_path: Path) -> None:
    """Two hundred clients killed at random moments, while writing or merging: what was acknowledged is stored once."""
    logs = tmp_path / "logs"
    logs.mkdir()
    chance = random.Random(os.environ.get("SPECTRA_TEST_SEED", time.time_ns()))
    running: list[tuple[float, int]] = []
    started = 0
    while started < KILLS or running:
        while started < KILLS and len(running) < 4:
            number = started
            running.append((time.monotonic() + chance.uniform(0.02, 0.6), child(lambda: client(store, logs, number))))  # noqa: B023
            started += 1
        running.sort()
        when, pid = running.pop(0)
        time.sleep(max(0.0, when - time.monotonic()))
        kill(pid)
    store.merge_pending()
    stored = ids(store)
    told = acknowledged(logs)
    assert len(told) > KILLS
    assert len(stored) == len(set(stored))
    assert told - set(stored) == set()
    assert rollup_differences(store) == []
    assert store.doctor().pending_segments == 0
    left = {path.suffix for path in store.spool.folder.iterdir() if path.is_file()}
    assert left <= {".lock", ".next", ".open"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_readers_and_merges_share_the_file_politely(
    store: DuckDBStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight writers; a client that opens every 50 ms gets in within a second; one that holds the file loses nobody's rows.

    The merges keep the file from others for at most a fifth of any five seconds.
    """
    monkeypatch.setattr(background, "_EVERY_SECONDS", 0.2)
    logs = tmp_path / "logs"
    logs.mkdir()
    store.append([record(0)])
    store.merge_pending()
    holds = Holds(tmp_path / "holds")
    monkeypatch.setattr(database, "attached", holds.noting(database.attached))
    writers = [child(lambda: client(store, logs, number, 0.02)) for number in range(1, 9)]  # noqa: B023
    try:
        longest, slowness = _longest_wait(store.path, SECONDS)
        noted = holds.noted()
        slack = max(hold.end - hold.began for hold in noted)
        # A merge that came out too long makes the next one smaller: some may be, not many, whatever the machine.
        assert sum(hold.worked > 2 * merge.LONGEST_HOLD for hold in noted) <= max(1, len(noted) // 10)
        assert longest < max(1.0 * slowness, 1.2 * slack), f"on a machine that gave {1 / slowness:.0%} of a core"
        # The pause follows from the hold before it; the last hold of a window may be longer than the others.
        assert most_held(noted, merge.WINDOW_SECONDS) <= merge.HOLD_SHARE * merge.WINDOW_SECONDS + slack
        assert sum(hold.end - hold.began for hold in noted) <= merge.HOLD_SHARE * SECONDS + slack
        _hold_the_file(store, SECONDS / 2)
    finally:
        for pid in writers:
            kill(pid)
    store.merge_pending()
    stored = ids(store)
    assert len(stored) == len(set(stored))
    assert acknowledged(logs) <= set(stored)
    assert rollup_differences(store) == []


def _longest_wait(path: Path, seconds: float) -> tuple[float, float]:
    """Open the file with a plain client every 50 ms for a while; merges come through meanwhile.

    Returns the longest wait, and how much longer than its processor time work takes here (1.0 on an idle machine): a merge
    that shares its core with other programs holds the file for so much longer, which is not its doing.
    """
    waits: list[float] = []
    seen: list[int] = []
    slowness: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        rows = _count(path)
        while rows is None:
            time.sleep(0.005)
            rows = _count(path)
        waits.append(time.monotonic() - began)
        seen.append(rows)
        slowness.append(_slowness())
        time.sleep(0.05)
    assert seen[-1] > seen[0], "no merge came through"
    return max(waits), max(1.0, sum(slowness) / len(slowness))


def _slowness() -> float:
    """Time over processor time of a little work."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < 0.01:
        pass
    return (time.monotonic() - began) / 0.01


def _count(path: Path) -> int | None:
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            ((rows,),) = connection.execute("SELECT count(*) FROM spectra_requests").fetchall()
            return int(rows)
    except duckdb.IOException:
        return None


def _hold_the_file(store: DuckDBStore, seconds: float) -> None:
    """Another program keeps the database open; it only delays the merges, and `doctor` names it."""
    code = f"import duckdb, sys; c = duckdb.connect({str(store.path)!r}); print('open', flush=True); sys.stdin.read()"
    holders: list[subprocess.Popen[str]] = []

    def try_to_open() -> bool:
        holder = subprocess.Popen(
            [sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
        )
        assert holder.stdout is not None
        if holder.stdout.readline() == "open\n":
            holders.append(holder)
        else:  # a merge was quicker
            holder.communicate("")
        return bool(holders)

    assert until(try_to_open, 10)
    with holders[0] as holder:
        before = store.doctor()
        assert before.holder_pid == holder.pid
        time.sleep(seconds)
        after = store.doctor()
        assert after.pending_rows > before.pending_rows
        assert after.oldest_pending_seconds is not None
        assert after.oldest_pending_seconds > seconds * 0.9
        assert after.holder_pid == holder.pid
        holder.communicate("")
