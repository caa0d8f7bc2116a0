"""Prices of recorded calls today, and which prices those are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.cli.options import enrichers
from spectra_otel.config.settings import read_settings
from spectra_otel.errors import StoreError
from spectra_otel.model.fields import FIELDS
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.pricing import Cost, current_catalog

if TYPE_CHECKING:
    from spectra_otel.config.document import Document
    from spectra_otel.model.store import PriceFunction, RecordStore


def learn_prices(store: RecordStore, document: Document) -> None:
    """Price what has no cost yet, if the prices are other ones than the store saw last.

    Where another process has the file, or the disk is full, the next command does it.
    """
    with suppress(StoreError):
        store.learn_prices(price_again(document), price_version(document))


def price_version(document: Document) -> str:
    """A digest of all that prices come from: the catalog, the settings of ``cost`` and the files they name."""
    digest = hashlib.sha256(current_catalog().digest.encode())
    settings = [item.config for id_, item in document.processors.items() if id_.type == "cost"]
    digest.update(repr(settings).encode())
    files = [path for config in settings for path in config.prices] or read_settings().prices
    for path in files:
        with suppress(OSError):
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def price_again(document: Document) -> PriceFunction:
    """Prices a record as the pipeline would today: by the configured ``cost`` processors, price files and all."""
    processors = enrichers(document, only="cost")

    def price(row: Mapping[str, Any]) -> Cost:
        values = {name: value for name, value in row.items() if name in FIELDS and FIELDS[name].group != "Cost"}
        if _stays_inexact(row):
            values["cost_status"] = row["cost_status"]
        record = TrackedRequest(values)
        span = TrackedSpan(ReadableSpan(name="", attributes={}), record, bears_cost=False)
        for processor in processors:
            processor.process([span])
        return Cost._make(record.get(name) for name in Cost._fields)

    return price


def _stays_inexact(row: Mapping[str, Any]) -> bool:
    """A price does not make usage exact that was estimated, or that lacks a part."""
    lacks = row["prompt_tokens"] is None or row["completion_tokens"] is None
    return row["cost_status"] == "estimated" or (row["cost_status"] == "partial" and lacks)
