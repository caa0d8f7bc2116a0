"""The file: every table and column explained, readable by plain clients, migrated forward, never backward."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from spectra_otel.errors import StoreError, StoreVersionError
from spectra_otel.exporters.duckdb import database, schema
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.fields import FIELDS
from tests.exporters.duckdb.records import record, some_records

NEXT = schema.VERSION + 1


def test_every_table_and_column_has_a_comment(store: DuckDBStore) -> None:
    """A newcomer can read the schema from the database itself."""
    store.append([record()])
    for what in ("duckdb_tables()", "duckdb_views()"):
        assert store.query(f"SELECT * FROM {what} WHERE NOT internal AND comment IS NULL")[1] == []
    silent = (
        f"SELECT table_name, column_name FROM duckdb_columns() WHERE table_name IN {schema.TABLES} AND comment IS NULL"
    )
    assert store.query(silent)[1] == []


def test_the_columns_are_the_fields(store: DuckDBStore) -> None:
    """spectra_requests has the vocabulary's fields in their order, then the store's own two."""
    columns = [name for name, *_ in store.query("DESCRIBE spectra_requests")[1]]
    assert columns == [*FIELDS, "trace_key", "rev"]


@pytest.mark.parametrize("name", [*schema.TABLES, *schema.VIEWS])
def test_every_table_and_view_answers_a_plain_client(store: DuckDBStore, name: str) -> None:
    """Whatever is in the database can be read by duckdb alone, in another process, without pytz."""
    store.append(some_records(50))
    store.prune(24 * 365 * 100)
    store.merge_pending()
    sql = f"SELECT COLUMNS(*)::VARCHAR FROM {name}"
    code = f"import duckdb; print(len(duckdb.connect({str(store.path)!r}, read_only=True).execute({sql!r}).fetchall()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if name not in ("spectra_catalogs", "spectra_costs", "spectra_prunes", "spectra_metadata"):
        assert int(done.stdout) > 0


def test_the_tables_of_an_empty_place_can_be_queried(tmp_path: Path) -> None:
    """Before the first record there is no file, and queries answer with nothing."""
    store = DuckDBStore(tmp_path / "none" / "spectra.duckdb")
    assert store.requests() == []
    assert store.costs("tag") == []
    assert not store.path.exists()


def test_metadata_is_a_row_by_leaf(store: DuckDBStore) -> None:
    """Nested keys are paths; text has no quotes."""
    store.append([record(0, metadata={"tenant": {"id": "t1", "size": 3}, "flag": True})])
    rows = store.query("SELECT key, value FROM spectra_metadata ORDER BY key")[1]
    assert rows == [("flag", "true"), ("tenant.id", "t1"), ("tenant.size", "3")]


def test_a_newer_file_is_refused_in_one_line(store: DuckDBStore) -> None:
    """An old program does not touch what a newer one wrote; the records wait in the spool."""
    store.append([record(0)])
    store.merge_pending()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("INSERT INTO spectra_schema VALUES (99, now(), '9.9')")
    store.append([record(1)])
    for attempt in (store.merge_pending, store.requests):
        with pytest.raises(
            StoreVersionError, match=r"schema version 99 is newer than this program's \d+; upgrade spectra-otel"
        ):
            attempt()
    assert len(store.spool.sealed()) == 1
    assert "schema version 99" in str(store.doctor().problem)


def test_an_older_file_is_migrated_after_a_backup(store: DuckDBStore) -> None:
    """A migration adds its column, notes its version, and the file before it is kept."""
    store.append([record(0)])
    store.merge_pending()

    def add_colour(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("ALTER TABLE spectra_requests ADD COLUMN colour VARCHAR")

    with duckdb.connect(str(store.path)) as connection:
        schema.ensure(connection, store.path, {NEXT: add_colour}, target=NEXT)
        assert schema.version_of(connection) == NEXT
    with duckdb.connect(
        str(store.path.with_name(f"spectra.duckdb.v{schema.VERSION}.backup")), read_only=True
    ) as backup:
        assert backup.execute("SELECT count(*) FROM spectra_requests").fetchall() == [(1,)]
        assert schema.version_of(backup) == schema.VERSION


def test_a_migration_that_fails_changes_nothing(store: DuckDBStore) -> None:
    """Half a migration is none."""
    store.append([record(0)])
    store.merge_pending()

    def stumble(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("ALTER TABLE spectra_requests ADD COLUMN colour VARCHAR")
        raise ZeroDivisionError

    connection = duckdb.connect(str(store.path))
    with pytest.raises(ZeroDivisionError):
        schema.ensure(connection, store.path, {NEXT: stumble}, target=NEXT)
    connection.close()
    assert "colour" not in [name for name, *_ in store.query("DESCRIBE spectra_requests")[1]]


def test_a_file_of_version_1_gets_the_catalogs(store: DuckDBStore) -> None:
    """The first command of a newer program adds the table; the records are as they were."""
    store.append([record(0)])
    store.merge_pending()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("DROP TABLE spectra_catalogs")
        connection.execute("UPDATE spectra_schema SET version = 1")
    store.append([record(1)])
    store.merge_pending()
    assert store.query("SELECT count(*) FROM spectra_catalogs")[1] == [(0,)]
    assert len(store.requests()) == 2


def test_a_question_brings_an_older_file_up_to_date(store: DuckDBStore) -> None:
    """Also where nothing waits to be merged: every column of the vocabulary can be asked for, and a backup is there."""
    store.append([record(0)])
    store.merge_pending()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("ALTER TABLE spectra_requests DROP COLUMN instrumentation_version")
        connection.execute("UPDATE spectra_schema SET version = 3")
    assert store.query("SELECT instrumentation_version FROM spectra_requests")[1] == [(None,)]
    assert store.path.with_name(f"{store.path.name}.v3.backup").exists()


def test_a_question_adds_nothing_to_a_foreign_database(store: DuckDBStore) -> None:
    """A file that is none of ours is only looked at."""
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    assert store.query("SELECT table_name FROM duckdb_tables()")[1] == [("mine",)]


def test_a_foreign_database_keeps_its_tables(store: DuckDBStore) -> None:
    """Spectra's tables can live in a file that has others."""
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    store.append([record(0)])
    assert store.query("SELECT answer, (SELECT count(*) FROM spectra_requests) FROM mine")[1] == [(42, 1)]


