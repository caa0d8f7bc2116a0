"""The `cost` processor: what each record cost, on the record and on the span that bears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel import faults
from spectra_otel.errors import ConfigError
from spectra_otel.model.attributes import cost_attributes
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.pricing import Cost, PriceFileError, Pricer, pricer
from spectra_otel.processors.cost import metrics
from spectra_otel.processors.cost.config import Config
from spectra_otel.providers.base import billing_of_status

_ZERO = Decimal("0E-8")
_REFUSALS = (
    "RateLimit", "rate_limit", "Throttling", "TooManyRequests", "Authentication", "PermissionDenied", "AccessDenied",
    "BadRequest", "NotFound", "Validation", "UnprocessableEntity", "invalid_request",
    "INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND",
    "RESOURCE_EXHAUSTED", "UNIMPLEMENTED",
)  # fmt: skip
"""Words of error types that mean a status of 4xx, where the status itself is not known; the last two lines are gRPC's."""
Fields: TypeAlias = Mapping[str, Any]
_SETTLED = frozenset({"not_billed", "cache_hit", "free"})


class CostProcessor:
    """Prices records and writes the cost where it belongs: on the record, and as attributes on the cost-bearing span.

    The served model and tier are what is priced. A record that has a cost already (from the provider, or from a pipeline
    upstream) keeps it. Never raises: a record that cannot be priced stays without a cost.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        self.writes_attributes = True
        """Whether the cost becomes attributes of the span, too; False where all that follows reads the record."""
        metrics.difference()
        try:
            # Read now: a host builds its processors off the app's path, and a catalog half read must not meet a fork.
            config = self._config
            self._pricer: Pricer = pricer(
                config.prices or None, currency=config.currency, fx_rates=config.fx_rates or None
            )
        except PriceFileError as error:
            raise ConfigError(f"prices: {error}") from error

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same spans; records on them are amended."""
        for span in spans:
            if isinstance(span, TrackedSpan) and span.record is not None:
                try:
                    self._price(span, span.record)
                except Exception as error:
                    faults.report("processor cost", error)
        return spans

    def _price(self, span: TrackedSpan, record: TrackedRequest) -> None:
        values = record.own_values
        self._settle(values)
        if values["cost_status"] == "provider" and values["currency"] == self._config.currency:
            metrics.compare(record)
        if span.bears_cost and self.writes_attributes:
            span.set_attributes(cost_attributes(values))

    def _settle(self, record: dict[str, Any]) -> None:
        """Write the cost into a record."""
        get = record.get
        status: str | None = get("cost_status")
        if status in _SETTLED:
            self._write_settled(record, status)
        elif status is not None and get("total_cost_in_cents") is not None:
            ours = self._calculate(record) if status == "provider" else Cost()
            record["estimated_cost_in_cents"] = ours.total_cost_in_cents
            record["contract_cost_in_cents"] = ours.contract_cost_in_cents
            _write_total(record, status, record["total_cost_in_cents"], get("currency") or "USD")
        elif status in ("unpriced", "billed_unknown"):
            _write_total(record, status, None, self._config.currency)
        elif get("is_failed") and get("prompt_tokens") is None and get("completion_tokens") is None:
            status = _billing_of_failure(record)
            if status == "not_billed":
                self._write_settled(record, status)
            else:
                _write_total(record, status, None, self._config.currency)
        else:
            cost = self._calculate(record)
            _write(record, cost, _at_best(cost.cost_status, status, get("is_aborted")))

    def _write_settled(self, record: dict[str, Any], status: str) -> None:
        total = record.get("total_cost_in_cents")
        _write_total(record, status, _ZERO if total is None else total, self._config.currency)

    def _calculate(self, record: Fields) -> Cost:
        get = record.get
        usage = record if get("cost_status") != "partial" else _floor(record)
        provider = get("provider") or ""
        tier, at, account = get("pricing_tier"), get("started_at"), get("provider_account")
        served, requested = get("snapshot"), get("model")
        if provider == "bedrock":
            # The id that was asked has the region in it, on which the price depends; the answer's has not.
            served, requested = requested or served, served
        cost = self._pricer.calculate(
            provider, served or requested or "", usage, pricing_tier=tier, at=at, account=account
        )
        if cost.total_cost_in_cents is None and served and requested and served != requested:
            other = self._pricer.calculate(provider, requested, usage, pricing_tier=tier, at=at, account=account)
            if other.total_cost_in_cents is not None:
                return other._replace(cost_status=_at_best(other.cost_status, "estimated", None))
        return cost


def _write(record: dict[str, Any], cost: Cost, status: str) -> None:
    """Write a calculated cost, with the status that the usage allows; the current cost is the recorded one."""
    (
        total,
        record["prompt_cost_in_cents"],
        record["completion_cost_in_cents"],
        record["media_cost_in_cents"],
        record["tool_cost_in_cents"],
        _,
        record["cost_source"],
        record["price_id"],
        record["price_version"],
        record["price_disputed"],
        currency,
        record["fx_rate"],
        record["contract_cost_in_cents"],
    ) = cost
    _write_total(record, status, total, currency)


def _floor(record: Fields) -> Fields:
    """The usage of a record of which a part is not known, with the raw numbers that are part of what is missing."""
    raw = record.get("usage_raw")
    usage = dict(record)
    if isinstance(raw, Mapping):
        for field, name in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
            if usage.get(field) is None and isinstance(raw.get(name), int):
                usage[field] = raw[name]
    return usage


def _at_best(status: str, allowed: str | None, is_aborted: bool | None) -> str:
    """The status of a calculated cost, no better than the usage allows."""
    if status in ("unpriced", "partial"):
        return status
    if allowed == "partial":
        return "partial"
    return "estimated" if (allowed == "estimated" or is_aborted) and status != "free" else status


def _billing_of_failure(record: Fields) -> str:
    """Whether a failed call without usage was billed, by its HTTP status or the name of its error."""
    status_code = record.get("status_code")
    if status_code is not None:
        return billing_of_status(status_code) if status_code >= 400 else "billed_unknown"
    named = f"{record.get('error_type') or ''} {record.get('error_message') or ''}"[:400]
    return "not_billed" if any(word in named for word in _REFUSALS) else "billed_unknown"


def _write_total(record: dict[str, Any], status: str, total: Decimal | None, currency: str) -> None:
    """The current cost is the recorded one until somebody reprices."""
    record["cost_status"] = record["current_cost_status"] = status
    record["total_cost_in_cents"] = record["current_cost_in_cents"] = total
    record["currency"] = currency
