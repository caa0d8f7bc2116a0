"""The store as the CLI and the dashboard see it: one class, a method per verb; the work is in the module of that name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb import database, line, queries
from spectra_otel.exporters.duckdb.merge import Merger
from spectra_otel.exporters.duckdb.spool import Spool
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.store import MergeResult, Progress, Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SEGMENT_ROWS, SEGMENT_BYTES = 32_768, 32 << 20
"""Where :meth:`DuckDBStore.append` begins a new segment."""


class DuckDBStore:
    """A :class:`~spectra_otel.model.store.RecordStore` in a DuckDB file.

    Args:
        path: The DuckDB file; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.spool = Spool(self.path)
        self._merger = Merger(self.path, self.spool)

    def append(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Put records on disk, durably. Raises :class:`StoreError` where the disk refuses."""
        count = 0
        for lines in _batches(records):
            self._append(lines)
            count += len(lines)
        return count

    def import_records(self, records: Iterable[Mapping[str, Any]], progress: Progress | None = None) -> MergeResult:
        """Append and merge a stream of records in bounded memory."""
        from spectra_otel.exporters.duckdb.importing import merge_alongside

        return merge_alongside(self._merger, map(self._append, _batches(records)), progress)

    def merge_pending(self, progress: Progress | None = None) -> MergeResult:
        """Bring what is in the spool into the database. Raises :class:`StoreBusyError` where another process holds it."""
        if not self.spool.sealed() and (self.path.exists() or not self.spool.folder.exists()):
            return MergeResult()
        return self._merger.merge_all(progress)

    @contextmanager
    def connect(self) -> Iterator[DuckDBPyConnection]:
        """A read-only connection to merged and pending rows."""
        self.merge_pending()
        with database.reader(self.path) as connection:
            yield connection

    def query(self, sql: str, params: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of one read-only SQL query."""
        with self.connect() as connection:
            return database.fetch(connection, sql, params)

    def costs(
        self,
        by: str = "model",
        since: datetime | None = None,
        until: datetime | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Row]:
        """Cost by group, dearest first."""
        return self._rows(*queries.costs(by, since, until, filters))

    def requests(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Records, newest first."""
        return self._rows(*queries.requests(since, until, filters, limit))

    def request(self, id: str) -> Row | None:
        """One record by id."""
        rows = self._rows(*queries.request(id))
        return rows[0] if rows else None

    def _append(self, lines: list[bytes]) -> int:
        try:
            self.spool.append(lines)
        except OSError as error:
            raise StoreError(f"{self.spool.folder}: {error.strerror or error}") from error
        return len(lines)

    def _rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        columns, rows = self.query(sql, params)
        return [dict(zip(columns, row, strict=True)) for row in rows]


def _batches(records: Iterable[Mapping[str, Any]]) -> Iterator[list[bytes]]:
    """Lines of records, in lists that make a segment each."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        values, rev = (record.known(), record.rev) if isinstance(record, TrackedRequest) else (record, 0)
        text = line.encode(values, rev)
        lines.append(text)
        size += len(text)
        if len(lines) >= SEGMENT_ROWS or size >= SEGMENT_BYTES:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines
