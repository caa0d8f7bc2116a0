"""genai-prices is an independent implementation: over its whole catalog it comes to the same price, to the last digit.

Where it does not, the rate that counted was read elsewhere, which our price says: on a page of the provider, with the day, or in
the other catalog, for what theirs does not list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spectra_otel.pricing import Pricer
from spectra_otel.pricing.calculate import Terms
from spectra_otel.pricing.compile import genai

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday at noon: no peak hours anywhere
OURS = {
    "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "cache_read_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens", "cache_write_1h_tokens": "cache_write_1h_tokens",
    "input_audio_tokens": "audio_prompt_tokens", "output_audio_tokens": "audio_completion_tokens",
    "input_image_tokens": "image_prompt_tokens", "output_image_tokens": "image_completion_tokens",
    "input_characters": "input_characters", "audio_seconds": "duration_seconds", "input_audio_seconds": "duration_seconds",
    "input_document_pages": "pages",
}  # fmt: skip
TOOLS = {"web_searches": "web_search", "storage_searches": "file_search"}
TEXT = {"input_tokens": 12_345, "output_tokens": 678}
GRID: list[dict[str, int]] = [
    {"input_tokens": 1000, "output_tokens": 500},
    {"input_tokens": 1, "output_tokens": 1},
    {"input_tokens": 199_999, "output_tokens": 7},
    {"input_tokens": 300_001, "output_tokens": 4099},
    TEXT | {"cache_read_tokens": 9876},
    TEXT | {"cache_read_tokens": 1000, "cache_write_tokens": 2000},
    TEXT | {"cache_write_tokens": 2000, "cache_write_1h_tokens": 500},
    TEXT | {"input_audio_tokens": 5000, "output_audio_tokens": 600},
    TEXT | {"input_image_tokens": 5000},
    TEXT | {"output_image_tokens": 600},
    TEXT | {"web_searches": 3},
    TEXT | {"storage_searches": 3},
    {"input_characters": 1234},
    {"audio_seconds": 90},
    {"input_audio_seconds": 90},
    {"input_document_pages": 7},
]
TIERS: dict[str, dict[str, str]] = {
    "standard": {},
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"speed": "fast"},
}
DATED = re.compile(r" \(20\d\d-\d\d-\d\d\)\Z")
PLACES = Decimal("0.00000002")  # two parts, each rounded to 1e-8 cents


def models() -> Iterator[tuple[str, str, Any, Any]]:
    """Our provider and name, and their provider and model, for each name of theirs that is one of ours."""
    from genai_prices.data_snapshot import get_snapshot

    for provider in get_snapshot().providers:
        if provider.id in genai.SKIPPED:
            continue
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


def is_elsewhere(terms: Terms, meters: set[str]) -> bool:
    """Whether a rate that counted was read on a page, or in the catalog that has what theirs has not."""
    origins = {terms.origins.get(meter, "") for meter in meters}
    return any(DATED.search(origin) or origin == "litellm" for origin in origins)


@pytest.mark.filterwarnings("ignore")
def test_their_catalog_costs_the_same() -> None:
    """Every model of genai-prices × a grid of usage × every tier it lists."""
    pricer, differ, compared, elsewhere = Pricer(), [], 0, 0
    for provider, name, their_provider, model in models():
        entry = pricer.matcher.match(provider, name)
        assert entry is not None, f"{provider}/{name} is not in our catalog"
        variants = [variant.when for variant in model.price_variants or ()]
        for tier, context in TIERS.items():
            terms = pricer.explain(provider, name, pricing_tier=tier, at=NOW).terms
            assert terms is not None
            if (context and context not in variants) or tier != terms.tier:
                continue  # not listed there, or not in force
            for usage in GRID:
                theirs = their_price(model, their_provider, usage, context)
                given: dict[str, Any] = {OURS[key]: n for key, n in usage.items() if key in OURS}
                given["tool_call_counts"] = {TOOLS[key]: n for key, n in usage.items() if key in TOOLS}
                ours = pricer.calculate(provider, name, given, pricing_tier=tier, at=NOW)
                if theirs is None or ours.cost_status in ("partial", "unpriced"):
                    continue  # (partial: what only they price at 0, or as text)
                compared += 1
                assert ours.total_cost_in_cents is not None
                if abs(ours.total_cost_in_cents - theirs) > PLACES:
                    plan = pricer.plan(provider, name, pricing_tier=tier, at=NOW)
                    assert plan is not None
                    if is_elsewhere(terms, {charge.meter for charge in plan.charges(given).charges}):
                        elsewhere += 1
                    else:
                        differ.append((f"{provider}/{name}", tier, usage, ours.total_cost_in_cents, theirs))
    assert not differ, f"{len(differ)} differ, such as {differ[:5]}"
    assert compared > 30_000
    assert elsewhere < compared / 20
