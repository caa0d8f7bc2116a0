"""The exporter: on disk before SUCCESS, safe in forks, quiet in trouble."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from spectra_otel.component import ComponentID, Kind, registry
from spectra_otel.errors import ConfigError, StoreError
from spectra_otel.exporters.duckdb import background, database, importing, merge, schema
from spectra_otel.exporters.duckdb.config import DuckDBConfig
from spectra_otel.exporters.duckdb.exporter import DuckDBExporter
from spectra_otel.exporters.duckdb.store import DuckDBStore
from tests.exporters.duckdb.processes import child, until, wait
from tests.exporters.duckdb.records import ids, record, spans


@pytest.fixture
def exporter(store: DuckDBStore) -> DuckDBExporter:
    return DuckDBExporter(DuckDBConfig(path=str(store.path), merge="off"))


def test_it_is_found_by_name(store: DuckDBStore) -> None:
    """The registry makes exporter and store from one config, and knows that it takes unsampled records."""
    factory = registry(Kind.EXPORTER)["duckdb"]
    assert factory.records
    assert factory.store is not None
    config = DuckDBConfig(path=str(store.path))
    made = factory.create(ComponentID.parse("duckdb/second"), config)
    assert isinstance(made, DuckDBExporter)
    assert factory.store(config).path == store.path


def test_a_spool_of_another_user_is_one_line(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose it is, at the start of a collector, from `doctor`, and from a merge, whose thread lives on."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    assert exporter.export(spans(record(0))) is SpanExportResult.SUCCESS
    assert until(lambda: not store.spool.sealed(), 60)
    message = f"{store.spool.folder}: Permission denied; it belongs to user {store.spool.folder.owner()}"

    def denied(folder: object) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", denied)
        patched.setattr("os.access", lambda *_: False)
        assert store.doctor().problem == message
        assert store.costs()[0]["requests"] == 1
        assert f"{message}; rows that wait in the spool are not included" in caplog.text
        with pytest.raises(ConfigError, match="it belongs to user"):
            exporter.start()
        exporter._merge.wake()  # type: ignore[union-attr]
        assert until(lambda: f"duckdb: merge: {message}; trying again" in caplog.text, 60)
    assert exporter.export(spans(record(1))) is SpanExportResult.SUCCESS
    assert until(lambda: not store.spool.sealed(), 60)
    exporter.shutdown()
    assert len(ids(store)) == 2


def test_success_means_on_disk(exporter: DuckDBExporter, store: DuckDBStore) -> None:
    """What is exported is in the spool when export returns, and a span without a record is not stored."""
    assert exporter.export(spans(record(0), None, record(1))) is SpanExportResult.SUCCESS
    assert sum(segment.rows for segment in store.spool.sealed()) == 2
    assert len(ids(store)) == 2
    assert exporter.counts.stored == 2


def test_what_is_acknowledged_would_survive_a_power_cut(
    exporter: DuckDBExporter, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced before it gets its name, and then each folder that has a new entry."""
    done: list[tuple[str, str]] = []
    sync, rename = os.fsync, Path.rename

    def noted_sync(descriptor: int) -> None:
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        done.append(("rename", str(path)))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    assert exporter.export(spans(record(0))) is SpanExportResult.SUCCESS
    spool = store.spool.folder
    *made, (synced, file), (named, renamed), (last, folder) = done
    assert {path for _, path in made} == {str(spool.parent), str(spool.parent.parent)}
    assert (synced, named, last) == ("sync", "rename", "sync")
    assert file == renamed
    assert folder == str(spool)


