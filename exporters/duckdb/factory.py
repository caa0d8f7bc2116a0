"""The factory of the ``duckdb`` exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.exporters.duckdb.config import DuckDBConfig
from spectra_otel.exporters.duckdb.exporter import DuckDBExporter

if TYPE_CHECKING:
    from spectra_otel.model.store import RecordStore


def _create(id: ComponentID, config: DuckDBConfig) -> DuckDBExporter:
    return DuckDBExporter(config)


def _store(config: DuckDBConfig) -> RecordStore:
    from spectra_otel.exporters.duckdb.store import DuckDBStore

    return DuckDBStore(config.database())


def factory() -> Factory[DuckDBConfig, DuckDBExporter]:
    """The ``duckdb`` exporter: records on disk at once, in a DuckDB file soon after."""
    return Factory(
        type="duckdb",
        stability=Stability.BETA,
        default_config=DuckDBConfig,
        create=_create,
        records=True,
        needs="usage",
        claimed_only=True,
        store=_store,
    )
