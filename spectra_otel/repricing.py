"""What recorded calls cost at today's prices, and which prices those are.

Records without a cost are priced again when the catalog or the user's prices come to know their model: by whoever opens the store
first, a command, an app or a collector.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel import pricing
from spectra_otel.component import Processor
from spectra_otel.config.settings import read_settings
from spectra_otel.model.fields import FIELDS
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.pricing import Cost, current_catalog

if TYPE_CHECKING:
    from spectra_otel.config.document import Document


class TodaysPrices:
    """The prices of a document, as a :class:`~spectra_otel.model.store.Prices`; they are read when they are first asked for."""

    def __init__(self, document: Document) -> None:
        traces = (spec for spec in document.pipelines if spec.id.type == "traces")
        costs = (document.processors[id_] for spec in traces for id_ in spec.processors if id_.type == "cost")
        self._cost = next(costs, None)

    def use(self) -> None:
        """Have bounds, budgets and estimates of this process reckon with these prices, too: in US dollars, as budgets count."""
        config = self._cost.config if self._cost else None  # of a `cost` of others maybe
        files, rates = getattr(config, "prices", None) or None, getattr(config, "fx_rates", None) or None
        pricing.use(pricing.pricer(files, fx_rates=rates) if files or rates else None)

    @property
    def version(self) -> str:
        """A digest of all that prices come from: the catalog, the settings of ``cost`` and the files they name."""
        return self._version

    @cached_property
    def _version(self) -> str:
        config = self._cost.config if self._cost else None
        digest = hashlib.sha256(current_catalog().digest.encode() + repr(config).encode())
        for path in (config and config.prices) or read_settings().prices:
            with suppress(OSError):
                digest.update(Path(path).read_bytes())
        return digest.hexdigest()

    def price(self, row: Mapping[str, Any]) -> Cost | None:
        """The cost of a record as the pipeline would find it today; None where the pipeline does not price."""
        if self._processor is None:
            return None
        values = {name: value for name, value in row.items() if name in FIELDS and FIELDS[name].group != "Cost"}
        if isinstance(values.get("usage_raw"), str):  # as the store has JSON
            values["usage_raw"] = json.loads(values["usage_raw"])
        if _stays_inexact(row):
            values["cost_status"] = row["cost_status"]
        record = TrackedRequest(values)
        self._processor.process([TrackedSpan(ReadableSpan(name="", attributes={}), record, bears_cost=False)])
        return Cost._make(record.get(name) for name in Cost._fields)

    @cached_property
    def _processor(self) -> Processor | None:
        return self._cost.factory.create(self._cost.id, self._cost.config) if self._cost else None


def _stays_inexact(row: Mapping[str, Any]) -> bool:
    """A price does not make usage exact that was estimated, or that lacks a part."""
    lacks = row["prompt_tokens"] is None or row["completion_tokens"] is None
    return row["cost_status"] == "estimated" or (row["cost_status"] == "partial" and lacks)
