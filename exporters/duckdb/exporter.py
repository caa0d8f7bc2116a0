"""The exporter: the records of a batch of spans become one durable segment before the batch is acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.errors import ConfigError, StoreError
from spectra_otel.exporters.duckdb import line
from spectra_otel.exporters.duckdb.background import BackgroundMerge
from spectra_otel.exporters.duckdb.config import DuckDBConfig
from spectra_otel.exporters.duckdb.spool import Lines, Spool
from spectra_otel.model.spans import record_of

if TYPE_CHECKING:
    from spectra_otel.model.store import Prices

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What an exporter did since it was made."""

    stored: int = 0
    """Records on disk."""
    failed: int = 0
    """Records that could not be put on disk; their batches were answered with FAILURE."""
    invalid: int = 0
    """Records without an id or a time, which cannot be stored by anyone."""


class DuckDBExporter(SpanExporter):
    """Stores the records that ride on spans; spans without one are skipped.

    ``export`` returns SUCCESS only when the records are on disk. Nothing here imports duckdb or opens the database: that is the
    merge's, on a thread of its own.
    """

    def __init__(self, config: DuckDBConfig) -> None:
        self.counts = Counts()
        self.database = database = config.writable_database()
        """Where records are."""
        self._spool = Spool(database, config.max_spool_bytes, config.when_full == "drop_oldest")
        self._merge = BackgroundMerge(database, self._spool) if config.merge == "background" else None
        self._in_trouble = False

    def start(self) -> None:
        """Load what merging needs, and merge what an earlier process left. A collector does it before it listens.

        Raises :class:`ConfigError` where the store is not for this user to write to.
        """
        try:
            self._spool.check_access()
        except StoreError as error:
            raise ConfigError(str(error)) from error
        if self._merge:
            self._merge.start()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Put the records of ``spans`` on disk."""
        return self.export_parts((spans,))

    def export_parts(self, parts: Iterable[Sequence[ReadableSpan]]) -> SpanExportResult:
        """The same for spans that come part by part; none is kept once the next part is asked for."""
        lines = Lines()
        for spans in parts:
            self._add(lines, spans)
        if not lines.rows:
            return SpanExportResult.SUCCESS
        try:
            self._spool.append(lines)
        except (OSError, StoreError) as error:
            self._failed(lines.rows, error)
            return SpanExportResult.FAILURE
        self.counts.stored += lines.rows
        self._in_trouble = False
        if self._merge:
            self._merge.wake()
        return SpanExportResult.SUCCESS

    def learn_from(self, prices: Prices) -> None:
        """Price records without a cost that these prices know, in the background."""
        if self._merge:
            self._merge.learn_from(prices)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """True: what was exported is on disk already."""
        return True

    def shutdown(self) -> None:
        """Stop merging; what is in the spool is merged by the next process or ``spectra`` command."""
        if self._merge:
            self._merge.stop()

    def _add(self, lines: Lines, spans: Sequence[ReadableSpan]) -> None:
        for span in spans:
            record = record_of(span)
            if record is None:
                continue
            try:
                lines.add(line.encode(record.values_by_field, record.rev))
            except ValueError as error:
                self.counts.invalid += 1
                if self.counts.invalid == 1:
                    _log.warning("duckdb: %s cannot be stored; further ones are counted only", error)

    def _failed(self, records: int, error: Exception) -> None:
        self.counts.failed += records
        if not self._in_trouble:
            self._in_trouble = True
            _log.error("duckdb: %d records not stored: %s; further failures are counted only", records, error)