BROKEN: dict[str, Callable[[Path], object]] = {
    "not a database": lambda path: path.write_bytes(b"junk" * 5000),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_one_line_and_loses_nothing(store: DuckDBStore, damage: Callable[[Path], object]) -> None:
    """The message names the file; what is in the spool stays there."""
    store.append([record(0)])
    store.merge_pending()
    damage(store.path)
    store.append([record(1)])
    with pytest.raises(StoreError) as raised:
        store.merge_pending()
    assert "spectra.duckdb" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(store.spool.sealed()) == 1
    assert store.doctor().problem


def test_the_file_has_the_oldest_format_that_works(store: DuckDBStore) -> None:
    """A file made or compacted by a new DuckDB can be read by clients of years ago."""
    store.append([record(0)])
    store.prune(24 * 365 * 100, compact=True)
    tags = store.query("SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal")[1]
    assert tags == [("v1.0.0+",)]


def test_a_query_cannot_write(store: DuckDBStore) -> None:
    """`spectra query` is read-only."""
    store.append([record(0)])
    with pytest.raises(StoreError, match="read-only"):
        store.query("DELETE FROM spectra_requests")


@pytest.mark.parametrize(
    "sql",
    [
        "DESCRIBE spectra_requests",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "SUMMARIZE spectra_costs",
        "FROM spectra_tags",
        "PRAGMA version",
    ],
)
def test_statements_that_are_no_select_answer_too(store: DuckDBStore, sql: str) -> None:
    """People type more than SELECT."""
    store.append([record(0)])
    columns, rows = store.query(sql)
    assert columns
    assert rows


def test_values_are_pythons(store: DuckDBStore) -> None:
    """Times are aware, NULL is None, nested values are nested."""
    columns, ((first, second, times, counts, nested),) = store.query(
        "SELECT TIMESTAMPTZ '2026-11-20 12:00:00+02' AS t, NULL::TIMESTAMPTZ AS u, "
        "[now()] AS l, MAP {'a': 1} AS m, '[1]'::JSON AS j"
    )
    assert columns == ["t", "u", "l", "m", "j"]
    assert first.isoformat() == "2026-11-20T10:00:00+00:00"
    assert (second, counts, nested) == (None, {"a": 1}, [1])
    assert isinstance(times[0], str)


def test_sql_that_is_wrong_is_one_line(store: DuckDBStore) -> None:
    """DuckDB's message without its drawing."""
    with pytest.raises(StoreError) as raised:
        store.query("SELEKT 1")
    assert "\n" not in str(raised.value)


def test_reading_needs_no_pytz() -> None:
    """Where pytz is missing, times are read all the same."""
    code = (
        "import sys; sys.modules['pytz'] = None\n"
        "import duckdb; from spectra_otel.exporters.duckdb.database import fetch\n"
        "print(fetch(duckdb.connect(), \"SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00' AS t\"))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "datetime.datetime(2026, 1, 1, 0, 0" in done.stdout


def test_a_reader_waits_for_a_writer(store: DuckDBStore) -> None:
    """A file that another process holds is said to be in use, with its PID and program."""
    store.append([record(0)])
    store.merge_pending()
    code = f"import duckdb, sys; c = duckdb.connect({str(store.path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(StoreError, match=rf"in use by process {holder.pid} \(python[\d.]*\)$"),
            database.reader(store.path, patience=0.1),
        ):
            pass
        health = store.doctor()
        assert health.holder_pid == holder.pid
        holder.communicate("")
    assert len(store.requests()) == 1
