"""Options that several commands share, and how a command reaches the store."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from spectra_otel.cli.output import FORMATS
from spectra_otel.component import ComponentID, Kind, Processor
from spectra_otel.config.document import Document, component
from spectra_otel.config.load import load
from spectra_otel.config.settings import read_settings
from spectra_otel.errors import StoreError
from spectra_otel.pipeline import create

if TYPE_CHECKING:
    from spectra_otel.model.store import RecordStore

_AGO = re.compile(r"(\d{1,6})([mhdw])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Read a point in time: so long ago (`30m`, `24h`, `7d`, `2w`), a UTC day (`2026-01-01`) or an ISO-8601 time."""
    if value is None:
        return None
    ago = _AGO.match(value)
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        when = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        valid = "30m, 24h, 7d, 2w, 2026-01-01, 2026-01-01T12:00:00Z"
        raise click.BadParameter(f"{value!r} is not a time; valid: {valid}", ctx, param) from None
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


format_option = click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print."
)
since_option = click.option(
    "--since", metavar="TIME", callback=moment, help="Calls that began then or later: 24h, 7d, 2026-01-01 (UTC)."
)
until_option = click.option("--until", metavar="TIME", callback=moment, help="Calls that began before then.")
db_option = click.option(
    "--db",
    type=click.Path(dir_okay=False),
    help="The DuckDB file.  [default: $SPECTRA_DB, else $SPECTRA_HOME/spectra.duckdb]",
)


def open_store(db: str | None) -> RecordStore:
    """The store of records: the file ``db`` if given, else where the configuration in effect keeps them.

    There, records without a cost are priced first if the prices have changed; a file given by name is only looked at.

    Raises :class:`StoreError` if ``db`` is not there: a slip in a path is not an empty store.
    """
    document = Document() if db else effective_document()
    store = store_of(document, db)
    if not db:
        from spectra_otel.repricing import TodaysPrices

        with suppress(StoreError):  # where another process has the file, or the disk is full, the next command does it
            store.learn_prices(TodaysPrices(document))
    if db and not store.path.exists() and not store.doctor().pending_segments:
        raise StoreError(f"{store.path}: there is no such database")
    return store


def effective_document() -> Document:
    """The configuration that an app would have here: ``SPECTRA_CONFIG`` and the other variables, else what is built in."""
    return load(settings=read_settings())


def store_of(document: Document, db: str | None = None) -> RecordStore:
    """The store of the first exporter in ``document`` that keeps one, at ``db`` if given."""
    stores = (item for item in document.exporters.values() if item.factory.store)
    item = next(stores, None) or component(Kind.EXPORTER, ComponentID("duckdb"))
    assert item.factory.store is not None
    store: RecordStore = item.factory.store(replace(item.config, path=db) if db else item.config)
    return store


def enrichers(document: Document) -> list[Processor]:
    """The processors of the first traces pipeline that give spans their record and cost."""
    spec = next(spec for spec in document.pipelines if spec.id.type == "traces")
    chosen = (document.processors[id_] for id_ in spec.processors)
    return [create(Kind.PROCESSOR, item) for item in chosen if item.factory.enriches]
