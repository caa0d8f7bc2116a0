"""Records as a file for other tools: Parquet, CSV, JSON, or the FinOps FOCUS table."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb.database import first_line
from spectra_otel.exporters.duckdb.queries import COLUMNS, microseconds
from spectra_otel.exporters.duckdb.sql import one_row, quoted
from spectra_otel.model.fields import COUNTS, FIELDS, JSON, MEDIA, TEXTS, TIME
from spectra_otel.model.store import EXPORT_FORMATS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OPTIONS = {
    "parquet": "FORMAT parquet, COMPRESSION zstd",
    "csv": "FORMAT csv, HEADER",
    "json": "FORMAT json, ARRAY true",
    "focus": "FORMAT csv, HEADER",
}

_TIME = "strftime(make_timestamp(epoch_us({0})), '%Y-%m-%dT%H:%M:%SZ')"
_MONTH = (
    "strftime(date_trunc('month', make_timestamp(epoch_us(started_at))) + INTERVAL {0} MONTH, '%Y-%m-%dT%H:%M:%SZ')"
)
_AMOUNT = "({0} * 0.01::DECIMAL(2, 2))"
"""Cents as units of the currency; a product stays exact, a quotient becomes a DOUBLE."""

_TOKENS = "coalesce(total_tokens, prompt_tokens + completion_tokens)"

FOCUS: tuple[tuple[str, str], ...] = (
    ("BilledCost", _AMOUNT.format("total_cost_in_cents")),
    ("EffectiveCost", _AMOUNT.format("current_cost_in_cents")),
    ("ListCost", _AMOUNT.format("coalesce(estimated_cost_in_cents, total_cost_in_cents)")),
    ("ContractedCost", _AMOUNT.format("coalesce(contract_cost_in_cents, total_cost_in_cents)")),
    ("BillingCurrency", "coalesce(currency, 'USD')"),
    ("BillingPeriodStart", _MONTH.format(0)),
    ("BillingPeriodEnd", _MONTH.format(1)),
    ("ChargePeriodStart", _TIME.format("started_at")),
    ("ChargePeriodEnd", _TIME.format("coalesce(completed_at, started_at)")),
    ("ChargeCategory", "'Usage'"),
    ("ChargeDescription", "concat_ws(' ', operation, coalesce(snapshot, model))"),
    ("ChargeFrequency", "'Usage-Based'"),
    ("ConsumedQuantity", _TOKENS),
    ("ConsumedUnit", f"CASE WHEN {_TOKENS} IS NOT NULL THEN 'Tokens' END"),
    ("PricingCategory", "CASE WHEN coalesce(pricing_tier, 'standard') = 'standard' THEN 'Standard' ELSE 'Other' END"),
    ("ProviderName", "provider"),
    ("PublisherName", "provider"),
    ("InvoiceIssuerName", "provider"),
    ("ServiceCategory", "'AI and Machine Learning'"),
    ("ServiceName", "concat_ws(' ', provider, model_type)"),
    ("ResourceId", "id"),
    ("ResourceName", "model"),
    ("SkuId", "price_id"),
    ("SkuMeter", "model_type"),
    ("SubAccountId", "provider_account"),
    ("Tags", "to_json(map_from_entries([row(t, true) FOR t IN list_distinct(coalesce(tags, []))]))"),
    ("x_CostStatus", "current_cost_status"),
    ("x_ServiceName", "service_name"),
    ("x_Environment", "environment"),
    ("x_UserId", "user_id"),
)
"""Columns of FOCUS 1.2 (focus.finops.org) and what they are of a record. A cost that is not known is empty, not 0; the column
``x_CostStatus`` says why."""


def export(
    connection: DuckDBPyConnection, target: Path, format: str, since: datetime | None, until: datetime | None
) -> int:
    """Write the records of a time range to ``target``. Returns rows written. Raises :class:`StoreError`."""
    import duckdb

    if format not in _OPTIONS:
        raise StoreError(f"format: {format!r} is not valid (valid values: {', '.join(EXPORT_FORMATS)})")
    clauses = [f"started_at >= make_timestamptz({microseconds(since)})"] if since else []
    clauses += [f"started_at < make_timestamptz({microseconds(until)})"] if until else []
    sql = f"SELECT {_columns(format)} FROM spectra_requests WHERE {' AND '.join(clauses) or 'true'} ORDER BY started_at, id"
    try:
        (rows,) = one_row(connection, f"COPY ({sql}) TO {quoted(str(target))} ({_OPTIONS[format]})")
    except duckdb.Error as error:
        raise StoreError(f"export: {first_line(error)}") from error
    return int(rows)


def _columns(format: str) -> str:
    if format == "focus":
        return ", ".join(f"{sql} AS {name}" for name, sql in FOCUS)
    return ", ".join(_as_text(column, format) for column in COLUMNS)


def _as_text(column: str, format: str) -> str:
    """Times as ISO 8601 with ``Z``, and in CSV nested values as JSON; Parquet keeps its own types."""
    type_ = FIELDS[column].type
    if format != "parquet" and type_ == TIME:
        return f"strftime(make_timestamp(epoch_us({column})), '%Y-%m-%dT%H:%M:%S.%fZ') AS {column}"
    if format == "csv" and type_ in (TEXTS, COUNTS, MEDIA, JSON):
        return f"to_json({column})::VARCHAR AS {column}"
    return column
