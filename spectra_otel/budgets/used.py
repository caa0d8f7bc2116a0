"""What a call used, by its record: money and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from spectra_otel import pricing
from spectra_otel.budgets.amounts import MOST_CENTS, MOST_TOKENS

Values = Mapping[str, Any]


def cost_of(values: Values) -> Decimal | None:
    """What a record costs in cents of a US dollar: as it says, or as the catalog does; None where nobody knows.

    A figure that no call costs is one that nobody knows: no number at all, less than nothing, or more than a ledger can hold.
    """
    cost = _cost_of(values)
    return cost if cost is not None and cost.is_finite() and 0 <= cost <= MOST_CENTS else None


def _cost_of(values: Values) -> Decimal | None:
    known = values.get("total_cost_in_cents")
    if known is not None and values.get("currency") in (None, "USD"):
        return Decimal(known)
    if values.get("cost_status") in ("free", "cache_hit"):
        return Decimal(0)
    said = values.get("provider_cost_usd")
    if said is not None:
        return Decimal(repr(said)) * 100
    if values.get("error_type") == "usage_inconsistent":
        return None
    names = (values.get("snapshot"), values.get("model"))
    for name in reversed(names) if values.get("provider") == "bedrock" else names:  # whose ids have the region in them
        if name:
            tier = values.get("pricing_tier")
            found = pricing.calculate(
                values.get("provider") or "", name, values, pricing_tier=tier, at=values.get("started_at"),
                account=values.get("provider_account"),
            )  # fmt: skip
            if found.total_cost_in_cents is not None:
                return found.total_cost_in_cents
    return None


def tokens_of(values: Values) -> int | None:
    """All tokens of a record; None where nobody knows."""
    total: int | None = values.get("total_tokens")
    if total is None:
        parts = [values.get("prompt_tokens"), values.get("completion_tokens")]
        total = sum(part or 0 for part in parts) if any(part is not None for part in parts) else None
    return total if total is not None and 0 <= total <= MOST_TOKENS else None
