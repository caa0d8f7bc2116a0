"""The store as the CLI and the dashboard see it: one class, a method per verb; the work is in the module of that name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_otel.errors import StoreError, StoreVersionError
from spectra_otel.exporters.duckdb import (
    database,
    export,
    health,
    importing,
    line,
    prune,
    queries,
    reprice,
    schema,
    snapshot,
)
from spectra_otel.exporters.duckdb.merge import Merger, exclusive
from spectra_otel.exporters.duckdb.spool import Lines, Spool
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.store import MergeResult, PriceFunction, Prices, Progress, RepriceResult, Row, StoreHealth

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_log = logging.getLogger(__name__)

SEGMENT_ROWS, SEGMENT_BYTES = 8_192, 8 << 20
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
            count += self._append(lines)
        return count

    def import_records(self, records: Iterable[Mapping[str, Any]], progress: Progress | None = None) -> MergeResult:
        """Append and merge a stream of records in bounded memory."""
        with closing(importing.append_alongside(self._append, _batches(records))) as appended:
            return importing.merge_alongside(self._merger, appended, progress)

    def merge_pending(self, progress: Progress | None = None) -> MergeResult:
        """Bring what is in the spool into the database. Raises :class:`StoreBusyError` where another process holds it."""
        return self._merger.merge_all(progress)

    @contextmanager
    def connect(self) -> Iterator[DuckDBPyConnection]:
        """A read-only connection to merged and pending rows; to the merged ones alone, with a warning, where the merge fails.

        Raises :class:`StoreBusyError` if another process writes for ten seconds.
        """
        patience = database.PATIENCE_SECONDS
        unmerged: StoreError | None = None
        try:
            self.merge_pending()
        except StoreVersionError:
            raise
        except StoreError as error:
            patience, unmerged = 1.0, error
        with ExitStack() as stack:
            connection = stack.enter_context(database.reader(self.path, patience))
            if 0 < schema.version_of(connection) < schema.VERSION:  # no merge has brought it up to date yet
                stack.close()
                with suppress(StoreError), exclusive(self.path, self.spool, 1.0):
                    pass
                connection = stack.enter_context(database.reader(self.path, patience))
            if unmerged is not None:
                _log.warning("%s; rows that wait in the spool are not included", unmerged)
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

    def snapshot(self, path: str | Path) -> Path:
        """Publish a consistent copy at ``path``, by rename."""
        self.merge_pending()
        return snapshot.snapshot(self.path, self.spool, Path(path))

    def export(
        self, path: str | Path, format: str = "parquet", since: datetime | None = None, until: datetime | None = None
    ) -> int:
        """Write records to a file: parquet, csv, json or focus. Returns rows written."""
        with self.connect() as connection:
            return export.export(connection, Path(path), format, since, until)

    def prune(self, hours: float, compact: bool = False) -> int:
        """Remove the whole UTC days that ended more than ``hours`` ago; rollups stay. Returns rows removed."""
        self.merge_pending()
        rows = prune.prune(self.path, self.spool, hours)
        if compact:
            prune.compact(self.path, self.spool)
        return rows

    def reprice(
        self,
        price: PriceFunction,
        since: datetime | None = None,
        model: str | None = None,
        dry_run: bool = False,
        unpriced_only: bool = False,
    ) -> RepriceResult:
        """Price records anew. Costs that no catalog decides (the provider's own, cache hits, not billed) are left alone."""
        self.merge_pending()
        access = reprice.Access(self.path, self.spool)
        return reprice.reprice(access, price, reprice.Selection(since, model, unpriced_only), dry_run)

    def learn_prices(self, prices: Prices) -> RepriceResult | None:
        """Price records without a cost that ``prices`` have come to know; None where there are none.

        Raises :class:`StoreBusyError` soon where another process has the file: this can wait for the next command.
        """
        return reprice.learn(reprice.Access(self.path, self.spool, reprice.SHORT_PATIENCE), prices)

    def rebuild_stats(self, start: date | None = None, end: date | None = None) -> int:
        """Make the rollups of UTC days anew. Returns days rebuilt."""
        self.merge_pending()
        return prune.rebuild_stats(self.path, self.spool, start, end)

    def doctor(self) -> StoreHealth:
        """State of database and spool; never raises for a busy or missing file."""
        return health.examine(self.path, self.spool)

    def _append(self, lines: Lines) -> int:
        try:
            self.spool.append(lines)
        except OSError as error:
            raise StoreError(f"{self.spool.folder}: {error.strerror or error}") from error
        return lines.rows

    def _rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        with self.connect() as connection:
            return database.fetch_dicts(connection, sql, params)


def _batches(records: Iterable[Mapping[str, Any]]) -> Iterator[Lines]:
    """The lines of records, as many at a time as make a segment."""
    lines = Lines()
    for record in records:
        values, rev = (record.values_by_field, record.rev) if isinstance(record, TrackedRequest) else (record, 0)
        lines.add(line.encode(values, rev))
        if lines.rows >= SEGMENT_ROWS or len(lines.body) >= SEGMENT_BYTES:
            yield lines
            lines = Lines()
    if lines.rows:
        yield lines
