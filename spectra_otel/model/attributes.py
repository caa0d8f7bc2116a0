"""A record as span attributes: the semantic conventions first, `spectra.*` for what they lack.

Attributes that the app's instrumentation wrote are never overwritten: what we know better stands under `spectra.usage.*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any

ROLLUP = "spectra.rollup"
COST_AMOUNT = "gen_ai.usage.cost.amount"
COST_CURRENCY = "gen_ai.usage.cost.currency"
COST_SOURCE = "gen_ai.usage.cost.source"
COST_CENTS = "spectra.cost_cents"
COST_NANO_USD = "spectra.cost_nano_usd"
COST_STATUS = "spectra.cost.status"

SEMCONV: Mapping[str, str] = {
    "provider": "gen_ai.provider.name",
    "operation": "gen_ai.operation.name",
    "model": "gen_ai.request.model",
    "snapshot": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "conversation_id": "gen_ai.conversation.id",
    "is_streaming": "gen_ai.request.stream",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "user_id": "user.id",
    "error_type": "error.type",
    "status_code": "http.response.status_code",
}
"""Record field → attribute of the semantic conventions, where the value is the same."""

USAGE: tuple[str, ...] = (
    "cache_write_1h_tokens", "audio_prompt_tokens", "audio_completion_tokens", "image_prompt_tokens", "image_completion_tokens",
    "image_count", "image_size", "image_quality", "video_count", "video_resolution", "duration_seconds", "compute_seconds",
    "hardware", "input_characters", "search_units", "pages",
)  # fmt: skip
"""Usage that the conventions lack: `spectra.usage.<field>`."""

_OWN: Mapping[str, str] = {
    "model_type": "spectra.model_type",
    "pricing_tier": "spectra.pricing_tier",
    "trackable_type": "spectra.trackable.type",
    "trackable_id": "spectra.trackable.id",
    **{field: f"spectra.usage.{field}" for field in USAGE},
}
_ROWS: Mapping[str, tuple[str, Callable[[Any], Any] | None]] = {
    **{field: (key, None) for field, key in (*SEMCONV.items(), *_OWN.items())},
    "finish_reason": ("gen_ai.response.finish_reasons", lambda reason: (reason,)),
    "time_to_first_token_ms": ("gen_ai.response.time_to_first_chunk", lambda milliseconds: milliseconds / 1000),
    "tags": ("spectra.tags", tuple),
}
ATTRIBUTES: Mapping[str, str] = {field: key for field, (key, _) in _ROWS.items()}
"""Record field → its attribute."""
_scaleb, _PLACES = Context(prec=60).scaleb, Decimal(8)  # the app's own context may round
WRITTEN = frozenset(_ROWS)
"""Fields that have an attribute."""
_TOKENS = frozenset(field for field in SEMCONV if field.endswith("_tokens"))
_CACHE_WRITE = SEMCONV["cache_write_tokens"]
_CACHE_WRITE_NEWER = "gen_ai.usage.cache_write.input_tokens"
"""The same count under the name of a later draft of the conventions."""


def record_attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Every attribute of a record but its cost: what a span of our own carries."""
    return usage_attributes(record, {})


def usage_attributes(
    record: Mapping[str, Any], existing: Mapping[str, Any], unsaid: frozenset[str] = WRITTEN
) -> dict[str, Any]:
    """What a record adds to a span that has ``existing``: attributes it lacks, and our numbers where they differ from its own.

    ``unsaid`` are the fields to look at; all others are known to be in ``existing`` with the value they have.
    """
    found: dict[str, Any] = {}
    for field in record:
        if field not in unsaid:
            continue
        value = record[field]
        if value is None:
            continue
        key, convert = _ROWS[field]
        there = existing.get(key)
        if there is None:
            found[key] = value if convert is None else convert(value)
        elif there != value and field in _TOKENS:
            found[f"spectra.usage.{field}"] = value
    metadata = record.get("metadata")
    if metadata:
        _add_metadata(found, metadata, existing)
    if _CACHE_WRITE in found and existing.get(_CACHE_WRITE_NEWER) == found[_CACHE_WRITE]:
        del found[_CACHE_WRITE]
    return found


def _add_metadata(found: dict[str, Any], metadata: Mapping[str, Any], existing: Mapping[str, Any]) -> None:
    for name, value in metadata.items():
        key = f"spectra.metadata.{name}"
        if key not in existing and isinstance(value, (str, bool, int, float)):
            found[key] = value


def cost_attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """The cost of a priced record; where it is not known, its status alone."""
    get = record.get
    status, source, version = get("cost_status"), get("cost_source"), get("price_version")
    found: dict[str, Any] = {}
    cents: Decimal | None = get("total_cost_in_cents")
    if cents is not None:
        units = int(_scaleb(cents, _PLACES))  # of 1e-8 cents: whole numbers divide exactly rounded, and far quicker
        found = {
            COST_AMOUNT: units / 10**10,
            COST_CURRENCY: get("currency") or "USD",
            COST_SOURCE: "provider" if source == "provider" else "local",
            COST_CENTS: units / 10**8,
            COST_NANO_USD: units // 10,
        }
    if status:
        found[COST_STATUS] = status
    if source:
        found["spectra.cost.source"] = source
    if version:
        found["spectra.price.version"] = version
    return found