def test_a_disk_that_cannot_sync_acknowledges_nothing(
    exporter: DuckDBExporter, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that may be lost is no success, and what was written of it is gone."""

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    assert exporter.export(spans(record(0))) is SpanExportResult.FAILURE
    assert store.spool.sealed() == []
    assert list(store.spool.folder.iterdir()) == []


def test_spans_without_records_write_nothing(exporter: DuckDBExporter, store: DuckDBStore) -> None:
    """An app without AI calls never makes a file."""
    assert exporter.export(spans(None, None)) is SpanExportResult.SUCCESS
    assert not store.spool.folder.exists()


def test_a_record_nobody_can_store_does_not_stop_the_others(
    exporter: DuckDBExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """A record without an id is counted, said once, and the batch goes on."""
    for _ in range(3):
        assert exporter.export(spans(record(0, id=None), record(1))) is SpanExportResult.SUCCESS
    assert (exporter.counts.invalid, exporter.counts.stored) == (3, 3)
    assert len(caplog.records) == 1


def test_it_imports_no_duckdb(store: DuckDBStore) -> None:
    """The app's export path needs neither duckdb nor filelock."""
    code = (
        "import sys\n"
        "from spectra_otel.exporters.duckdb.factory import factory\n"
        "from spectra_otel.exporters.duckdb.config import DuckDBConfig\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from spectra_otel.model.record import TrackedRequest\n"
        "from spectra_otel.model.spans import TrackedSpan\n"
        "span = TracerProvider().get_tracer('t').start_span('t'); span.end()\n"
        "values = {'id': 'x', 'started_at': __import__('datetime').datetime.now()}\n"
        f"exporter = factory().create(None, DuckDBConfig(path={str(store.path)!r}))\n"
        "exporter.export([TrackedSpan(span, TrackedRequest(values), True)])\n"
        "exporter.shutdown()\n"
        "print(exporter.counts.stored, sorted({'duckdb', 'filelock', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 []"


def test_a_full_disk_is_said_once_and_leaves_nothing_half(
    exporter: DuckDBExporter, store: DuckDBStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Failures are counted; the spool holds no partial file; when there is room again, all goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
        for number in range(3):
            assert exporter.export(spans(record(number))) is SpanExportResult.FAILURE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert exporter.counts.failed == 3
    assert len(caplog.records) == 1
    assert list(store.spool.folder.iterdir()) == []
    assert exporter.export(spans(record(9))) is SpanExportResult.SUCCESS
    assert ids(store) == [record(9)["id"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_file_system(tmp_path: Path) -> None:
    """On a really full disk exports fail, the merge says so, and what was acknowledged is whole afterwards."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no tmpfs here")
    try:
        store = DuckDBStore(place / "x.duckdb")
        exporter = DuckDBExporter(DuckDBConfig(path=str(store.path), merge="off"))
        stored = set()
        for number in range(0, 20_000, 100):
            batch = [record(n) for n in range(number, number + 100)]
            if exporter.export(spans(*batch)) is SpanExportResult.SUCCESS:
                stored |= {values["id"] for values in batch}
        assert exporter.counts.failed > 0
        with pytest.raises(StoreError, match=r"No space|not enough|Could not"):
            store.merge_pending()
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        assert set(ids(store)) == stored
        assert len(ids(store)) == len(stored)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_spool_refuses(store: DuckDBStore, caplog: pytest.LogCaptureFixture) -> None:
    """The sender is told FAILURE and may try again."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path), merge="off", max_spool_bytes=1500))
    assert exporter.export(spans(record(0))) is SpanExportResult.SUCCESS
    assert exporter.export(spans(record(1), record(2))) is SpanExportResult.FAILURE
    assert "max_spool_bytes 1500" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_spool_bytes": -1}, "max_spool_bytes: -1"),
        ({"when_full": "explode"}, 'when_full: "explode" is not valid (valid values: refuse, drop_oldest)'),
        ({"merge": "never"}, 'merge: "never" is not valid (valid values: background, off)'),
        ({"path": "/"}, "path: / is a folder"),
    ],
)
def test_bad_settings_are_one_line(settings: dict[str, object], message: str) -> None:
    """Setting, value, valid values."""
    with pytest.raises(ConfigError) as raised:
        DuckDBConfig(**settings).validate()  # type: ignore[arg-type]
    assert message in str(raised.value)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A background merge that does not wait for two seconds."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(background, "_EVERY_SECONDS", 0.05)


@pytest.mark.usefixtures("hasty")
def test_the_app_merges_by_itself(store: DuckDBStore) -> None:
    """Soon after an export the rows are in the file, without any command, and nobody holds it."""
    import duckdb

    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    exporter.export(spans(record(0)))
    assert until(lambda: store.path.exists() and not store.spool.sealed(), 10)
    exporter.export(spans(record(1)))
    assert until(lambda: not store.spool.sealed(), 10)
    exporter.shutdown()
    with duckdb.connect(str(store.path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM spectra_requests").fetchall() == [(2,)]


@pytest.mark.usefixtures("hasty")
def test_forks_at_any_moment_lose_and_double_nothing(store: DuckDBStore) -> None:
    """A parent that exports and merges forks children that do too: every record is there once."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))

    def work(first: int) -> None:
        for number in range(first, first + 20):
            assert exporter.export(spans(record(number))) is SpanExportResult.SUCCESS
            time.sleep(0.002)

    children = []
    for round in range(8):
        work(round * 1000)
        children.append(child(lambda: work(round * 1000 + 500)))  # noqa: B023 - runs before the next round
    assert [wait(pid) for pid in children] == [0] * 8
    exporter.shutdown()
    assert len(ids(store)) == len(set(ids(store))) == 8 * 40


def test_no_new_thread_at_the_end_of_the_interpreter_is_no_failure(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last record of a script is stored all the same, and the next process merges it."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    last = spans(record(0))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert exporter.export(last) is SpanExportResult.SUCCESS
        exporter.shutdown()
    assert len(ids(store)) == 1


@pytest.fixture
def is_open(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a merge has the database open, which is then slow."""
    is_open, opening = threading.Event(), database.attached

    @contextmanager
    def slowly(*args: Any) -> Iterator[float]:
        with opening(*args) as began:
            is_open.set()
            time.sleep(0.3)
            yield began

    monkeypatch.setattr(database, "attached", slowly)
    return is_open


@pytest.mark.usefixtures("hasty")
def test_ctrl_c_at_the_end_waits_for_the_merge(store: DuckDBStore, is_open: threading.Event) -> None:
    """And is raised then: a thread within DuckDB at the end of the interpreter would make an abort of it."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    exporter.export(spans(record(0)))
    assert is_open.wait(10)
    threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        exporter.shutdown()
    assert store.spool.sealed() == []


def test_ctrl_c_in_an_import_waits_for_the_merge(store: DuckDBStore, is_open: threading.Event) -> None:
    """What was appended is merged or waits in the spool."""

    def appended() -> Iterator[int]:
        yield store.append([record(0)])
        assert is_open.wait(10)
        store.append([record(1)])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importing.merge_alongside(merge.Merger(store.path, store.spool), appended(), None)
    assert [segment.rows for segment in store.spool.sealed()] == [1]
    assert len(ids(store)) == 2


@pytest.mark.usefixtures("hasty")
def test_a_fork_waits_for_a_merge(store: DuckDBStore, is_open: threading.Event) -> None:
    """A child inherits neither the open database nor the lock of the merger."""
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    exporter.export(spans(record(0)))
    assert is_open.wait(10)

    def look() -> None:
        held = [os.readlink(place) for place in Path("/proc/self/fd").iterdir() if place.is_symlink()]
        assert [path for path in held if path.startswith(str(store.path.parent))] == []

    assert wait(child(look)) == 0
    exporter.shutdown()
    assert len(ids(store)) == 1


def _junk(path: Path) -> None:
    path.write_bytes(b"junk" * 5000)


def _newer(path: Path) -> None:
    schema.create_file(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO spectra_schema VALUES (999, now(), '9.9')")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_junk, "not a valid DuckDB database"), (_newer, "schema version 999 is newer than this program's")],
)
def test_trouble_of_the_merge_does_not_reach_the_app(
    spoil: Callable[[Path], None], message: str, store: DuckDBStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is none, or a newer program's: exports succeed, one warning says what is wrong, the records wait."""
    spoil(store.path)
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            assert exporter.export(spans(record(number))) is SpanExportResult.SUCCESS
            time.sleep(0.1)
        assert until(lambda: caplog.records, 5)
        time.sleep(0.3)
    exporter.shutdown()
    assert len(caplog.records) == 1
    assert message in caplog.text
    assert len(store.spool.sealed()) == 5
