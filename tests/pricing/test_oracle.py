"""genai-prices is an independent implementation: over its whole catalog it comes to the same price, to the last digit.

Where it does not, our price says which page of the provider it was read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spectra_otel.pricing import Pricer
from spectra_otel.pricing.compile import genai

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday at noon: no peak hours anywhere
GRID = [
    {"input_tokens": 1000, "output_tokens": 500},
    {"input_tokens": 1, "output_tokens": 1},
    {"input_tokens": 199_999, "output_tokens": 7},
    {"input_tokens": 300_001, "output_tokens": 4099},
    {"input_tokens": 12_345, "output_tokens": 678, "cache_read_tokens": 9876},
    {"input_tokens": 12_345, "output_tokens": 678, "cache_read_tokens": 1000, "cache_write_tokens": 2000},
]
OURS = {
    "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "cache_read_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
}  # fmt: skip
TIERS = {
    "standard": {},
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
PLACES = Decimal("0.00000002")  # two parts, each rounded to 1e-8 cents


def models() -> Iterator[tuple[str, str, Any, Any]]:
    """Our provider and name, and their provider and model, for each name of theirs that is one of ours."""
    from genai_prices.data_snapshot import get_snapshot

    for provider in get_snapshot().providers:
        if provider.id in genai.SKIPPED or provider.id == "aws":
            continue  # Bedrock's plain model ids: the other source has the price without the regional premium
        for model in provider.models:
            if not any(offer.rates for offer in genai._offers(model)):
                continue  # listed without a price
            target, route = genai._provider(provider.id, model.id)
            for name in genai._names(provider, model):
                yield target, f"{name}:{route}" if route else name, provider, model


def their_price(model: Any, provider: Any, usage: dict[str, int], context: dict[str, str]) -> Decimal | None:
    from genai_prices import Usage

    try:
        price = model.calc_price(Usage(**usage), provider, genai_request_timestamp=NOW, price_context=context or None)
    except ValueError:
        return None  # it refuses a mix of usage that it has no rule for
    return Decimal(price.total_price) * 100


@pytest.mark.filterwarnings("ignore")
def test_their_catalog_costs_the_same() -> None:
    """Every model of genai-prices × a grid of usage × every tier it lists."""
    pricer, differ, compared = Pricer(), [], 0
    for provider, name, their_provider, model in models():
        entry = pricer.matcher.match(provider, name)
        assert entry is not None, f"{provider}/{name} is not in our catalog"
        listed = {tier for variant in model.price_variants or () for tier in TIERS if TIERS[tier] == variant.when} | {
            "standard"
        }
        for tier in listed:
            terms = pricer.explain(provider, name, pricing_tier=tier, at=NOW).terms
            assert terms is not None
            if tier != terms.tier or not terms.rates.keys() & {"input", "output"}:
                continue  # not in force, or not sold by the token
            for usage in GRID:
                meters = {"cache_read_tokens": "cache_read", "cache_write_tokens": "cache_write"}
                if any(terms.origins.get(m, "genai-prices") != "genai-prices" for k, m in meters.items() if k in usage):
                    continue  # theirs has no price for it, the other source does
                if " (" in terms.origins.get("input", ""):
                    continue  # ours, with page and day
                theirs = their_price(model, their_provider, usage, TIERS[tier])
                ours = pricer.calculate(
                    provider, name, {OURS[k]: v for k, v in usage.items()}, pricing_tier=tier, at=NOW
                )
                if theirs is None or ours.cost_status == "partial":
                    continue  # (partial: an answer in tokens that only they price at 0)
                compared += 1
                if ours.total_cost_in_cents is None or abs(ours.total_cost_in_cents - theirs) > PLACES:
                    differ.append((f"{provider}/{name}", tier, usage, ours.total_cost_in_cents, theirs))
    assert not differ, f"{len(differ)} differ, such as {differ[:5]}"
    assert compared > 10_000
