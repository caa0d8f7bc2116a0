"""How the store is doing: what waits in the spool, what was put aside, who holds the file."""

from __future__ import annotations

import time
from pathlib import Path

from spectra_otel.errors import StoreBusyError, StoreError
from spectra_otel.exporters.duckdb import database, schema
from spectra_otel.exporters.duckdb.spool import Segment, Spool
from spectra_otel.exporters.duckdb.sql import one_row
from spectra_otel.model.store import StoreHealth


def examine(path: Path, spool: Spool) -> StoreHealth:
    """State of database and spool, without merging and without waiting. Raises nothing for a busy, broken or missing file."""
    problem: str | None = None
    segments: list[Segment] = []
    try:
        segments = spool.sealed()
    except StoreError as error:
        problem = str(error)
    quarantined = [file.stat().st_size for file in _files(spool.quarantine) if file.suffix != ".reason"]
    health = StoreHealth(
        database=path,
        database_bytes=path.stat().st_size if path.exists() else None,
        schema_version=None,
        requests=None,
        spool=spool.folder,
        pending_segments=len(segments),
        pending_rows=sum(segment.rows for segment in segments),
        pending_bytes=sum(segment.size for segment in segments),
        oldest_pending_seconds=max(0.0, time.time() - min(s.modified for s in segments)) if segments else None,
        quarantined_files=len(quarantined),
        quarantined_bytes=sum(quarantined),
        holder_pid=None,
        problem=problem,
    )
    if problem is None and path.exists():
        _look_inside(health)
    return health


def _look_inside(health: StoreHealth) -> None:
    try:
        with database.reader(health.database, patience=1.0) as connection:
            health.schema_version = schema.version_of(connection)
            if health.schema_version:
                (health.requests,) = one_row(connection, "SELECT count(*) FROM spectra_requests")
    except StoreBusyError as error:
        health.holder_pid = database.holder(str(error.__cause__))
        health.problem = str(error)
    except StoreError as error:
        health.problem = str(error)


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
