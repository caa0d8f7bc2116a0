"""A consistent copy of the database, published by rename: for BI tools that keep a file open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb import database
from spectra_otel.exporters.duckdb.merge import merge_lock
from spectra_otel.exporters.duckdb.spool import Spool, sync_folder


def snapshot(path: Path, spool: Spool, target: Path) -> Path:
    """Copy the database to ``target``. A reader that has the former copy open keeps it. Raises :class:`StoreError`."""
    target = target.expanduser().absolute()
    if target == path.absolute() or (target.exists() and path.exists() and target.samefile(path)):
        raise StoreError(f"snapshot: {target} is the database itself; name another file")
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with merge_lock(spool, database.PATIENCE_SECONDS):
            with database.writer(path, database.PATIENCE_SECONDS) as connection:
                connection.execute("CHECKPOINT")
            # Open for reading while the bytes are copied: whoever wants to write has to wait.
            with database.reader(path):
                shutil.copyfile(path, fresh)
        _sync(fresh)
        fresh.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"snapshot: {target}: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
