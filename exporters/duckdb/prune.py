"""Removing old rows, shrinking the file, and making the rollups anew."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb import database, rollups, schema
from spectra_otel.exporters.duckdb.merge import exclusive, merge_lock
from spectra_otel.exporters.duckdb.queries import microseconds
from spectra_otel.exporters.duckdb.spool import Spool, sync_folder
from spectra_otel.exporters.duckdb.sql import one_row, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def prune(path: Path, spool: Spool, hours: float, now: datetime | None = None) -> int:
    """Remove the rows of whole UTC days that ended more than ``hours`` ago; rollups stay. Returns how many.

    DuckDB uses the freed blocks again; the file shrinks only with :func:`compact`.
    """
    moment = (now or datetime.now(UTC)) - timedelta(hours=hours)
    before = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with exclusive(path, spool) as connection:
        limit = f"started_at < make_timestamptz({microseconds(before)})"
        connection.begin()
        (rows,) = one_row(connection, f"SELECT count(*) FROM spectra_requests WHERE {limit}")
        if rows:
            connection.execute(f"DELETE FROM spectra_requests WHERE {limit}")
            connection.execute(f"DELETE FROM spectra_costs WHERE {limit}")
            connection.execute(
                f"INSERT INTO spectra_prunes VALUES (now(), make_timestamptz({microseconds(before)}), ?)", [rows]
            )
        connection.commit()
    return int(rows)


def compact(path: Path, spool: Spool) -> None:
    """Write the database anew and put it in the place of the old file. Raises :class:`StoreError`; the old file stays then."""
    fresh = path.with_name(f".{path.name}.compact")
    fresh.unlink(missing_ok=True)
    try:
        with merge_lock(spool, database.PATIENCE_SECONDS):
            with database.writer(path, database.PATIENCE_SECONDS) as connection:
                connection.execute("CHECKPOINT")
                connection.execute(f"ATTACH {quoted(str(fresh))} AS fresh {schema.NEW_FILE}")
                (name,) = one_row(connection, "SELECT current_database()")
                schema.copy_database(connection, str(name), "fresh")
                connection.execute("DETACH fresh")
            fresh.chmod(0o600)
            fresh.replace(path)
            sync_folder(path.parent)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{path}: cannot be compacted: {database.first_line(error)}") from error
    finally:
        fresh.unlink(missing_ok=True)


def rebuild_stats(path: Path, spool: Spool, start: date | None, end: date | None) -> int:
    """Make the rollups of the UTC days ``start`` to ``end`` anew. Days whose rows were pruned are left as they are."""
    with exclusive(path, spool) as connection:
        first, last = _days(connection)
        if first is None or last is None:
            return 0
        first, last = max(first, start or first), min(last, end or last)
        if first > last:
            return 0
        connection.begin()
        rollups.rebuild(connection, first, last)
        connection.commit()
    return (last - first).days + 1


def _days(connection: DuckDBPyConnection) -> tuple[date | None, date | None]:
    """First and last UTC day that rows or rollups know, after what was pruned."""
    day = rollups.DAY
    sql = (
        f"SELECT greatest(min(d), (SELECT max({day.format('before')}) FROM spectra_prunes)), max(d) FROM ("
        f"SELECT {day.format('started_at')} AS d FROM spectra_requests "
        f"UNION ALL SELECT {day.format('hour')} FROM spectra_hourly_stats "
        "UNION ALL SELECT day FROM spectra_daily_users UNION ALL SELECT day FROM spectra_daily_tags "
        "UNION ALL SELECT day FROM spectra_daily_latency)"
    )
    first, last = one_row(connection, sql)
    return first, last
