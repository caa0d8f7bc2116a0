"""Tables, views and comments of the database, made from :data:`~spectra_otel.model.fields.FIELDS`, and their versions.

Columns are only ever added. A file of an older version is migrated in place after a backup; a file of a newer one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_otel.errors import StoreError, StoreVersionError
from spectra_otel.exporters.duckdb.rollups import DAY, HOURLY, ROLLUPS
from spectra_otel.exporters.duckdb.sql import identifier, one_row, quoted
from spectra_otel.model.fields import FIELDS, MONEY

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERSION = 4
STORAGE_VERSION = "v1.0.0"
"""The oldest format that our tests pass with, so that the clients people have (Metabase, Grafana, JDBC) can read the file."""

ROW_GROUP = 16_384
"""Rows that DuckDB compresses together. A transaction of just as many is compressed as it is written; of others, the last rows
are written to the log first, and anew at every closing until their group is full: half as much work again, and more memory."""

NEW_FILE = f"(STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP})"
"""Options of ATTACH for a file that is made."""

Migration = Callable[["DuckDBPyConnection"], None]

REQUEST_COLUMNS: tuple[tuple[str, str, str], ...] = (
    *((field.name, field.type, field.doc) for field in FIELDS.values()),
    ("trace_key", "UBIGINT", "The first 16 hex digits of trace_id as a number: look-ups by it are ten times as fast."),
    ("rev", "INTEGER", "Revision of the record; the store keeps the highest."),
)

_Columns = tuple[tuple[str, str, str], ...]
_TABLES: Mapping[str, tuple[str, _Columns]] = {
    "spectra_requests": ("One row per provider response.", REQUEST_COLUMNS),
    "spectra_costs": (
        "Repricings, append-only: one row where a cost changed. The newest is also current_cost_in_cents of the request.",
        (
            ("request_id", "VARCHAR", "id of the record in spectra_requests."),
            ("started_at", "TIMESTAMPTZ", "When the call began (UTC)."),
            ("computed_at", "TIMESTAMPTZ", "When this cost was computed (UTC)."),
            ("price_version", "VARCHAR", "Digest of the catalog that priced it."),
            ("reason", "VARCHAR", "Why it was computed: reprice, or unpriced for a record whose model the catalog has learnt."),
            ("status", "VARCHAR", "cost_status of this cost."),
            ("amount", MONEY, "Cost in cents; NULL when not known."),
        ),
    ),
    **{
        rollup.name: (rollup.doc, tuple((c.name, c.type, c.doc) for c in (*rollup.keys, *rollup.sums)))
        for rollup in ROLLUPS
    },
    "spectra_segments": (
        "Spool segments that have been merged, so that none is merged twice. Old entries are removed.",
        (
            ("name", "VARCHAR", "File name of the segment."),
            ("rows", "BIGINT", "Records it held."),
            ("merged_at", "TIMESTAMPTZ", "When it was merged (UTC)."),
        ),
    ),
    "spectra_prunes": (
        "What was pruned: rows before a moment are gone and are not taken in again; the rollups still have them.",
        (
            ("pruned_at", "TIMESTAMPTZ", "When (UTC)."),
            ("before", "TIMESTAMPTZ", "Rows that began before this moment were removed (UTC)."),
            ("rows", "BIGINT", "How many."),
        ),
    ),
    "spectra_catalogs": (
        "Price catalogs that this database has seen: at a new one, records without a cost are priced again.",
        (
            ("price_version", "VARCHAR", "Digest of the catalog and of the user's own prices."),
            ("seen_at", "TIMESTAMPTZ", "When it was first seen (UTC)."),
            ("changed", "BIGINT", "Records whose cost or status it changed."),
        ),
    ),
    "spectra_schema": (
        "Versions of this schema that the file has had; the highest is the present one.",
        (
            ("version", "INTEGER", "Version of the schema."),
            ("applied_at", "TIMESTAMPTZ", "When it was applied (UTC)."),
            ("program", "VARCHAR", "Version of Spectra that applied it."),
        ),
    ),
}  # fmt: skip

_SUMS = ", ".join(f"sum({c.name})::{c.type} AS {c.name}" for c in HOURLY.sums)
_DAILY_KEYS = "provider, model, model_type, service_name, environment"
_VIEWS: Mapping[str, tuple[str, str]] = {
    "spectra_daily_stats": (
        "Sums by UTC day, provider, model, model type, service and environment.",
        f"SELECT {DAY.format('hour')} AS day, {_DAILY_KEYS}, {_SUMS} FROM spectra_hourly_stats GROUP BY ALL",
    ),
    "spectra_tags": (
        "One row per record and tag.",
        "SELECT id AS request_id, started_at, unnest(tags) AS tag FROM spectra_requests",
    ),
    "spectra_metadata": (
        "One row per record and leaf of its metadata; the key of a nested value is its path, such as tenant.id.",
        "SELECT r.id AS request_id, r.started_at, substr(m.fullkey, 3) AS key, m.atom ->> '$' AS value "
        "FROM spectra_requests AS r, json_tree(r.metadata) AS m WHERE m.atom IS NOT NULL",
    ),
    "spectra_costs_by_model": (
        "All-time sums by provider, model and model type.",
        f"SELECT provider, model, model_type, {_SUMS} FROM spectra_hourly_stats GROUP BY ALL",
    ),
    "spectra_costs_by_day": (
        "Sums by UTC day.",
        f"SELECT {DAY.format('hour')} AS day, {_SUMS} FROM spectra_hourly_stats GROUP BY ALL",
    ),
    "spectra_unpriced": (
        "What has no cost yet: records without a current cost, by provider, model, tier and status.",
        "SELECT provider, model, model_type, pricing_tier, current_cost_status AS cost_status, count(*) AS requests, "
        "sum(prompt_tokens)::BIGINT AS prompt_tokens, sum(completion_tokens)::BIGINT AS completion_tokens, "
        "min(started_at) AS first_seen, max(started_at) AS last_seen, any_value(id) AS example_id "
        "FROM spectra_requests WHERE current_cost_in_cents IS NULL GROUP BY ALL",
    ),
}

TABLES = tuple(_TABLES)
VIEWS = tuple(_VIEWS)


def create(connection: DuckDBPyConnection) -> None:
    """Make all tables, views and comments in an empty database."""
    for name in _TABLES:
        _create_table(connection, name)
    for name, (doc, sql) in _VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")
        connection.execute(f"COMMENT ON VIEW {name} IS {quoted(doc)}")
    _note_version(connection, VERSION)


def _create_table(connection: DuckDBPyConnection, name: str) -> None:
    doc, columns = _TABLES[name]
    connection.execute(f"CREATE TABLE {name} ({', '.join(f'{column} {type_}' for column, type_, _ in columns)})")
    connection.execute(f"COMMENT ON TABLE {name} IS {quoted(doc)}")
    for column, _, column_doc in columns:
        connection.execute(f"COMMENT ON COLUMN {name}.{column} IS {quoted(column_doc)}")


def _add_catalogs(connection: DuckDBPyConnection) -> None:
    _create_table(connection, "spectra_catalogs")


def _add_columns(connection: DuckDBPyConnection) -> None:
    """Add to ``spectra_requests`` the columns that it lacks."""
    described = connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 'spectra_requests'")
    known = {name for (name,) in described.fetchall()}
    for column, type_, doc in REQUEST_COLUMNS:
        if column not in known:
            connection.execute(f"ALTER TABLE spectra_requests ADD COLUMN {column} {type_}")
            connection.execute(f"COMMENT ON COLUMN spectra_requests.{column} IS {quoted(doc)}")


MIGRATIONS: Mapping[int, Migration] = {2: _add_catalogs, 3: _add_columns, 4: _add_columns}
"""Version → what makes it from the version before."""


def create_file(path: Path) -> None:
    """Make a database file at ``path``, whole or not at all. The caller holds the merge lock."""
    import duckdb

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH {quoted(str(fresh))} AS fresh {NEW_FILE}")
            connection.execute("USE fresh")
            connection.begin()  # one transaction: each of two hundred would wait for the disk
            create(connection)
            connection.commit()
        fresh.chmod(0o600)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def copy_database(connection: DuckDBPyConnection, source: str, target: str) -> None:
    """Copy one attached database into another, which is empty."""
    connection.execute(f"COPY FROM DATABASE {identifier(source)} TO {identifier(target)}")


def version_of(connection: DuckDBPyConnection) -> int:
    """Version of the schema in an open database; 0 where there is none of ours."""
    import duckdb

    try:  # to ask the catalog first would keep the file from others for three milliseconds more
        (newest,) = one_row(connection, "SELECT coalesce(max(version), 0) FROM spectra_schema")
    except duckdb.CatalogException:
        return 0
    return int(newest)


def refuse_newer(found: int, path: Path) -> None:
    """Raise :class:`StoreVersionError` where a newer program wrote the file."""
    if found > VERSION:
        raise StoreVersionError(
            f"{path}: schema version {found} is newer than this program's {VERSION}; upgrade spectra-otel to open it"
        )


def ensure(
    connection: DuckDBPyConnection, path: Path, migrations: Mapping[int, Migration] = MIGRATIONS, target: int = VERSION
) -> None:
    """Bring an open, writable database to ``target``: tables into a foreign file, or one migration after the other.

    A backup ``<file>.v<version>.backup`` is made before the first migration. Raises :class:`StoreVersionError` for a newer
    file and :class:`StoreError` where the backup cannot be made.
    """
    found = version_of(connection)
    refuse_newer(found, path)
    if found == 0:
        connection.begin()
        create(connection)
        connection.commit()
        return
    if found < target:
        _back_up(connection, path, found)
    for number in range(found + 1, target + 1):
        connection.begin()
        migrations[number](connection)
        _note_version(connection, number)
        connection.commit()


def program_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("spectra-otel")
    except PackageNotFoundError:
        return "unknown"


def _note_version(connection: DuckDBPyConnection, number: int) -> None:
    connection.execute("INSERT INTO spectra_schema VALUES (?, now(), ?)", [number, program_version()])


def _back_up(connection: DuckDBPyConnection, path: Path, found: int) -> None:
    import duckdb

    backup = path.with_name(f"{path.name}.v{found}.backup")
    backup.unlink(missing_ok=True)
    (present,) = one_row(connection, "SELECT current_database()")
    try:
        # Not a copy of the file: to close it, even only after reading, would give up DuckDB's lock on it.
        connection.execute(f"ATTACH {quoted(str(backup))} AS backup {NEW_FILE}")
        copy_database(connection, str(present), "backup")
        connection.execute("DETACH backup")
    except duckdb.Error as error:
        raise StoreError(f"{path}: no backup before migrating from schema version {found}: {error}") from error
