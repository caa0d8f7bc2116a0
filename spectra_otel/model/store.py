"""What a record store can do for the rest of Spectra, whoever implements it.

The command line reaches the store through the registry: ``factory.store(config)`` gives a :class:`RecordStore`.
Values are Python's: ``Decimal`` for DECIMAL, aware ``datetime`` in UTC for TIMESTAMPTZ, ``list`` and ``dict`` for lists,
maps, structs and JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

Row = dict[str, Any]
"""Column name → Python value."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows known so far)."""

GROUPS = (
    "model", "provider", "model_type", "user", "tag", "day", "service", "environment", "trackable", "conversation", "account",
)  # fmt: skip
"""What ``costs(by=…)`` groups by, besides ``metadata.KEY``."""

EXPORT_FORMATS = ("parquet", "csv", "json", "focus")


@dataclass(slots=True)
class MergeResult:
    """What a merge did. A row counts once: as new, revised, duplicate or quarantined."""

    segments: int = 0
    new: int = 0
    revised: int = 0
    duplicates: int = 0
    quarantined: int = 0
    elected: int = 0
    """Rows left out because another process already recorded the same response."""
    pending: int = 0
    """Rows still in the spool, because another process merges them or the pace asks to wait."""

    def __iadd__(self, other: MergeResult) -> MergeResult:
        self.segments += other.segments
        self.new += other.new
        self.revised += other.revised
        self.duplicates += other.duplicates
        self.quarantined += other.quarantined
        self.elected += other.elected
        self.pending = other.pending
        return self


class Price(Protocol):
    """What a price function returns: ``spectra_otel.pricing.Cost`` is one."""

    @property
    def total_cost_in_cents(self) -> Decimal | None: ...
    @property
    def cost_status(self) -> str: ...
    @property
    def price_version(self) -> str | None: ...


PriceFunction = Callable[[Mapping[str, Any]], Price | None]
"""Record → its price today; None leaves the record alone."""


class Prices(Protocol):
    """The prices that records are priced at today."""

    @property
    def version(self) -> str:
        """A digest of all that the prices come from."""
        ...

    def price(self, row: Mapping[str, Any]) -> Price | None:
        """A :data:`PriceFunction`."""
        ...


@runtime_checkable
class LearnsPrices(Protocol):
    """An exporter that keeps records, and prices those without a cost when the prices have come to know them."""

    def learn_from(self, prices: Prices) -> None:
        """Take the prices in effect; they are asked later, on a thread of the exporter's own."""


@dataclass(slots=True)
class RepriceResult:
    """The difference a repricing makes (or would make); amounts in cents, sums of what is known."""

    examined: int = 0
    changed: int = 0
    cents_before: Decimal = Decimal(0)
    cents_after: Decimal = Decimal(0)
    unpriced_before: int = 0
    unpriced_after: int = 0
    changes: list[Row] = field(default_factory=list)
    """The first hundred: id, provider, model, started_at, status and cents before and after."""


@dataclass(slots=True)
class StoreHealth:
    """State of the store, for ``spectra doctor``."""

    database: Path
    database_bytes: int | None
    schema_version: int | None
    requests: int | None
    """Rows in ``spectra_requests``; None while another process holds the file."""
    spool: Path
    pending_segments: int
    pending_rows: int
    pending_bytes: int
    oldest_pending_seconds: float | None
    quarantined_files: int
    quarantined_bytes: int
    holder_pid: int | None
    """Who keeps the database from being opened."""
    problem: str | None
    """One line, when the database cannot be used."""


class RecordStore(Protocol):
    """A place that keeps records durably and answers questions about their cost."""

    path: Path

    def append(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Put records on disk, durably; they are merged later. Returns how many. Raises :class:`StoreError`."""
        ...

    def import_records(self, records: Iterable[Mapping[str, Any]], progress: Progress | None = None) -> MergeResult:
        """Append and merge a stream of records, in bounded memory."""
        ...

    def merge_pending(self, progress: Progress | None = None) -> MergeResult:
        """Bring what is in the spool into the database; does nothing where another process is doing it and does not end soon."""
        ...

    def connect(self) -> AbstractContextManager[Any]:
        """A read-only DuckDB connection to merged and pending rows. Raises :class:`StoreBusyError` after ten seconds."""
        ...

    def query(self, sql: str, params: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of one read-only SQL query. Raises :class:`StoreError` with DuckDB's message."""
        ...

    def costs(
        self,
        by: str = "model",
        since: datetime | None = None,
        until: datetime | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Row]:
        """Cost by group, dearest first; the group key bears the name given in ``by``."""
        ...

    def requests(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Records, newest first. ``filters``: column → value; also ``tag`` and ``metadata.KEY``; None as value means NULL."""
        ...

    def request(self, id: str) -> Row | None:
        """One record by id (``<trace_id>-<span_id>``)."""
        ...

    def snapshot(self, path: str | Path) -> Path:
        """Publish a consistent copy of the database at ``path``, by rename."""
        ...

    def export(
        self, path: str | Path, format: str = "parquet", since: datetime | None = None, until: datetime | None = None
    ) -> int:
        """Write records to a file; ``format`` is one of :data:`EXPORT_FORMATS`. Returns rows written."""
        ...

    def prune(self, hours: float, compact: bool = False) -> int:
        """Remove the whole UTC days that ended more than ``hours`` ago; rollups stay. Returns rows removed."""
        ...

    def reprice(
        self,
        price: PriceFunction,
        since: datetime | None = None,
        model: str | None = None,
        dry_run: bool = False,
        unpriced_only: bool = False,
    ) -> RepriceResult:
        """Price records anew; what changed goes to ``spectra_costs``, the current columns and the rollups."""
        ...

    def learn_prices(self, prices: Prices) -> RepriceResult | None:
        """Price records without a cost: all if ``prices`` are other ones than the store saw last, else those that came since.

        None where there is nothing to learn.
        """
        ...

    def rebuild_stats(self, start: date | None = None, end: date | None = None) -> int:
        """Make the rollups of UTC days ``start`` to ``end`` (inclusive) anew from the rows. Returns days rebuilt."""
        ...

    def doctor(self) -> StoreHealth:
        """State of database and spool; never raises for a busy or missing file."""
        ...
